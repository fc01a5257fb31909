"""Groups of episodes for the learner: played ahead of it, and never further than may be."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from agentgym_trainers.collector import Group, Player
from agentgym_trainers.ledger import CopyState, Ledger
from agentgym_trainers.schedule import capacity
from agentgym_trainers.task_cursor import TaskCursor
from agentgym_trainers.timeline import Timeline

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """How much is played, and how far ahead.

    Args:
        groups: Of an update.
        group_size: Episodes of a group.
        rounds: Updates of the whole run; nothing is begun that no update would use.
        staleness: η of :func:`~agentgym_trainers.schedule.capacity`.
        concurrency: Episodes at once.
        distinct: Reject groups in which every episode has the same return (DAPO's dynamic
            sampling, arXiv:2503.14476).
        spare: Groups of a round that may be played in place of rejected ones.
        watchdog_s: After so many seconds in which nothing ended, the log says what is waited for.
    """

    groups: int
    group_size: int
    rounds: int
    staleness: int = 0
    concurrency: int = 128
    distinct: bool = False
    spare: int = 16
    watchdog_s: float = 300.0

    @property
    def at_once(self) -> int:
        """Episodes that may ever run at the same time."""
        return min(self.concurrency, (self.staleness + 1) * self.groups * self.group_size)


@dataclass(frozen=True, slots=True)
class Round:
    """What one update gets: groups in the order they were begun, and those rejected meanwhile.

    ``numbers`` are the groups' places in the ledger.
    """

    groups: tuple[Group, ...]
    numbers: tuple[int, ...]
    rejected: tuple[Group, ...]


class Rollouts:
    """Keeps groups running, as many as the schedule allows, and hands out the oldest.

    A group that may not become any staler is waited for, so that slow tasks are trained on like
    others. With ``staleness`` 0 nothing is begun between two rounds: synchronous training.

    Args:
        tasks: The task of each group, by its number.
        ledger: Where the fate of each copy is kept. Groups in it that did not come to an end are
            played first.
        version: Updates so far.
    """

    def __init__(
        self,
        player: Player,
        tasks: TaskCursor,
        ledger: Ledger,
        plan: RolloutPlan,
        *,
        version: int = 0,
        timeline: Timeline | None = None,
    ) -> None:
        self.ledger = ledger
        self.version = version
        self._player = player
        self._tasks = tasks
        self._plan = plan
        self._timeline = timeline or Timeline()
        self._again = ledger.unsettled()
        ledger.reissue(self._again)
        self._running: dict[int, asyncio.Task[Group]] = {}
        self._members_over: dict[int, int] = {}
        self._done: dict[int, Group] = {}
        self._begun_at: dict[int, int] = {}
        self._rejected: list[Group] = []
        self._spare = plan.spare
        self._lost = 0
        self._open = False
        self._learning = False
        self._settled = ledger.state_dict()
        self._changed = asyncio.Event()

    async def take(self) -> Round:
        """The groups of the next update, when they are there; fewer if too many were rejected.

        Raises:
            UsageError, PluginError: The caller's mistake, found by an episode.
        """
        if not self._running:  # in the midst of play it would change the order of things
            await self._player.prepare(self._plan.at_once)
        self._open = True
        self._begin()
        while not self._ready():
            await self._news()
        self._open = self._plan.staleness > 0
        chosen = sorted(self._done)[: self._plan.groups]
        groups = tuple(self._done.pop(number) for number in chosen)
        rejected, self._rejected = tuple(self._rejected), []
        self._spare, self._lost = self._plan.spare, 0
        self._learning = True
        return Round(groups, tuple(chosen), rejected)

    def settle(self, round_: Round, trained: set[str]) -> None:
        """The update is done; ``trained`` are the ids of the episodes that had a gradient."""
        for number, group in zip(round_.numbers, round_.groups, strict=True):
            for member, episode in zip(group.members, group.episodes, strict=True):
                used = CopyState.TRAINED if episode.id in trained else CopyState.FILTERED
                self.ledger.move(number, member, used)
            self._begun_at.pop(number)
        self._settled = self.ledger.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """The ledger as of the last update, for a checkpoint: what came later is played again."""
        return self._settled

    def advance(self, version: int) -> None:
        """The engine has the weights of this version; more may be begun."""
        self.version = version
        self._learning = False
        if self._open:
            self._begin()

    async def aclose(self) -> None:
        """Stop what is running. May be called twice."""
        self._open = False
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()

    # ── what may be begun ────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        while self._capacity() > 0:
            number = self._again.pop(0) if self._again else self.ledger.issue()
            self._begun_at[number] = self.version
            self._members_over[number] = 0
            task = asyncio.create_task(self._play(number), name=f"group {number}")
            self._running[number] = task
            task.add_done_callback(partial(self._ended, number))

    def _capacity(self) -> int:
        plan = self._plan
        batch = plan.groups * plan.group_size
        over = sum(self._members_over.values())
        kept = (len(self._done) + self._lost) * plan.group_size
        return capacity(
            max_concurrent=plan.concurrency,
            running=len(self._running) * plan.group_size - over,
            staleness=min(plan.staleness, plan.rounds - self.version - 1),
            version=self.version,
            batch=batch,
            accepted=(self.version + self._learning) * batch + kept + over,
        )

    async def _play(self, number: int) -> Group:
        def one_over() -> None:
            self._members_over[number] += 1
            if self._open:
                self._begin()

        step, place = divmod(number, self._plan.groups)
        task, size = self._tasks.at(number), self._plan.group_size
        return await self._player.play(task, size, f"train{step}.{place}", finished=one_over)

    # ── what came of it ──────────────────────────────────────────────────────────────────────

    def _ended(self, number: int, task: asyncio.Task[Group]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._changed.set()  # and stays among the running, where take() finds it
            return
        del self._running[number], self._members_over[number]
        self._judge(number, task.result())
        if self._open:
            self._begin()
        self._changed.set()

    def _judge(self, number: int, group: Group) -> None:
        """Keep the group, or reject it and give its place back."""
        for member in range(self._plan.group_size):
            there = member in group.members
            self.ledger.move(number, member, CopyState.COMPLETED if there else CopyState.FAILED)
        stale = self.version - self._begun_at[number] > self._plan.staleness
        if not stale and _usable(group, distinct=self._plan.distinct):
            self._done[number] = group
            return
        self.ledger.settle(number, CopyState.STALE if stale else CopyState.FILTERED)
        self._rejected.append(group)
        del self._begun_at[number]
        if self._spare:
            self._spare -= 1
        else:
            self._lost += 1

    def _ready(self) -> bool:
        for task in self._running.values():
            if task.done():
                task.result()  # raises
        if not self._running and self._capacity() <= 0:
            return True
        due = self.version - self._plan.staleness
        waited_for = any(self._begun_at[number] <= due for number in self._running)
        return not waited_for and len(self._done) + self._lost >= self._plan.groups

    async def _news(self) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(self._plan.watchdog_s):
                await self._changed.wait()
        except TimeoutError:
            _log.warning(
                "no group ended for %g s; %d of %d are there. Waiting for: %s",
                self._plan.watchdog_s,
                len(self._done),
                self._plan.groups,
                self._timeline.waits(),
            )


def _usable(group: Group, *, distinct: bool) -> bool:
    returns = {episode.reward for episode in group.episodes}
    return len(group.episodes) >= 2 and (len(returns) > 1 or not distinct)
