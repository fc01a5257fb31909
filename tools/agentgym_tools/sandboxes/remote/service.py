"""What a server does, without HTTP: leases of a local backend, and calls on them."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext, suppress
from dataclasses import replace

from agentgym.sandbox import (
    SandboxBackend,
    SandboxDied,
    SandboxSpec,
    SandboxStats,
    SandboxUnavailable,
)
from agentgym_tools.sandboxes.fair_gate import FairGate
from agentgym_tools.sandboxes.remote.calls import Call, CallReply, CallRequest, Fork, Look, Run
from agentgym_tools.sandboxes.remote.deadline import within
from agentgym_tools.sandboxes.remote.leases import Lease, Leases
from agentgym_tools.sandboxes.remote.messages import (
    AcquireRequest,
    CancelRequest,
    Empty,
    GuaranteesMessage,
    LeaseList,
    LeaseReply,
    StatsMessage,
)
from agentgym_tools.sandboxes.remote.metrics import Metrics
from agentgym_tools.sandboxes.remote.options import (
    ACQUIRE_S,
    FILES_S,
    GRACE_S,
    QUEUE_S,
    ServerOptions,
)
from agentgym_tools.sandboxes.remote.outcomes import Outcomes, Reply
from agentgym_tools.sandboxes.remote.perform import deadline_s, perform
from agentgym_tools.sandboxes.remote.wire_errors import Code, Refused, describe, refusal


class SandboxService:
    """Lends out the sandboxes of a local backend."""

    def __init__(self, backend: SandboxBackend, options: ServerOptions) -> None:
        self._backend = backend
        self._options = options
        self.metrics = Metrics()
        self._gate = FairGate(options.max_running)
        self._leases = Leases(options, self.metrics)
        self._requests = Outcomes(answers=1024)
        self._reaper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start and probe the backend, so that no client has to wait for the attacks.

        Raises:
            SandboxUnavailable: It cannot run here.
        """
        await self._backend.start()
        await self._backend.probe()
        self._reaper = asyncio.create_task(self._leases.reap())

    @property
    def draining(self) -> bool:
        """Whether no more sandboxes are leased."""
        return self._leases.draining

    async def drain(self) -> None:
        """Lease no more, and wait, at most ``drain_s``, for the leases there are to end."""
        self._leases.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.drain_s):
                while len(self._leases):
                    await asyncio.sleep(0.05)

    async def end_leases(self) -> None:
        """End every lease; calls that run are answered with an error."""
        self._leases.draining = True
        await self._requests.cancel_all()
        await self._leases.end_all()

    async def aclose(self) -> None:
        """End every lease and the backend."""
        if self._reaper is not None:
            self._reaper.cancel()
        await self.end_leases()
        await self._backend.aclose()

    async def acquire(self, request: AcquireRequest) -> Reply:
        """Lease a sandbox. Refuses with 429 if none is free."""
        return await self._requests.once(request.key, lambda: self._acquire(request))

    async def _acquire(self, request: AcquireRequest) -> Reply:
        spec = request.spec.spec()
        if spec.base is not None:
            spec = replace(spec, base=self._options.allow_base(spec.base))
        limit = ACQUIRE_S + GRACE_S
        return Reply(200, (await within(limit, "acquire", self._lend(spec, request))).encode())

    async def _lend(self, spec: SandboxSpec, request: AcquireRequest) -> LeaseReply:
        with self._leases.reserve():
            try:
                box = await self._backend.acquire(
                    spec,
                    episode_id=request.episode_id,
                    deadline_s=ACQUIRE_S,
                    ttl_s=request.ttl_s,
                )
            except SandboxUnavailable as error:
                if not error.retryable:
                    raise
                after = self._options.retry_after_s
                raise refusal(Code.BUSY, describe(error).message, retry_after_s=after) from error
            return self._leases.add(box, request.ttl_s, request.key)

    async def call(self, request: CallRequest) -> Reply:
        """Do something with a leased sandbox, once for each key."""
        lease = self._leases.get(request.lease)
        lease.touch()
        reply = await lease.calls.once(
            request.key,
            lambda: self._call(lease, request.call),
            repeatable=isinstance(request.call, Look),
        )
        lease.touch()
        return reply

    async def _call(self, lease: Lease, call: Call) -> Reply:
        began = time.monotonic()
        outcome: str = Code.INTERNAL
        try:
            reply = await self._do(lease, call)
            outcome = str(reply.result.status) if reply.result else "ok"
            return self._fitting(call, reply)
        except (asyncio.CancelledError, Exception) as error:
            told = describe(error)
            outcome = told.code
            if isinstance(error, SandboxDied):
                self.metrics.died += 1
                self._leases.end(lease.token)
            raise Refused(told) from error
        finally:
            self.metrics.called(call.method, outcome, time.monotonic() - began)

    async def _do(self, lease: Lease, call: Call) -> CallReply:
        what = f"{call.method} in sandbox {lease.box.id}"
        limit = deadline_s(call, lease.box.limits)
        if isinstance(call, Fork):
            return CallReply(forked=await within(limit, what, self._fork(lease)))
        place = self._gate.place(QUEUE_S, "place to run")
        async with place if isinstance(call, Run) else nullcontext():
            return await within(limit, what, perform(lease.box, call))

    async def _fork(self, lease: Lease) -> LeaseReply:
        with self._leases.reserve():
            return self._leases.add(await lease.box.fork(), lease.ttl_s)

    def _fitting(self, call: Call, reply: CallReply) -> Reply:
        body = reply.encode()
        if len(body) > self._options.max_message_bytes:
            raise refusal(
                Code.TOO_LARGE,
                f"the answer to {call.method} takes {len(body)} bytes; this server sends at most "
                f"{self._options.max_message_bytes}: ask for less at a time, or start it with a "
                "larger --max-message-mb",
            )
        return Reply(200, body)

    async def cancel(self, request: CancelRequest) -> Empty:
        """End a call or a request; does nothing if it is over."""
        if request.lease is not None:
            self._leases.get(request.lease).calls.cancel(request.key)
        else:
            self._requests.cancel(request.key)
            self._leases.end_request(request.key)
        return Empty()

    async def heartbeat(self, request: LeaseList) -> LeaseList:
        """Keep leases alive; tells which are gone."""
        return LeaseList(leases=self._leases.beat(request.leases))

    async def release(self, request: LeaseList) -> Empty:
        """End leases, and wait for it a while, so that what follows finds the places free."""
        endings = [task for token in request.leases if (task := self._leases.end(token))]
        if endings:
            await asyncio.wait(endings, timeout=GRACE_S)
        return Empty()

    async def probe(self, request: Empty) -> GuaranteesMessage:
        """Attack a sandbox of the local backend."""
        return GuaranteesMessage.of(await within(4 * FILES_S, "probe", self._backend.probe()))

    def stats(self) -> StatsMessage:
        """What goes on here."""
        return StatsMessage.of(
            SandboxStats(
                leased=len(self._leases),
                waiting=self._gate.waiting,
                running=self._gate.inside,
                calls=sum(self.metrics.calls.values()),
                died=self.metrics.died,
            )
        )

    def metrics_text(self) -> str:
        """Prometheus text."""
        return self.metrics.text(
            {
                "leases": ("Sandboxes leased now.", len(self._leases)),
                "max_leases": ("Sandboxes that can be leased.", self._options.max_leases),
                "waiting": ("Calls that wait for a place to run.", self._gate.waiting),
                "running": ("Programs that run now.", self._gate.inside),
                "draining": ("1 if no more sandboxes are leased.", float(self.draining)),
            }
        )
