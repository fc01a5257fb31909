"""Groups played by Ray workers: whichever is free takes the oldest group that waits.

A worker that dies or hangs is replaced, and its groups are played again by others: none is lost,
and none is counted twice, since a group is only there once a worker has given it back.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from agentgym import Task
from agentgym_trainers.collector import Group
from agentgym_trainers.config import RunConfig
from agentgym_trainers.distributed.ray_cluster import WorkerLost, answer
from agentgym_trainers.distributed.rollout_worker import (
    PlaySettings,
    Weights,
    new_worker,
    trained_arrays,
)

_log = logging.getLogger(__name__)

_TRIES = 3
"""Workers that a group may cost: one that kills each of them is to blame itself."""
_START_S = 300.0


@dataclass(slots=True)
class Worker:
    """A worker's name and its actor. Another takes the place of one that was lost."""

    name: str
    actor: Any
    started: asyncio.Task[str] | None = None
    replaced: int = 0


class RayRollouts:
    """The workers, and which of them are free.

    Args:
        policy_model: Its weights are the first version.
    """

    def __init__(self, config: RunConfig, policy_model: Any, version: int = 0) -> None:
        self._config = config
        self._weights = _stored(policy_model, version)
        cluster = config.cluster
        names = [f"rollout worker {number}" for number in range(cluster.workers)]
        self.workers = [Worker(name, new_worker(name, config)) for name in names]
        self._free = [worker for worker in self.workers for _ in range(cluster.worker_groups)]
        self._waiting: list[tuple[int, asyncio.Future[Worker]]] = []
        self._numbers = itertools.count()
        self.lost: list[str] = []
        """What became of workers that were replaced."""

    def collector(self, settings: PlaySettings) -> RemoteCollector:
        """Plays groups by these settings."""
        return RemoteCollector(self, settings)

    async def update_weights(self, model: Any, version: int) -> None:
        """Put a model's weights where the workers fetch them, once, before their next group."""
        self._weights = await asyncio.to_thread(_stored, model, version)

    async def play(self, settings: PlaySettings, task: Task, size: int, group_id: str) -> Group:
        """One group, by the next worker that is free.

        Raises:
            UsageError: The caller's mistake.
            WorkerLost: Three workers in a row died of this group, or of starting.
        """
        number = next(self._numbers)
        for tries_left in reversed(range(_TRIES)):
            worker = await self._take(number)
            actor = worker.actor
            try:
                return await self._ask(worker, settings, task, size, group_id)
            except WorkerLost as error:
                _log.warning("%s; it is replaced, and the group played again", error)
                self.lost.append(str(error))
                self._replace(worker, actor)
                if not tries_left:
                    raise
            finally:
                self._give_back(worker)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers:
            ray.kill(worker.actor)

    async def _ask(
        self, worker: Worker, settings: PlaySettings, task: Task, size: int, group_id: str
    ) -> Group:
        if worker.started is None:
            start = answer(worker.actor.start.remote(), worker.name, "to start", _START_S)
            worker.started = asyncio.create_task(start)
        where = await asyncio.shield(worker.started)
        pending = worker.actor.play.remote(settings, task, size, group_id, self._weights)
        who, what = f"{worker.name} ({where})", f"to play group {group_id}"
        group: Group = await answer(pending, who, what, self._config.cluster.group_s)
        return group

    def _replace(self, worker: Worker, actor: Any) -> None:
        if worker.actor is not actor:  # another of its groups was the first to find out
            return
        ray.kill(actor)
        worker.actor, worker.started = new_worker(worker.name, self._config), None
        worker.replaced += 1

    async def _take(self, number: int) -> Worker:
        if self._free:
            return self._free.pop(0)
        mine: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (number, mine))
        try:
            return await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._give_back(mine.result())
            raise

    def _give_back(self, worker: Worker) -> None:
        while self._waiting:
            _, oldest = heapq.heappop(self._waiting)
            if not oldest.done():
                oldest.set_result(worker)
                return
        self._free.append(worker)


@dataclass(frozen=True, slots=True)
class RemoteCollector:
    """What :class:`~agentgym_trainers.collector.Collector` does, done by the workers."""

    rollouts: RayRollouts
    settings: PlaySettings

    async def collect(self, tasks: Sequence[Task], group_size: int, *, name: str) -> list[Group]:
        """One group per task, in the tasks' order. See :meth:`Collector.collect`."""
        plays = [
            self.play(task, group_size, f"{name}.{number}") for number, task in enumerate(tasks)
        ]
        return list(await asyncio.gather(*plays))

    async def prepare(self, episodes: int) -> None:
        """Nothing: each worker makes its environments when it first plays."""

    async def play(
        self, task: Task, size: int, group_id: str, *, finished: Callable[[], None] = lambda: None
    ) -> Group:
        """One group. ``finished`` is called for all members when the whole group is here."""
        group = await self.rollouts.play(self.settings, task, size, group_id)
        for _ in range(size):
            finished()
        return group


def _stored(model: Any, version: int) -> Weights:
    return Weights(version, [ray.put(trained_arrays(model))])
