"""The event loop behind the synchronous façade: one thread per process.

Keyed by process id, so a forked child makes its own instead of waiting for a thread that did
not survive the fork.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_owner_pid = 0
_loop: asyncio.AbstractEventLoop | None = None


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for its result.

    Raises:
        RuntimeError: Called from the background loop's own thread, where waiting would deadlock.
    """
    loop = _background_loop()
    if _running_loop() is loop:
        coroutine.close()
        raise RuntimeError(
            "a synchronous environment call from inside agentgym's event loop would deadlock; "
            "use the async methods there: `await env.begin(...)`, `await env.advance(...)`"
        )
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # an interrupt of the caller ends the step too
        raise


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop, _owner_pid
    if _loop is not None and _owner_pid == os.getpid():
        return _loop
    with _lock:
        if _loop is None or _owner_pid != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="agentgym-loop", daemon=True).start()
            _loop, _owner_pid = loop, os.getpid()
        return _loop


def _after_fork() -> None:
    # The parent's lock may be held by a thread that does not exist in the child.
    global _lock, _loop
    _lock = threading.Lock()
    _loop = None


os.register_at_fork(after_in_child=_after_fork)
