"""The sandboxes that one client holds at one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import aiohttp

from agentgym.sandbox import SandboxSpec
from agentgym_tools.sandboxes.remote.box import RemoteSandbox
from agentgym_tools.sandboxes.remote.client import ServerClient, ServerLost
from agentgym_tools.sandboxes.remote.heartbeat import Heartbeat
from agentgym_tools.sandboxes.remote.messages import (
    AcquireRequest,
    CancelRequest,
    Empty,
    LeaseList,
    LeaseReply,
    SpecMessage,
)
from agentgym_tools.sandboxes.remote.options import ACQUIRE_S, GRACE_S
from agentgym_tools.sandboxes.remote.wire import WireMessage
from agentgym_tools.sandboxes.remote.wire_errors import Refused


@dataclass(slots=True)
class Counts:
    """What a backend has done, over all its servers."""

    running: int = 0
    calls: int = 0
    died: int = 0


class ServerPool:
    """Leases at one server: getting them, keeping them alive, giving them back.

    Args:
        client: The server.
        heartbeat_s: Seconds between heartbeats.
        counts: Shared by all servers of the backend.
        freed: Called with the server when a place there came free.
    """

    def __init__(
        self,
        client: ServerClient,
        heartbeat_s: float,
        counts: Counts,
        freed: Callable[[ServerClient], None],
    ) -> None:
        self.client = client
        self.url = client.url
        self.counts = counts
        self._heartbeat_s = heartbeat_s
        self._freed = freed
        self._boxes: dict[str, RemoteSandbox] = {}
        self._heartbeat = Heartbeat(client, heartbeat_s)
        self._errands: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._boxes)

    async def acquire(self, spec: SandboxSpec, episode_id: str, ttl_s: float) -> RemoteSandbox:
        """Ask the server for a sandbox, once.

        Raises:
            Refused: It said no.
            ServerLost: It cannot be asked.
        """
        if time.monotonic() - self.client.heard_at > self._heartbeat_s:
            await self.client.check()  # short, so that a server that hangs costs little
        request = AcquireRequest.make(
            key=uuid4().hex, spec=SpecMessage.of(spec), episode_id=episode_id, ttl_s=ttl_s
        )
        try:
            return self.adopt(
                await self.client.ask(
                    "acquire", request, LeaseReply, total_s=ACQUIRE_S + 2 * GRACE_S
                )
            )
        except asyncio.CancelledError:
            self._send_soon("cancel", CancelRequest(lease=None, key=request.key))
            raise

    def adopt(self, lease: LeaseReply) -> RemoteSandbox:
        """Keep a new lease alive."""
        box = self._boxes[lease.lease] = RemoteSandbox(self, lease)
        self._heartbeat.hold(lease.lease, lease.heartbeat_ttl_s, box.died)
        return box

    def drop(self, token: str) -> None:
        """A lease is over, whatever the reason."""
        self._heartbeat.drop(token)
        self._boxes.pop(token, None)

    def cancel_call(self, token: str, key: str) -> None:
        """Tell the server, in the background, that nobody waits for a call any more."""
        self._send_soon("cancel", CancelRequest(lease=token, key=key))

    def release_soon(self, token: str) -> asyncio.Task[None]:
        """Give a lease back, in the background."""
        return self._send_soon(
            "release", LeaseList(leases=[token]), lambda: self._freed(self.client)
        )

    async def release(self, token: str) -> None:
        """Give a lease back; if the caller is cancelled, that goes on."""
        await asyncio.shield(self.release_soon(token))

    async def aclose(self) -> None:
        """Give all leases back, and wait for what goes on in the background."""
        held = list(self._boxes)
        for box in list(self._boxes.values()):
            box.end("the backend was closed")
        if held:
            self._send_soon("release", LeaseList(leases=held))
        if self._errands:
            await asyncio.wait(set(self._errands))
        self._heartbeat.stop()

    def _send_soon(
        self, path: str, message: WireMessage, then: Callable[[], None] = lambda: None
    ) -> asyncio.Task[None]:
        async def send() -> None:
            # Best effort: if it does not arrive, the lease's time to live ends what is left.
            with suppress(Refused, ServerLost, TimeoutError, aiohttp.ClientError):
                await self.client.ask_once(path, message.encode(), Empty, total_s=2 * GRACE_S)
            then()

        task = asyncio.create_task(send())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task
