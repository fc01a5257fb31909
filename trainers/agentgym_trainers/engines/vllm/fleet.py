"""The vLLMs of an engine: which of them answers, and setting lost ones right."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentgym_trainers.engines.vllm.replica import Answer, Replica, ReplicaLost, Weights

_log = logging.getLogger(__name__)


class Fleet:
    """Replicas behind an engine.

    A replica is either right (alive, with the newest weights) or doubted. A doubted one is not
    asked before it was looked at and, if need be, started again.

    Args:
        weights: The newest.
    """

    def __init__(self, replicas: Sequence[Replica], weights: Weights) -> None:
        self.weights = weights
        self.restarts = 0
        self._replicas = list(replicas)
        self._right: set[Replica] = set()
        self._repairs: dict[Replica, asyncio.Task[None]] = {}
        self._loading: dict[Replica, Path] = {}
        self._locks = {replica: asyncio.Lock() for replica in replicas}
        self._place: dict[str, Replica] = {}
        self._labels = [weights.label]
        self._versions = {weights.label: weights.version}

    async def start(self) -> None:
        """Start all of them.

        Raises:
            EnvError: One does not start.
        """
        await asyncio.gather(*(one.start(self.weights) for one in self._replicas))
        self._right = set(self._replicas)

    @property
    def folders(self) -> set[Path]:
        """Weights that are in use, or being loaded."""
        return {self.weights.folder, *self._loading.values()}

    async def ready(self, conversation: str) -> Replica:
        """The conversation's replica: the one it had, if that is right.

        Raises:
            EnvError: None is right, and its own does not start.
        """
        while True:
            replica = self._choose(conversation)
            if replica in self._right:
                return replica
            await asyncio.shield(self._repair(replica))

    def release(self, conversation: str) -> None:
        """The conversation is over."""
        self._place.pop(conversation, None)

    def doubt(self, conversation: str) -> None:
        """Something was wrong with the conversation's replica."""
        replica = self._place.get(conversation)
        if replica is not None:
            self._right.discard(replica)
            self._repair(replica)

    def versions_of(self, answer: Answer, asked: Weights) -> tuple[int, ...]:
        """The version that sampled each token of an answer.

        Args:
            asked: The newest weights when it was asked for.

        Raises:
            ReplicaLost: Older weights did, or unknown ones.
        """
        fine = set(self._labels[self._labels.index(asked.label) :])
        if wrong := set(answer.labels) - fine:
            raise ReplicaLost(f"weights {sorted(wrong)} answered, not {asked.label}")
        return tuple(self._versions[label] for label in answer.labels)

    async def abort(self, conversation: str, request_id: str) -> None:
        """End a request; a lost replica has none."""
        replica = self._place.get(conversation)
        if replica in self._right:
            await self._each(lambda one: one.abort(request_id), [replica])

    async def pause(self) -> None:
        """Have them answer what they have, and compute nothing."""
        await self._each(lambda one: one.pause())

    async def update(self, weights: Weights) -> None:
        """Have them load the newest weights."""
        self.weights = weights
        self._labels.append(weights.label)
        self._versions[weights.label] = weights.version
        trusted, self._right = self._right, set()

        async def load(replica: Replica) -> None:
            async with self._locks[replica]:
                with self._held(replica, weights):
                    await replica.load(weights)
                self._right.add(replica)

        try:
            await self._each(load, [one for one in self._replicas if one in trusted])
        finally:  # if it was out of time, some have not loaded
            for replica in trusted - self._right:
                self._repair(replica)

    async def resume(self) -> None:
        """Have them compute again."""
        await self._each(lambda one: one.resume())

    async def aclose(self) -> None:
        """Stop all."""
        repairs = list(self._repairs.values())
        for task in repairs:
            task.cancel()
        await asyncio.gather(*repairs, return_exceptions=True)
        await asyncio.gather(*(one.aclose() for one in self._replicas))

    def _choose(self, conversation: str) -> Replica:
        """Its own replica, if that is right or none is; or the one with the fewest others."""
        among = [one for one in self._replicas if one in self._right] or self._replicas
        own = self._place.get(conversation)
        if own not in among:
            load = Counter(map(id, self._place.values()))
            own = min(among, key=lambda one: load[id(one)])
            self._place[conversation] = own
        return own

    async def _each(
        self,
        act: Callable[[Replica], Coroutine[Any, Any, None]],
        replicas: Sequence[Replica] | None = None,
    ) -> None:
        """Do it with those that are right; one that fails is doubted."""

        async def one(replica: Replica) -> None:
            try:
                await act(replica)
            except ReplicaLost as error:
                _log.warning("%s", error)
                self._right.discard(replica)
                self._repair(replica)

        chosen = [r for r in self._replicas if r in self._right] if replicas is None else replicas
        await asyncio.gather(*map(one, chosen))

    def _repair(self, replica: Replica) -> asyncio.Task[None]:
        """The repair under way, or a new one."""
        task = self._repairs.get(replica)
        if task is None:
            task = asyncio.create_task(self._set_right(replica), name=f"repair {replica.name}")
            task.add_done_callback(lambda done: self._forget(replica, done))
            self._repairs[replica] = task
        return task

    def _forget(self, replica: Replica, repair: asyncio.Task[None]) -> None:
        """Whoever waits for the repair hears of its error; without anybody the next call tries
        again."""
        del self._repairs[replica]
        if not repair.cancelled():
            repair.exception()

    async def _set_right(self, replica: Replica) -> None:
        """Have it alive with the newest weights, also if they change meanwhile."""
        async with self._locks[replica]:
            weights = None
            while weights is not self.weights:
                weights = self.weights
                if await replica.holds(weights):
                    continue
                _log.warning("%s is started again with weights %d", replica.name, weights.version)
                self.restarts += 1
                with self._held(replica, weights):
                    await replica.start(weights)
            self._right.add(replica)

    @contextmanager
    def _held(self, replica: Replica, weights: Weights) -> Iterator[None]:
        """Their folder is needed."""
        self._loading[replica] = weights.folder
        try:
            yield
        finally:
            del self._loading[replica]
