"""Counting the memory and the processes of a sandbox where no control group does it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from agentgym.sandbox import ExecStatus, Limits
from agentgym_tools.sandboxes.jail.slot import OWN_PROCESSES

_INTERVAL_S = 0.02


async def watch(pid: int, limits: Limits, on_excess: Callable[[ExecStatus], None]) -> None:
    """Call ``on_excess`` whenever a slot's processes together use more than ``memory_mb``, or are
    more than ``pids``. Runs until it is cancelled.

    Sees what processes have mapped, every 20 ms. Does not see what the kernel keeps for them, such
    as full pipes and sockets.
    """
    allowed = limits.memory_mb << 20
    while True:
        await asyncio.sleep(_INTERVAL_S)
        processes = list(_tree(pid))
        if len(processes) > limits.pids + OWN_PROCESSES:
            on_excess(ExecStatus.KILLED)
        # What forks share counts for each of them in the cheap sum, but not in the exact one.
        elif sum(map(_resident, processes)) > allowed and sum(map(_share, processes)) > allowed:
            on_excess(ExecStatus.OOM)


def _tree(root: int) -> Iterator[int]:
    """A process and all that descend from it. Orphans stay below it."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        with suppress(OSError, ValueError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())


def _resident(pid: int) -> int:
    """Bytes of memory that no file on a disk backs."""
    return _sum_of(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:"))


def _share(pid: int) -> int:
    """The same, each page divided by the number of processes that have it."""
    path = f"/proc/{pid}/smaps_rollup"
    return _sum_of(path, ("Pss_Anon:", "Pss_Shmem:")) or _resident(pid)


def _sum_of(path: str, keys: tuple[str, ...]) -> int:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:  # it ended, or it is not ours to look at
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(keys)) * 1024
