"""The sandboxes that a server has lent out: tokens, times to live, and a bound on how many."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from agentgym.sandbox import Sandbox
from agentgym_tools.sandboxes.remote.messages import LeaseReply, LimitsMessage
from agentgym_tools.sandboxes.remote.metrics import Metrics
from agentgym_tools.sandboxes.remote.options import GRACE_S, ServerOptions
from agentgym_tools.sandboxes.remote.outcomes import Outcomes
from agentgym_tools.sandboxes.remote.wire_errors import Code, refusal


@dataclass(eq=False, slots=True)
class Lease:
    """One sandbox in the hands of one client."""

    box: Sandbox
    ttl_s: float
    """Seconds without a call after which it ends."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    calls: Outcomes = field(default_factory=Outcomes)
    called_at: float = field(default_factory=time.monotonic)
    heard_at: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        """A call began or ended."""
        self.called_at = self.heard_at = time.monotonic()

    def expired(self, heartbeat_ttl_s: float) -> bool:
        """Whether its client is gone, or has forgotten it. A call that runs keeps it alive."""
        now = time.monotonic()
        silent = now - self.heard_at > heartbeat_ttl_s or now - self.called_at > self.ttl_s
        return silent and not self.calls.running


class Leases:
    """All leases of one server."""

    def __init__(self, options: ServerOptions, metrics: Metrics) -> None:
        self._options = options
        self._metrics = metrics
        self._leases: dict[str, Lease] = {}
        self._coming = 0
        self._by_key: dict[str, str] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._leases)

    def reserve(self) -> _Place:
        """A place for a sandbox to come, to be held while it is made.

        Raises:
            Refused: All are taken (429), or the server is about to stop (503).
        """
        after = self._options.retry_after_s
        if self.draining:
            raise refusal(Code.DRAINING, "the server is about to stop", retry_after_s=after)
        taken = len(self._leases) + self._coming
        if taken >= self._options.max_leases:
            message = f"all {self._options.max_leases} sandboxes are leased"
            raise refusal(Code.BUSY, message, retry_after_s=after)
        return _Place(self)

    def add(self, box: Sandbox, ttl_s: float, key: str = "") -> LeaseReply:
        """Lend a sandbox out; ``key`` is that of the request, for :meth:`end_request`."""
        lease = Lease(box, ttl_s)
        self._leases[lease.token] = lease
        if key:
            self._by_key[key] = lease.token
        self._metrics.leased += 1
        return LeaseReply(
            lease=lease.token,
            sandbox_id=box.id,
            limits=LimitsMessage.of(box.limits),
            heartbeat_ttl_s=self._options.lease_ttl_s,
            max_message_bytes=self._options.max_message_bytes,
        )

    def get(self, token: str) -> Lease:
        """Raises Refused if the lease is unknown or has ended."""
        lease = self._leases.get(token)
        if lease is None:
            raise refusal(
                Code.UNKNOWN_LEASE,
                "no such lease: it was given back, its sandbox died, it ended after "
                f"{self._options.lease_ttl_s:g} s without a heartbeat, or the server is a new one",
            )
        return lease

    def beat(self, tokens: Iterable[str]) -> list[str]:
        """Keep leases alive; those that are gone are returned."""
        gone = []
        for token in tokens:
            if lease := self._leases.get(token):
                lease.heard_at = time.monotonic()
            else:
                gone.append(token)
        return gone

    def end(self, token: str) -> asyncio.Task[None] | None:
        """End a lease, its calls and its sandbox, in the background."""
        lease = self._leases.pop(token, None)
        if lease is None:
            return None
        for key in [key for key, of in self._by_key.items() if of == token]:
            del self._by_key[key]
        task = asyncio.create_task(_close(lease))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task

    def end_request(self, key: str) -> None:
        """End the lease that a request with this key got, if it did."""
        if token := self._by_key.get(key):
            self.end(token)

    async def end_all(self) -> None:
        """End every lease, and wait for it."""
        for token in list(self._leases):
            self.end(token)
        if self._endings:
            await asyncio.wait(set(self._endings), timeout=2 * GRACE_S)

    async def reap(self) -> None:
        """End leases when their time is over, for ever."""
        while True:
            await asyncio.sleep(min(1.0, self._options.lease_ttl_s / 4))
            for token, lease in list(self._leases.items()):
                if lease.expired(self._options.lease_ttl_s):
                    self._metrics.expired += 1
                    self.end(token)


class _Place:
    """Holds a place while a sandbox is being made."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    def __enter__(self) -> None:
        self._leases._coming += 1

    def __exit__(self, *exception: object) -> None:
        self._leases._coming -= 1


async def _close(lease: Lease) -> None:
    await lease.calls.cancel_all()
    with suppress(Exception):  # aclose promises to raise nothing, yet backends are plugins
        await lease.box.aclose()
