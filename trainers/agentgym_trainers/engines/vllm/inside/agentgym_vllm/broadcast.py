"""Weights from a learner (rank 0) to the workers of one vLLM (the other ranks), by broadcasts.

Both sides run this file. The groups are their own: whatever else a process does with
``torch.distributed`` is left alone. A collective that nobody joins ends after its time-out.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # public all the same

Entry = tuple[str, str, Sequence[int]]
"""Name, dtype and shape of a tensor."""
Plan = Sequence[Sequence[Entry]]
"""What is sent, bucket by bucket; plain JSON."""

_BUCKET_BYTES = 256 << 20
_ALIGN = 16


def plan_of(tensors: Mapping[str, torch.Tensor], bucket_bytes: int = _BUCKET_BYTES) -> Plan:
    """Buckets of at most ``bucket_bytes``, or of one larger tensor."""
    buckets: list[list[Entry]] = []
    room = 0
    for name, tensor in tensors.items():
        entry = (name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        if not buckets or _bytes(entry) > room:
            buckets.append([])
            room = bucket_bytes
        buckets[-1].append(entry)
        room -= _bytes(entry)
    return buckets


def listen(address: str, timeout_s: float) -> TCPStore:
    """The learner's store, where the others find the learner; it listens on ``address`` alone."""
    listener = socket.create_server((address, 0))
    return TCPStore(
        address,
        listener.getsockname()[1],
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(seconds=timeout_s),
        master_listen_fd=listener.detach(),
    )


def find(address: str, port: int, timeout_s: float) -> TCPStore:
    """The learner's store, from elsewhere."""
    return TCPStore(address, port, is_master=False, timeout=timedelta(seconds=timeout_s))


def address_towards(host: str) -> str:
    """This machine's address on the way to another; nothing is sent."""
    family, kind, *_, place = socket.getaddrinfo(host, 1, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])


class Broadcasts:
    """One side of a group. Opening it waits for the others.

    Args:
        store: See :func:`listen` and :func:`find`.
        backend: ``nccl``, where each rank has a GPU to itself, or ``gloo``, through main memory.
        address: Of this machine, for ``gloo``.
        device: Where the weights are, or shall be.
        timeout_s: Seconds for each collective.

    Raises:
        RuntimeError: Somebody did not join in time.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        size: int,
        *,
        backend: str,
        address: str,
        device: torch.device,
        timeout_s: float,
    ) -> None:
        timeout = timedelta(seconds=timeout_s)
        store = PrefixStore(f"agentgym/{backend}", store)
        if backend == "nccl":
            options = dist.ProcessGroupNCCL.Options()
            options._timeout = timeout
            self._group: Any = dist.ProcessGroupNCCL(store, rank, size, options)
            self._device = device
        else:
            choice = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]
            choice._timeout = timeout
            choice._devices = [dist.ProcessGroupGloo.create_device(hostname=address)]
            self._group = dist.ProcessGroupGloo(store, rank, size, choice)
            self._device = torch.device("cpu")
        self._store = store  # lives as long as the group does

    @torch.no_grad()
    def send(self, plan: Plan, tensors: Mapping[str, torch.Tensor]) -> None:
        """Send what the plan names, from rank 0.

        Raises:
            RuntimeError: The connection broke, or somebody did not take it in time.
        """
        for bucket in plan:
            buffer = self._buffer(bucket)
            for name, place in _places(bucket, buffer):
                place.copy_(tensors[name])
            self._broadcast(buffer)

    def receive(self, plan: Plan) -> Iterator[tuple[str, torch.Tensor]]:
        """What rank 0 sends by the same plan, as it comes.

        Raises:
            RuntimeError: As :meth:`send`.
        """
        for bucket in plan:
            buffer = self._buffer(bucket)  # a new one: who takes a tensor may keep it
            self._broadcast(buffer)
            yield from _places(bucket, buffer)

    def _buffer(self, bucket: Sequence[Entry]) -> torch.Tensor:
        return torch.empty(sum(map(_bytes, bucket)), dtype=torch.uint8, device=self._device)

    def _broadcast(self, buffer: torch.Tensor) -> None:
        options = dist.BroadcastOptions()
        options.rootRank = options.rootTensor = 0
        self._group.broadcast([buffer], options).wait()
        if buffer.is_cuda:
            torch.cuda.synchronize(buffer.device)  # wait() orders streams only


def _places(bucket: Sequence[Entry], buffer: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor's part of the buffer, as that tensor."""
    start = 0
    for entry in bucket:
        name, dtype, shape = entry
        end = start + _size(entry)
        yield name, buffer[start:end].view(getattr(torch, dtype)).view(tuple(shape))
        start += _bytes(entry)


def _size(entry: Entry) -> int:
    _, dtype, shape = entry
    return torch.Size(shape).numel() * int(getattr(torch, dtype).itemsize)


def _bytes(entry: Entry) -> int:
    """Its room in a bucket: the next one begins where any dtype may begin."""
    return -(-_size(entry) // _ALIGN) * _ALIGN
