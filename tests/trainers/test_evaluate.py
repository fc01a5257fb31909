"""Evaluation: intervals, reports, and the choice of tasks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym import Ending, Episode, Task, TaskSet
from agentgym_trainers.evaluate import choose_tasks, report, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)],
)
def test_wilson_intervals_are_the_tabled_ones(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_rate(pair: tuple[int, int]) -> None:
    low, high = wilson(*pair)
    assert 0 <= low <= pair[0] / pair[1] <= high <= 1


def test_no_episodes_give_no_number() -> None:
    assert math.isnan(report([]).success)
    assert report([], env_errors=3).env_errors == 3


def test_a_report_counts_endings_and_means() -> None:
    endings = [Ending.SOLVED, Ending.FAILED, Ending.FAILED, Ending.TURN_LIMIT]
    episodes = [
        Episode(str(n), "g", "k", 0, (), (), {"total": float(e is Ending.SOLVED)}, e)
        for n, e in enumerate(endings)
    ]
    result = report(episodes)
    assert result.success == 0.25
    assert result.components == {"total": 0.25}
    assert result.endings == {"solved": 1, "failed": 2, "turn_limit": 1}


def test_the_same_seed_chooses_the_same_different_tasks() -> None:
    tasks = TaskSet(Task.create("t/T-v0", str(n), {}) for n in range(50))
    chosen = choose_tasks(tasks, 20, seed=1)
    assert chosen == choose_tasks(tasks, 20, seed=1) != choose_tasks(tasks, 20, seed=2)
    assert len({task.key for task in chosen}) == 20
    assert len(choose_tasks(tasks, 500, seed=1)) == 50
