"""Waiting for several coroutines, none of which outlives the others' failure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. When one raises, or this is cancelled, the rest is cancelled and over.

    Unlike ``asyncio.gather``, which leaves them running; unlike a task group, it raises what was
    raised first, not a group of exceptions.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            if not task.cancelling():  # a second time would break off its clearing up
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)
