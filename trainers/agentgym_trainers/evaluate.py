"""Success on held-out tasks, with an honest interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentgym import Episode, Task, TaskSet
from agentgym.episode import TurnKind
from agentgym_trainers.collector import PlaysGroups

_Z95 = 1.959964
_MISSES = 100


@dataclass(frozen=True, slots=True)
class EvalReport:
    """Success rate with its 95 % Wilson interval; environment errors are counted apart.

    ``turns`` are those the environment answered; ``peak_context`` is the mean over episodes of the
    longest prompt, ``prefill_tokens`` of what the engine computed of prompts (NaN if it does not
    say). ``components`` are means over episodes of the environment's reward components.
    """

    success: float
    low: float
    high: float
    episodes: int
    env_errors: int
    turns: float
    sampled_tokens: float
    peak_context: float
    prefill_tokens: float
    summaries: float
    recalls: float
    components: dict[str, float]
    endings: dict[str, int]


async def evaluate(
    collector: PlaysGroups, tasks: Sequence[Task], *, name: str
) -> tuple[EvalReport, list[Episode]]:
    """Play each task once."""
    groups = await collector.collect(tasks, 1, name=name)
    good = [episode for group in groups for episode in group.episodes]
    lost = sum(1 for group in groups if not group.episodes)
    return report(good, env_errors=lost), good


def report(episodes: Sequence[Episode], *, env_errors: int = 0) -> EvalReport:
    """Summarise episodes; success is ``Ending.SOLVED``."""
    count = len(episodes)
    solved = sum(episode.ending == "solved" for episode in episodes)
    low, high = wilson(solved, count)
    names = sorted({name for episode in episodes for name in episode.rewards})
    return EvalReport(
        success=solved / count if count else math.nan,
        low=low,
        high=high,
        episodes=count,
        env_errors=env_errors,
        turns=_mean([_of_kind(episode, "act") for episode in episodes]),
        sampled_tokens=_mean([episode.sampled_tokens for episode in episodes]),
        peak_context=_mean([episode.peak_context for episode in episodes]),
        prefill_tokens=_mean(
            [episode.telemetry.get("prefill_tokens", math.nan) for episode in episodes]
        ),
        summaries=_mean([_of_kind(episode, "summary") for episode in episodes]),
        recalls=_mean([_of_kind(episode, "recall") for episode in episodes]),
        components={n: _mean([e.rewards.get(n, 0.0) for e in episodes]) for n in names},
        endings=dict(Counter(episode.ending.value for episode in episodes)),
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion; (nan, nan) without trials."""
    if trials == 0:
        return math.nan, math.nan
    rate, z2 = successes / trials, _Z95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    # Rounding must not put the rate itself outside at 0 or 1.
    return max(0.0, min(centre - half, rate)), min(1.0, max(centre + half, rate))


def choose_tasks(tasks: TaskSet, count: int, *, seed: int) -> list[Task]:
    """At most ``count`` different tasks, the same for the same seed.

    Fewer come back where there are fewer; of an endless set, where a hundred draws in a row gave
    nothing new.
    """
    rng = np.random.default_rng(seed)
    if tasks.is_infinite:
        return _draw_different(tasks, count, rng)
    order = rng.permutation(len(tasks))[:count]
    return [tasks[int(number)] for number in order]


def _draw_different(tasks: TaskSet, count: int, rng: np.random.Generator) -> list[Task]:
    chosen: dict[str, Task] = {}
    misses = 0
    while len(chosen) < count and misses < _MISSES:
        task = tasks.sample(rng)
        misses = misses + 1 if task.key in chosen else 0
        chosen[task.key] = task
    return list(chosen.values())


def _of_kind(episode: Episode, kind: TurnKind) -> int:
    return sum(turn.kind == kind for turn in episode.turns)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
