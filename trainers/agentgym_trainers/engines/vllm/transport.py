"""How weights get from the learner into a vLLM: by the disk, or by broadcast."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import torch

from agentgym.errors import UsageError
from agentgym.tools.daemon_thread import call_in_thread
from agentgym_trainers.engines.vllm.inside.agentgym_vllm_worker import (
    Group,
    Place,
    address_towards,
    listen,
    plan_of,
)
from agentgym_trainers.engines.vllm.options import VllmOptions
from agentgym_trainers.engines.vllm.replica import Replica, ReplicaLost, Weights

T = TypeVar("T")


class Transport(Protocol):
    """The way to one replica."""

    async def bring(self, weights: Weights, replica: Replica) -> None:
        """Have the paused replica load weights.

        Raises:
            ReplicaLost: It did not.
        """

    def close(self) -> None:
        """Let go of what is open."""


class ByDisk:
    """The replica reads the weights' folder."""

    async def bring(self, weights: Weights, replica: Replica) -> None:
        """See :class:`Transport`."""
        await replica.ask_workers("agentgym_load", str(weights.folder))

    def close(self) -> None:
        """Nothing is open."""


class ByBroadcast:
    """A group of this process and the replica's workers; a new one after any failure.

    Args:
        host: Where the replica runs.
        device: The learner's.
    """

    def __init__(self, host: str, options: VllmOptions, device: torch.device) -> None:
        self._host = host
        self._options = options
        self._device = device
        self._joined: Group | None = None
        self._name = ""

    async def bring(self, weights: Weights, replica: Replica) -> None:
        """See :class:`Transport`."""
        tensors = await asyncio.to_thread(weights.in_memory)
        plan = plan_of(tensors)
        groups = await replica.ask_workers("agentgym_group")
        with _lost(replica):
            if self._joined is None or set(groups) != {self._name}:  # started again, unseen
                self.close()
                self._joined = await self._join(replica, 1 + len(groups))
            try:
                await _both(
                    call_in_thread(self._joined.send, plan=plan, tensors=tensors),
                    replica.ask_workers("agentgym_receive", plan),
                )
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Leave the group."""
        if self._joined is not None:
            self._joined.close()
        self._joined, self._name = None, ""

    async def _join(self, replica: Replica, size: int) -> Group:
        options, name = self._options, uuid.uuid4().hex
        address = options.address or await asyncio.to_thread(address_towards, self._host)
        store = listen(address, options.health_s)
        place = Place(
            0, size, options.backend, address, self._device, options.health_s, options.start_s
        )
        there = (address, store.port, size, options.backend, options.health_s, options.start_s)
        joined: Group = await _both(
            call_in_thread(Group, store=store, place=place),
            replica.ask_workers("agentgym_join", name, *there),
        )
        self._name = name
        return joined


def transport(options: VllmOptions, device: torch.device, url: str = "") -> Transport:
    """The way that the options ask for, to a replica here or at ``url``.

    Raises:
        UsageError: NCCL, and the learner is on no GPU.
    """
    if options.sync == "disk":
        return ByDisk()
    if options.backend == "nccl" and device.type != "cuda":
        raise UsageError(f"engine.options.backend=nccl needs the learner on a GPU, not {device}")
    return ByBroadcast(urlsplit(url).hostname or "127.0.0.1", options, device)


async def _both(here: Coroutine[Any, Any, T], there: Coroutine[Any, Any, Sequence[Any]]) -> T:
    """Do this side's part while the workers do theirs; what this side's part gives.

    Raises:
        RuntimeError: The workers say that theirs failed.
    """
    asked = asyncio.ensure_future(there)
    doing = asyncio.ensure_future(here)
    try:
        done: T
        done, said = await asyncio.gather(doing, asked)
    except BaseException:
        asked.cancel()
        doing.cancel()
        raise
    if wrong := [text for text in said if text]:
        raise RuntimeError(wrong[0])
    return done


@contextmanager
def _lost(replica: Replica) -> Iterator[None]:
    """What torch and sockets raise, as the replica's loss."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        first_line = str(error).partition("\n")[0][:300]
        raise ReplicaLost(f"{replica.name} took no broadcast: {first_line}") from error
