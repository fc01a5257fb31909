"""The schedule of groups: how far ahead, in what order, and that none is lost.

The groups here end when the test says so, in an order drawn from a seed: no clock is involved.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym import Ending, Episode, Task, TaskSet, UsageError
from agentgym_trainers.collector import Group
from agentgym_trainers.ledger import CopyState, Ledger
from agentgym_trainers.rollouts import RolloutPlan, Rollouts, Round
from agentgym_trainers.task_cursor import TaskCursor
from agentgym_trainers.timeline import Timeline
from agentgym_trainers.together import together

SIZE = 4
TASKS = TaskSet(Task.create("test/Any-v0", f"Do {n}.", {}) for n in range(7))
FATES = ("good", "good", "same", "half", "lone", "dead")
"""Of groups: different returns, one return, half or all but one or all of the members fail."""


def good(number: int) -> str:
    return "good"


@dataclass
class HandPlayer:
    """Plays groups whose members end when their event is set."""

    fate: Callable[[int], str] = good
    groups: int = 2
    version: int = 0
    begun: list[tuple[int, int]] = field(default_factory=list)
    waiting: dict[tuple[int, int], asyncio.Event] = field(default_factory=dict)
    most: int = 0

    async def prepare(self, episodes: int) -> None:
        pass

    async def play(
        self, task: Task, size: int, group_id: str, *, finished: Callable[[], None] = lambda: None
    ) -> Group:
        number = self.number_of(group_id)
        self.begun.append((number, self.version))
        await together(self._member(number, member, finished) for member in range(size))
        fate = self.fate(number)
        if fate == "wrong":
            raise UsageError("no such thing")
        alive = {"half": size // 2, "lone": 1, "dead": 0}.get(fate, size)
        reward = (lambda member: 0.0) if fate == "same" else float
        return Group(
            group_id,
            task,
            tuple(
                Episode(
                    f"{group_id}.{member}.0",
                    group_id,
                    task.key,
                    0,
                    (),
                    (),
                    {"total": reward(member)},
                    Ending.SOLVED,
                )
                for member in range(alive)
            ),
            (),
            tuple(range(alive)),
        )

    async def _member(self, number: int, member: int, finished: Callable[[], None]) -> None:
        event = self.waiting[number, member] = asyncio.Event()
        self.most = max(self.most, len(self.waiting))
        try:
            await event.wait()
        finally:
            del self.waiting[number, member]
        finished()

    def number_of(self, group_id: str) -> int:
        step, _, place = group_id.removeprefix("train").partition(".")
        return int(step) * self.groups + int(place)

    def end(self, number: int) -> None:
        """End all members of a group."""
        for (group, _), event in self.waiting.items():
            if group == number:
                event.set()

    @property
    def running(self) -> set[int]:
        return {number for number, _ in self.waiting}


def make(
    player: HandPlayer, *, ledger: Ledger | None = None, version: int = 0, **plan: Any
) -> Rollouts:
    settings = RolloutPlan(
        **{"groups": player.groups, "group_size": SIZE, "rounds": 5, "spare": 2, **plan}
    )
    player.version = version
    return Rollouts(
        player, TaskCursor(TASKS, seed=0), ledger or Ledger(SIZE), settings, version=version
    )


async def quiet() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def learned(rollouts: Rollouts, round_: Round, player: HandPlayer) -> None:
    """As a trainer does after an update."""
    rollouts.settle(round_, {one.id for group in round_.groups for one in group.episodes})
    player.version += 1
    rollouts.advance(player.version)


@dataclass
class Played:
    """What came of a whole run."""

    rounds: list[Round]
    ledger: Ledger
    player: HandPlayer


async def play_out(seed: int, fate: Callable[[int], str], **plan: Any) -> Played:
    """A whole run; which member ends next, and when the learner does, is drawn by the seed."""
    rng, player = random.Random(seed), HandPlayer(fate, plan.get("groups", 2))
    rounds: list[Round] = []
    rollouts = make(player, **plan)
    updating = asyncio.Event()

    async def learn() -> None:
        for _ in range(plan.get("rounds", 5)):
            rounds.append(await rollouts.take())
            updating.clear()
            await updating.wait()
            learned(rollouts, rounds[-1], player)

    updating.set()
    learner = asyncio.create_task(learn())
    await quiet()
    while not learner.done():
        moves: list[asyncio.Event] = list(player.waiting.values())
        if not updating.is_set():
            moves.append(updating)
        assert moves, "nothing runs, and nothing is learned: a deadlock"
        rng.choice(moves).set()
        await quiet()
    learner.result()
    await rollouts.aclose()
    return Played(rounds, rollouts.ledger, player)


def staleness(played: Played) -> list[int]:
    begun = dict(played.player.begun)
    return [
        version - begun[number]
        for version, round_ in enumerate(played.rounds)
        for number in round_.numbers
    ]


# ── whole runs ───────────────────────────────────────────────────────────────────────────────


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    eta=st.integers(0, 3),
    groups=st.integers(1, 3),
    concurrency=st.sampled_from([1, 5, 100]),
    distinct=st.booleans(),
    spare=st.integers(0, 3),
    fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=9),
)
async def test_whatever_happens_every_group_gets_to_one_end_and_none_too_late(
    seed: int,
    eta: int,
    groups: int,
    concurrency: int,
    distinct: bool,
    spare: int,
    fates: list[str],
) -> None:
    played = await play_out(
        seed,
        lambda number: fates[number % len(fates)],
        rounds=4,
        groups=groups,
        staleness=eta,
        concurrency=concurrency,
        distinct=distinct,
        spare=spare,
    )
    ledger = played.ledger
    assert len(played.rounds) == 4
    assert max(staleness(played), default=0) <= eta
    assert ledger.unsettled() == []
    assert sum(ledger.counts().values()) == ledger.groups * SIZE == len(played.player.begun) * SIZE
    taken = [number for round_ in played.rounds for number in round_.numbers]
    assert len(set(taken)) == len(taken)
    assert ledger.counts()["trained"] == sum(
        len(group.episodes) for round_ in played.rounds for group in round_.groups
    )
    assert ledger.counts()["stale"] == 0  # stragglers are waited for instead
    rejected = sum(len(round_.rejected) for round_ in played.rounds)
    assert len(taken) + rejected == ledger.groups
    assert all(len(round_.groups) <= groups for round_ in played.rounds)
    assert played.player.most < concurrency + SIZE


@pytest.mark.parametrize("eta", [0, 1, 2])
async def test_when_nothing_fails_exactly_the_groups_of_all_updates_are_begun(eta: int) -> None:
    for seed in range(10):
        played = await play_out(seed, good, staleness=eta)
        assert sorted(played.player.begun) == [(n, v) for n, v in sorted(played.player.begun)]
        assert sorted(number for number, _ in played.player.begun) == list(range(10))
        assert [len(round_.groups) for round_ in played.rounds] == [2] * 5


async def test_with_staleness_something_is_played_ahead() -> None:
    lags = [max(staleness(await play_out(seed, good, staleness=2))) for seed in range(10)]
    assert max(lags) == 2


async def test_every_second_group_fails_and_others_are_played_instead() -> None:
    for eta in (0, 1):
        played = await play_out(1, lambda n: "dead" if n % 2 else "good", staleness=eta, spare=1000)
        assert [len(round_.groups) for round_ in played.rounds] == [2] * 5
        assert played.ledger.counts()["failed"] == SIZE * sum(
            len(round_.rejected) for round_ in played.rounds
        )


async def test_when_all_fail_the_spare_groups_are_the_bound() -> None:
    played = await play_out(1, lambda n: "dead", spare=3)
    assert [len(round_.groups) for round_ in played.rounds] == [0] * 5
    assert len(played.player.begun) == 5 * (2 + 3)


async def test_dynamic_sampling_plays_others_in_place_of_constant_groups() -> None:
    fates = ["same", "same", "good"]
    played = await play_out(1, lambda n: fates[n % 3], distinct=True, spare=8)
    assert all(len(round_.groups) == 2 for round_ in played.rounds)
    assert all(len({e.reward for e in g.episodes}) > 1 for r in played.rounds for g in r.groups)
    assert played.ledger.counts()["filtered"] >= SIZE * 10
    kept = await play_out(1, lambda n: fates[n % 3], distinct=False)
    assert kept.ledger.counts()["filtered"] == 0


# ── one situation at a time ──────────────────────────────────────────────────────────────────


async def test_synchronous_training_begins_nothing_between_two_rounds() -> None:
    player = HandPlayer()
    rollouts = make(player)
    taking = asyncio.create_task(rollouts.take())
    await quiet()
    assert player.running == {0, 1}
    player.end(1)
    await quiet()
    assert player.running == {0}
    assert not taking.done()
    player.end(0)
    round_ = await taking
    await quiet()
    assert round_.numbers == (0, 1)
    learned(rollouts, round_, player)
    await quiet()
    assert player.running == set()
    await rollouts.aclose()


async def test_the_next_round_is_played_while_the_learner_works() -> None:
    player = HandPlayer()
    rollouts = make(player, staleness=1)
    taking = asyncio.create_task(rollouts.take())
    await quiet()
    assert player.running == {0, 1, 2, 3}
    for number in (2, 3):
        player.end(number)
    round_ = await taking  # the oldest are not waited for: they may get staler
    assert round_.numbers == (2, 3)
    assert player.running == {0, 1}
    learned(rollouts, round_, player)
    await quiet()
    assert player.running == {0, 1, 4, 5}
    await rollouts.aclose()


async def test_a_straggler_is_waited_for_only_when_it_may_get_no_staler() -> None:
    player = HandPlayer()
    rollouts = make(player, staleness=1)
    taking = asyncio.create_task(rollouts.take())
    await quiet()
    for number in (1, 2):
        player.end(number)
    learned(rollouts, await taking, player)
    taking = asyncio.create_task(rollouts.take())
    await quiet()
    for number in (3, 4, 5):
        player.end(number)
    await quiet()
    assert not taking.done()  # three are there, but group 0 is due
    player.end(0)
    assert (await taking).numbers == (0, 3)
    await rollouts.aclose()


async def test_the_oldest_of_those_that_are_there_come_first() -> None:
    player = HandPlayer()
    rollouts = make(player, staleness=2)
    taking = asyncio.create_task(rollouts.take())
    await quiet()
    for number in (5, 3, 4, 1):
        player.end(number)
        await quiet()
    assert (await taking).numbers == (3, 5)  # as soon as two were there
    assert rollouts.ledger.states(1) == [CopyState.COMPLETED] * SIZE
    await rollouts.aclose()


async def test_a_member_that_is_over_makes_room_before_its_group_is() -> None:
    player = HandPlayer()
    rollouts = make(player, concurrency=SIZE, staleness=1)
    taking = asyncio.create_task(rollouts.take())
    await quiet()
    assert player.running == {0}
    player.waiting[0, 2].set()
    await quiet()
    assert player.running == {0, 1}
    taking.cancel()
    await rollouts.aclose()


async def test_a_mistake_of_the_caller_is_raised_and_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    player = HandPlayer(lambda number: "wrong" if number == 1 else "good")
    rollouts = make(player, staleness=2)
    taking = asyncio.create_task(rollouts.take())
    await quiet()
    player.end(1)
    with pytest.raises(UsageError, match="no such thing"):
        await taking
    await rollouts.aclose()
    assert asyncio.all_tasks() == before
    assert player.waiting == {}


@pytest.mark.parametrize("moves", range(12))
async def test_stopping_at_any_moment_leaves_nothing_running(moves: int) -> None:
    before = asyncio.all_tasks()
    player, rng = HandPlayer(), random.Random(moves)
    rollouts = make(player, staleness=1)

    async def learn() -> None:
        while True:
            learned(rollouts, await rollouts.take(), player)

    learner = asyncio.create_task(learn())
    await quiet()
    for _ in range(moves):
        rng.choice(list(player.waiting.values())).set()
        await quiet()
    learner.cancel()
    await asyncio.gather(learner, return_exceptions=True)
    await rollouts.aclose()
    await rollouts.aclose()
    assert asyncio.all_tasks() == before
    assert player.waiting == {}


@pytest.mark.parametrize("eta", [0, 1, 2])
async def test_what_was_under_way_when_a_run_was_stopped_is_played_first(eta: int) -> None:
    player = HandPlayer()
    rollouts = make(player, staleness=eta)
    taking = asyncio.create_task(rollouts.take())
    await quiet()
    for number in (0, 1):
        player.end(number)
    learned(rollouts, await taking, player)
    saved = rollouts.state_dict()
    await quiet()
    if eta:  # one more is there, and it is lost with the process
        player.end(2)
        await quiet()
    assert rollouts.state_dict() == saved  # as of the update
    await rollouts.aclose()

    ledger, again = Ledger(SIZE), HandPlayer()
    ledger.load_state_dict(saved)
    resumed = make(again, ledger=ledger, version=1, staleness=eta)
    taking = asyncio.create_task(resumed.take())
    await quiet()
    assert again.running == set(range(2, 2 + 2 * (eta + 1)))
    for number in (2, 3):
        again.end(number)
    round_ = await taking
    assert round_.numbers == (2, 3)
    assert [group.task.key for group in round_.groups] == [
        TaskCursor(TASKS, seed=0).at(number).key for number in (2, 3)
    ]
    await resumed.aclose()


# ── the watchdog ─────────────────────────────────────────────────────────────────────────────


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.text: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def emit(self, record: logging.LogRecord) -> None:
        if not self.text.done():
            self.text.set_result(record.getMessage())


@contextmanager
def hearing() -> Iterator[asyncio.Future[str]]:
    handler, log = _Heard(), logging.getLogger("agentgym_trainers.rollouts")
    log.addHandler(handler)
    try:
        yield handler.text
    finally:
        log.removeHandler(handler)


async def test_the_watchdog_names_what_is_waited_for() -> None:
    timeline, player = Timeline(), HandPlayer()
    plan = RolloutPlan(groups=2, group_size=SIZE, rounds=1, watchdog_s=0.01)
    rollouts = Rollouts(player, TaskCursor(TASKS, seed=0), Ledger(SIZE), plan, timeline=timeline)
    with hearing() as heard, timeline.span("environments", "step", lane="train0.1.3"):
        taking = asyncio.create_task(rollouts.take())
        text = await heard
    assert text == (
        "no group ended for 0.01 s; 0 of 2 are there. Waiting for: train0.1.3: step for 0 s"
    )
    for number in (0, 1):  # and it goes on waiting
        player.end(number)
    assert (await taking).numbers == (0, 1)
    await rollouts.aclose()
