"""Letting at most N in at once, strictly in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agentgym.sandbox import SandboxUnavailable


class FairGate:
    """A semaphore that hands each place to the longest waiter directly.

    A place that becomes free is given to a waiter's future at once, so a newcomer can never take
    it first (``asyncio.Queue`` lets it, and starves waiters under load).
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.inside = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    async def enter(self, deadline_s: float | None = None, what: str = "a place") -> None:
        """Wait for a place.

        Raises:
            SandboxUnavailable: None came free within ``deadline_s`` seconds.
        """
        if self.inside < self.places and not self._waiters:
            self.inside += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(deadline_s):
                await waiter
        except TimeoutError:
            self._withdraw(waiter)
            raise SandboxUnavailable(
                f"no {what} came free within {deadline_s:g} s; all {self.places} are taken and "
                f"{self.waiting} more callers wait",
                retryable=True,
            ) from None
        except BaseException:
            self._withdraw(waiter)
            raise

    def leave(self) -> None:
        """Give the place to the longest waiter, or back."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.inside -= 1

    @asynccontextmanager
    async def place(
        self, deadline_s: float | None = None, what: str = "a place"
    ) -> AsyncIterator[None]:
        """Hold a place for the length of a block."""
        await self.enter(deadline_s, what)
        try:
            yield
        finally:
            self.leave()

    def _withdraw(self, waiter: asyncio.Future[None]) -> None:
        if waiter.done() and not waiter.cancelled():
            self.leave()  # the place arrived at the very moment the caller gave up
        else:
            waiter.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)
