"""An end to waiting that holds even if the awaited thing ignores its cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from agentgym.sandbox import SandboxDied
from agentgym_tools.sandboxes.remote.options import GRACE_S

T = TypeVar("T")


async def within(seconds: float, what: str, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``. If the caller is cancelled, so is the work.

    Raises:
        SandboxDied: It did not end in time; it is cancelled, and nobody waits for that.
    """
    task = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=GRACE_S)
        raise
    if not done:
        task.cancel()
        task.add_done_callback(look_away)
        raise SandboxDied(f"{what} did not end within {seconds:g} s")
    return task.result()


def look_away(task: asyncio.Task[Any]) -> None:
    """Done callback of a task whose outcome nobody wants any more."""
    if not task.cancelled():
        task.exception()  # else asyncio logs that nobody asked for it
