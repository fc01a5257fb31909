"""How long a sandbox is lent: until it is given back, or nobody has called it for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from agentgym.sandbox import SandboxDied


class Lease:
    """Ends a sandbox that nobody has called for ``ttl_s`` seconds.

    Args:
        name: The sandbox, for messages.
        ttl_s: Seconds without a call.
        expire: What ends the sandbox.
    """

    def __init__(
        self, name: str, ttl_s: float, expire: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._name = name
        self._ttl_s = ttl_s
        self._expire = expire
        self._calls = 0
        self._ended = ""
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._rest()

    @property
    def ended(self) -> bool:
        """Whether the sandbox may not be called any more."""
        return bool(self._ended)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold the lease for the length of one call.

        Raises:
            SandboxDied: It has ended.
        """
        if self._ended:
            raise SandboxDied(f"sandbox {self._name}: {self._ended}")
        self._calls += 1
        self._stop_timer()
        try:
            yield
        finally:
            self._calls -= 1
            self._rest()

    def end(self, reason: str) -> bool:
        """End the lease; whether this was the first time."""
        first = not self._ended
        self._ended = self._ended or reason
        self._stop_timer()
        return first

    def _rest(self) -> None:
        if not self._calls and not self._ended:
            loop = asyncio.get_running_loop()
            self._stop_timer()
            self._timer = loop.call_later(self._ttl_s, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if self.end(f"the lease ended after {self._ttl_s:g} s without a call"):
            self._ending = asyncio.get_running_loop().create_task(self._expire())
