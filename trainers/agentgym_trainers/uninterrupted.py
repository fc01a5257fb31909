"""Work that is finished before a cancellation is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` to its end. A cancellation meanwhile is heard at the caller's next wait."""
    caller = asyncio.current_task()
    assert caller is not None
    task = asyncio.ensure_future(work)
    heard = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            heard = True
            caller.uncancel()
    if heard:
        caller.cancel()
    return task.result()
