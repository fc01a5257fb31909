"""The processes that learn together: how they meet, talk, and say who is missing.

``torchrun`` starts one process for each device and numbers them; rank 0 leads. Every wait has a
time-out. Each rank notes in the shared store what it does next, so that whoever waits in vain can
name the rank that stayed behind, and where.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # public all the same
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from agentgym.errors import AgentGymError, UsageError

_BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
_WORDS = ("gloo", "nccl", "connection", "timed out", "socket", "store")
"""What tells a failed collective from any other RuntimeError of torch."""
_FAILED = ", and failed: "
_ASK = timedelta(seconds=2)


class PeerError(AgentGymError):
    """Another rank did not answer; the message names it and what was waited for."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds. ``meet_s``: until all processes have started. ``collective_s``: ranks that compute
    the same step. ``order_s``: the others, while rank 0 plays episodes or evaluates.
    """

    meet_s: float = 300.0
    collective_s: float = 120.0
    order_s: float = 14_400.0


@dataclass(slots=True)
class Ranks:
    """One process among ``size``.

    ``broken`` is True once something failed that the others were taking part in.
    """

    rank: int
    size: int
    mesh: DeviceMesh
    _store: Store
    _orders: dist.ProcessGroup
    broken: bool = False
    _place: int = field(default=0)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def tell(self, order: Any) -> None:
        """Rank 0 sends ``order``; the others are in :meth:`hear`."""
        with self.waiting(f"all ranks to take the order {type(order).__name__}"):
            dist.broadcast_object_list([order], src=0, group=self._orders)

    def hear(self) -> Any:
        """What rank 0 tells next."""
        box: list[Any] = [None]
        with self.waiting("the next order of rank 0"):
            dist.broadcast_object_list(box, src=0, group=self._orders)
        return box[0]

    def collect(self, mine: Any, what: str) -> list[Any]:
        """Everybody's ``mine``, by rank."""
        everybodys: list[Any] = [None] * self.size
        with self.waiting(what):
            dist.all_gather_object(everybodys, mine)
        return everybodys

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what the collectives inside are for.

        Raises:
            PeerError: One of them failed or took too long.
        """
        self._place += 1
        self._note(f"{self._place} {what}")
        try:
            yield
        except BaseException as error:
            self.broken = True
            if not _is_of_the_network(error):
                self._note(f"{self._place} {what}{_FAILED}{_short(error)}")
                raise
            raise PeerError(
                f"rank {self.rank} of {self.size} waited for {what}: {_short(error)}; "
                f"{self._who_is_behind()}"
            ) from error

    def _note(self, place: str) -> None:
        with suppress(dist.DistError):  # the store left with rank 0; the collective will say so
            self._store.set(f"place/{self.rank}", place)

    def _who_is_behind(self) -> str:
        """The ranks that say they failed; else those that did not get here; else all others."""
        others = {n: self._place_of(n) for n in range(self.size) if n != self.rank}
        failed = {n: place for n, place in others.items() if _FAILED in place[1]}
        behind = {n: place for n, place in others.items() if place[0] < self._place}
        return "; ".join(
            f"rank {number} ({self._address_of(number)}) was last at: {place[1]}"
            for number, place in (failed or behind or others).items()
        )

    def _place_of(self, number: int) -> tuple[int, str]:
        told = _read(self._store, f"place/{number}")
        if told is None:
            return -1, "unknown, the store at rank 0 is gone" if number == 0 else "its start"
        count, _, what = told.partition(" ")
        return int(count), what

    def _address_of(self, number: int) -> str:
        return _read(self._store, f"here/{number}") or "of unknown address"


@contextmanager
def joined_ranks(device: torch.device, waits: Waits) -> Iterator[Ranks]:
    """Meet the other processes that ``torchrun`` started, and leave them at the end.

    Raises:
        UsageError: This process was not started by ``torchrun``.
        PeerError: Not all came within ``waits.meet_s``; names those that did not.
    """
    rank, size = _number("RANK"), _number("WORLD_SIZE")
    store = _meet(os.environ, rank, size, timedelta(seconds=waits.meet_s))
    try:
        dist.init_process_group(
            _BACKENDS[device.type],
            store=PrefixStore("group", store),
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=waits.collective_s),
        )
    except RuntimeError as error:
        raise PeerError(
            f"rank {rank} of {size} met the others, but reaches one of them no more: "
            f"{_short(error)}"
        ) from error
    try:
        orders = dist.new_group(backend="gloo", timeout=timedelta(seconds=waits.order_s))
        mesh = init_device_mesh(device.type, (size,), mesh_dim_names=("learners",))
        yield Ranks(rank, size, mesh, store, orders)
    finally:
        dist.destroy_process_group()


def _meet(environment: Mapping[str, str], rank: int, size: int, limit: timedelta) -> Store:
    host, port = environment.get("MASTER_ADDR", "127.0.0.1"), _number("MASTER_PORT")
    agents = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    where = f"the meeting point {host}:{port}"
    try:
        tcp = TCPStore(host, port, size, rank == 0 and not agents, limit, wait_for_workers=False)
    except dist.DistError as error:
        raise PeerError(f"rank {rank} of {size}: nobody at {where}: {_short(error)}") from error
    attempt = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = PrefixStore(f"agentgym/{attempt}", tcp)
    store.set(f"here/{rank}", f"{socket.gethostname()}, pid {os.getpid()}")
    try:
        store.wait([f"here/{number}" for number in range(size)], limit)
    except dist.DistError as error:
        missing = [n for n in range(size) if _read(store, f"here/{n}") is None]
        raise PeerError(
            f"rank {rank} of {size} waited {limit.total_seconds():g} s at {where}; "
            f"not there: {', '.join(f'rank {n}' for n in missing)}"
        ) from error
    return store


def _read(store: Store, key: str) -> str | None:
    try:
        store.wait([key], _ASK)
        return str(store.get(key).decode())
    except dist.DistError:
        return None


def _number(variable: str) -> int:
    try:
        return int(os.environ[variable])
    except (KeyError, ValueError):
        raise UsageError(
            f"train.learner=fsdp needs {variable}, which torchrun sets: use agentgym launch, or "
            "torchrun --nproc-per-node N -m agentgym train ..."
        ) from None


def _is_of_the_network(error: BaseException) -> bool:
    text = str(error).lower()
    told = isinstance(error, RuntimeError) and any(word in text for word in _WORDS)
    return told or isinstance(error, dist.DistError)


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
