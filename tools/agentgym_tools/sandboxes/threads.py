"""Waiting for a blocking call in a thread, without ever leaving it behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(
    pool: Executor, work: Callable[[], Result], cancel: Callable[[], None] | None = None
) -> Result:
    """Run ``work`` in the pool and wait for its end, also when the caller is cancelled.

    Args:
        pool: Where it runs.
        work: The blocking call.
        cancel: Makes ``work`` return soon; called once if the caller is cancelled meanwhile.

    Raises:
        CancelledError: The caller was cancelled; ``work`` has ended by then.
    """
    future = asyncio.get_running_loop().run_in_executor(pool, work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            if cancelled is None and cancel is not None:
                cancel()
            cancelled = error
    if cancelled is not None:
        future.exception()  # taken, so that asyncio does not complain that nobody did
        raise cancelled
    return future.result()
