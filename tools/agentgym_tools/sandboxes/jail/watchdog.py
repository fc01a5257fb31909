"""Counting the memory of a call's processes where no control group does it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agentgym.sandbox import Limits
from agentgym_tools.sandboxes.jail.slot import Runner, Slot

_INTERVAL_S = 0.02
_PAGE = os.sysconf("SC_PAGESIZE")


@asynccontextmanager
async def watching(
    slot: Slot, runner: Runner, limits: Limits, on_excess: Callable[[], None]
) -> AsyncIterator[None]:
    """Call ``on_excess`` when a runner's processes together use more than ``memory_mb``.

    Does nothing where a control group does it better.
    """
    if slot.group is not None:
        yield
        return
    task = asyncio.create_task(_watch(runner, limits.memory_mb << 20, on_excess))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(runner: Runner, limit: int, on_excess: Callable[[], None]) -> None:
    pid = runner.host_pid()
    while sum(map(_private_bytes, _tree(pid))) <= limit:
        await asyncio.sleep(_INTERVAL_S)
    on_excess()


def _tree(pid: int) -> Iterator[int]:
    """A process and all that descend from it. Orphans stay below their runner."""
    yield pid
    with suppress(OSError, ValueError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _tree(int(child))


def _private_bytes(pid: int) -> int:
    """Memory that is this process's own. What forks share is counted once for each."""
    try:
        _size, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * _PAGE
