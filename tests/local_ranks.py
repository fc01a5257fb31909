"""Several ranks on this machine, as torchrun starts them, forked from a process that has torch."""

import multiprocessing
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public all the same

from agentgym_trainers.distributed.ranks import Ranks, Waits, joined_ranks

PATIENT = Waits(meet_s=120, collective_s=120, order_s=120)


@dataclass(frozen=True, slots=True)
class Told:
    """What one rank came to: a value, or the error it ended with; neither if it was killed."""

    value: Any = None
    error: str = ""
    killed: bool = False


def run_ranks(
    work: Callable[[Ranks, Any], Any], given: Any, *, waits: Waits = PATIENT, silent: int = -1
) -> list[Told]:
    """``work(ranks, given)`` in two processes; both are gone when this returns.

    Args:
        silent: The rank that is expected to hang, and not waited for.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["local_ranks", work.__module__])
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    pipes, processes = [], []
    for rank in range(2):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, rank, store.port, work, pickle.dumps(given), waits)
        process = context.Process(target=_take_part, args=arguments, daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    told = [Told() if rank == silent else _received(pipe) for rank, pipe in enumerate(pipes)]
    for process in processes:
        process.kill()
        process.join()
    return told


def _received(pipe: Connection) -> Told:
    try:
        return Told(*pickle.loads(pipe.recv_bytes()))
    except EOFError:
        return Told(killed=True)


def _take_part(
    pipe: Connection,
    rank: int,
    port: int,
    work: Callable[[Ranks, Any], Any],
    given: bytes,
    waits: Waits,
) -> None:
    torch.set_num_threads(1)
    os.environ |= environment_of(rank, port)
    try:
        with joined_ranks(torch.device("cpu"), waits) as ranks:
            value = work(ranks, pickle.loads(given))
        told = (value, "")
    except Exception as error:
        told = (None, f"{type(error).__name__}: {error}")
    # As bytes: torch's own way of sending tensors needs the sender until they are read.
    pipe.send_bytes(pickle.dumps(told))


def environment_of(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells a rank; the store is the parent's."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
