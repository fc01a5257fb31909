"""Methods that agentgym adds to vLLM's workers (``--worker-extension-cls``), and the broadcasts by
which they get weights from a learner (rank 0).

Learner and workers run this file; it imports nothing of agentgym, whose place in vLLM's environment
is a folder on the path. The groups are their own: whatever else a process does with
``torch.distributed`` is left alone.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
_LOOK_S = 0.5


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
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, 0), family=family)
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
    """This machine's address on the way to another; nothing is sent.

    Raises:
        OSError: There is no such machine, or no way to it.
    """
    family, kind, *_, place = socket.getaddrinfo(host, 1, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])


@dataclass(frozen=True, slots=True)
class Place:
    """One rank's place in a group, and how the group talks.

    Args:
        size: Of the group.
        backend: ``gloo``, through main memory, or ``nccl``, where each rank has a GPU to itself.
        address: Of this machine, for ``gloo``.
        device: The GPU, for ``nccl``.
        join_s: Seconds in which all must have come; with ``nccl`` nobody waits for that.
        bucket_s: Seconds for each bucket.
    """

    rank: int
    size: int
    backend: str
    address: str
    device: torch.device
    join_s: float
    bucket_s: float


class Group:
    """One rank's side of a group of its own.

    Raises:
        RuntimeError: Somebody did not come in time.
    """

    def __init__(self, store: Store, place: Place) -> None:
        self._store = PrefixStore(f"agentgym/{place.backend}", store)  # lives as long as this does
        self._bucket = timedelta(seconds=place.bucket_s)
        self._device = torch.device("cpu")
        self._closed = False
        if place.backend == "nccl":
            self._device = place.device
            nccl = dist.ProcessGroupNCCL.Options()
            nccl._timeout = self._bucket
            self._group: Any = dist.ProcessGroupNCCL(self._store, place.rank, place.size, nccl)
        else:
            gloo = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]
            gloo._timeout = timedelta(seconds=place.join_s)
            gloo._devices = [dist.ProcessGroupGloo.create_device(hostname=place.address)]
            self._group = dist.ProcessGroupGloo(self._store, place.rank, place.size, gloo)

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

    def receive(self, plan: Plan) -> dict[str, torch.Tensor]:
        """What rank 0 sends by the same plan, in main memory.

        Raises:
            RuntimeError: As :meth:`send`.
        """
        received: dict[str, torch.Tensor] = {}
        for bucket in plan:
            buffer = self._buffer(bucket)
            self._broadcast(buffer)
            received.update(_places(bucket, buffer.cpu()))
        return received

    def close(self) -> None:
        """Send no more after the bucket under way."""
        self._closed = True

    def _buffer(self, bucket: Sequence[Entry]) -> torch.Tensor:
        return torch.empty(sum(map(_bytes, bucket)), dtype=torch.uint8, device=self._device)

    def _broadcast(self, buffer: torch.Tensor) -> None:
        if self._closed:
            raise RuntimeError("the group was closed")
        options = dist.BroadcastOptions()
        options.rootRank = options.rootTensor = 0
        options.timeout = self._bucket
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


class TakesWeights:
    """Mixed into the worker's class, so that ``collective_rpc`` finds these methods."""

    model_runner: Any
    rank: int
    device: Any
    _agentgym_name = ""
    _agentgym_joined: Group | None = None

    def agentgym_load(self, folder: str) -> None:
        """Take the weights of a folder."""
        self._agentgym_reload(weights_path=folder)

    def agentgym_group(self) -> str:
        """The name of the learner's group that it is in; empty if in none."""
        return self._agentgym_name

    def agentgym_join(
        self,
        name: str,
        address: str,
        port: int,
        size: int,
        backend: str,
        join_s: float,
        bucket_s: float,
    ) -> str:
        """Join a group of the learner, instead of the last one; what went wrong, or nothing.

        It does not raise: of several workers that do, vLLM would take one's error for the answer to
        the next call.
        """
        self._agentgym_name, self._agentgym_joined = "", None  # closes its connections
        try:
            self._agentgym_joined = Group(
                find(address, port, join_s),
                Place(
                    1 + self.rank,
                    size,
                    backend,
                    address_towards(address),
                    self.device,
                    join_s,
                    bucket_s,
                ),
            )
        except (RuntimeError, OSError) as error:
            return _line(error)
        self._agentgym_name = name
        return ""

    def agentgym_receive(self, plan: Plan) -> str:
        """Take the weights that the learner sends to the group; what went wrong, or nothing.

        All of them are here before the first is loaded: vLLM would not recover from a load that
        breaks off.
        """
        try:
            if self._agentgym_joined is None:
                raise RuntimeError("this worker is in no group; agentgym_join comes first")
            received = self._agentgym_joined.receive(plan)
        except (RuntimeError, OSError) as error:
            self._agentgym_name, self._agentgym_joined = "", None
            return _line(error)
        self._agentgym_reload(weights_iterator=iter(received.items()))
        return ""

    def agentgym_end_with_parent(self) -> None:
        """End this process when the one that started it is gone."""
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()

    def _agentgym_reload(self, **source: Any) -> None:
        """Take weights.

        vLLM on the CPU multiplies by a copy of a linear layer's weights that it makes when the
        layer is loaded. An output layer tied to the embedding is not loaded by itself, and would
        keep the old copy.
        """
        self.model_runner.reload_weights(**source)
        head = getattr(self.model_runner.get_model(), "lm_head", None)
        if hasattr(head, "cpu_linear"):
            from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

            dispatch_cpu_unquantized_gemm(head, remove_weight=False)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)
