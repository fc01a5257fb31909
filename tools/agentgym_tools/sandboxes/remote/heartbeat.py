"""Keeping the leases at one server alive, and noticing when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from agentgym_tools.sandboxes.remote.client import ServerClient, ServerLost
from agentgym_tools.sandboxes.remote.messages import LeaseList
from agentgym_tools.sandboxes.remote.wire_errors import Refused

_MISSES = 3
"""Heartbeats in a row without an answer after which the server is lost."""
_SHORTEST_WAIT_S = 1.0

Lose = Callable[[str], object]


class Heartbeat:
    """One background task that says, for all leases at a server, that their client lives.

    Args:
        client: The server.
        every_s: Seconds between two heartbeats.
    """

    def __init__(self, client: ServerClient, every_s: float) -> None:
        self._client = client
        self._every_s = every_s
        self.leases: dict[str, Lose] = {}
        """By token: what to call with the reason when the lease is lost."""
        self._misses = 0
        self._quicker = asyncio.Event()
        self._task = asyncio.create_task(self._beat_for_ever())

    def hold(self, token: str, ttl_s: float, lose: Lose) -> None:
        """Keep a lease alive, with four heartbeats in its time to live."""
        self.leases[token] = lose
        if ttl_s / 4 < self._every_s:
            self._every_s = ttl_s / 4
            self._quicker.set()

    def drop(self, token: str) -> None:
        """Keep a lease alive no longer."""
        self.leases.pop(token, None)

    def stop(self) -> None:
        """End the task."""
        self._task.cancel()

    async def _beat_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._quicker.wait()  # a wait that began with the longer pause
            self._quicker.clear()
            if self.leases:
                await self._beat()

    async def _beat(self) -> None:
        held = LeaseList(leases=list(self.leases))
        wait_s = max(_SHORTEST_WAIT_S, self._every_s)
        try:
            gone = await self._client.ask_once(
                "heartbeat", held.encode(), LeaseList, total_s=wait_s
            )
        except Refused as error:
            self._lose(held.leases, f"the heartbeat was refused: {error}")
        except (aiohttp.ClientError, TimeoutError, ServerLost) as error:
            self._misses += 1
            if self._misses >= _MISSES:
                why = f"{_MISSES} heartbeats without an answer ({error or 'time-out'})"
                self._client.lost(why)
                self._lose(held.leases, why)
        else:
            self._misses = 0
            self._lose(gone.leases, "the server has ended the lease")

    def _lose(self, tokens: list[str], why: str) -> None:
        for token in tokens:
            if lose := self.leases.pop(token, None):
                lose(f"{self._client.url}: {why}")
