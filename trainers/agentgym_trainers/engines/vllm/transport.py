"""How weights get from the learner into a vLLM: by the disk, or by broadcast."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import urlsplit

import torch
from torch.distributed import Store  # type: ignore[attr-defined]  # public all the same

from agentgym_trainers.engines.vllm.inside.agentgym_vllm.broadcast import (
    Broadcasts,
    address_towards,
    listen,
    plan_of,
)
from agentgym_trainers.engines.vllm.options import VllmOptions
from agentgym_trainers.engines.vllm.replica import Replica, ReplicaLost, Weights


class Transport(Protocol):
    """The way to one replica."""

    async def bring(self, weights: Weights, replica: Replica) -> None:
        """Have the paused replica load weights.

        Raises:
            ReplicaLost: It did not.
        """


class ByDisk:
    """The replica reads the weights' folder."""

    async def bring(self, weights: Weights, replica: Replica) -> None:
        """See :class:`Transport`."""
        await replica.ask_workers("agentgym_load", str(weights.folder))


class ByBroadcast:
    """A group of this process and the replica's workers; a new one after any failure.

    Args:
        host: Where the replica runs.
        device: The learner's.
    """

    def __init__(self, host: str, options: VllmOptions, device: torch.device) -> None:
        self._address = options.address or address_towards(host)
        self._backend = options.backend or {"cuda": "nccl"}.get(device.type, "gloo")
        self._timeout_s = options.health_s
        self._device = device
        self._joined: Broadcasts | None = None
        self._name = ""

    async def bring(self, weights: Weights, replica: Replica) -> None:
        """See :class:`Transport`."""
        tensors = await asyncio.to_thread(weights.in_memory)
        plan = plan_of(tensors)
        joined, self._joined = self._joined, None
        groups = await replica.ask_workers("agentgym_group")
        with _lost(replica):
            if joined is None or set(groups) != {self._name}:  # it was started again, unseen
                joined = await self._join(replica, 1 + len(groups))
            await asyncio.gather(
                asyncio.to_thread(joined.send, plan, tensors),
                replica.ask_workers("agentgym_receive", plan),
            )
        self._joined = joined

    async def _join(self, replica: Replica, size: int) -> Broadcasts:
        self._name = uuid.uuid4().hex
        store = listen(self._address, self._timeout_s)
        place = (self._address, store.port, size, self._backend, self._timeout_s)
        joined: Broadcasts
        joined, _ = await asyncio.gather(
            asyncio.to_thread(self._open, store, size),
            replica.ask_workers("agentgym_join", self._name, *place),
        )
        return joined

    def _open(self, store: Store, size: int) -> Broadcasts:
        return Broadcasts(
            store,
            0,
            size,
            backend=self._backend,
            address=self._address,
            device=self._device,
            timeout_s=self._timeout_s,
        )


def transport(options: VllmOptions, device: torch.device, url: str = "") -> Transport:
    """The way that the options ask for, to a replica here or at ``url``."""
    if options.sync == "disk":
        return ByDisk()
    return ByBroadcast(urlsplit(url).hostname or "127.0.0.1", options, device)


@contextmanager
def _lost(replica: Replica) -> Iterator[None]:
    """What torch and sockets raise, as the replica's loss."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        first_line = str(error).partition("\n")[0][:300]
        raise ReplicaLost(f"{replica.name} took no broadcast: {first_line}") from error
