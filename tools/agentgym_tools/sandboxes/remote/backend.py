"""The ``remote`` backend: sandboxes of one or more servers.

    async with agentgym.open_sandbox("remote", servers=["http://10.0.0.7:8700", …]) as box: …

An episode goes to its own server (rendezvous hashing) and falls back on the next when that one is
full or lost. A lease stays on its server: if that is lost, so is the sandbox (SandboxDied).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp
from yarl import URL

from agentgym.errors import UsageError
from agentgym.sandbox import (
    Gap,
    Guarantees,
    Promise,
    SandboxDied,
    SandboxSpec,
    SandboxStats,
    SandboxUnavailable,
)
from agentgym_tools.sandboxes.remote.box import RemoteSandbox
from agentgym_tools.sandboxes.remote.client import ServerClient, ServerLost
from agentgym_tools.sandboxes.remote.messages import Empty, GuaranteesMessage
from agentgym_tools.sandboxes.remote.options import FILES_S, GRACE_S, TOKEN_VARIABLE
from agentgym_tools.sandboxes.remote.pool import Counts, ServerPool
from agentgym_tools.sandboxes.remote.routing import preference
from agentgym_tools.sandboxes.remote.wire_errors import Code, Refused, exception


class RemoteBackend:
    """Leases sandboxes from servers started with ``agentgym sandbox serve``.

    Args:
        servers: Addresses, for example ``"http://10.0.0.7:8700"``.
        token: What the servers ask for; by default the variable ``AGENTGYM_SANDBOX_TOKEN``.
        heartbeat_s: Seconds between signs of life. After three without an answer a server is
            lost, and every sandbox on it has died.
    """

    def __init__(
        self, servers: Sequence[str] | str, token: str | None = None, *, heartbeat_s: float = 5.0
    ) -> None:
        addresses = [servers] if isinstance(servers, str) else list(servers)
        if not addresses:
            raise UsageError("no servers; give addresses such as 'http://10.0.0.7:8700'")
        if not heartbeat_s > 0:
            raise UsageError(f"heartbeat_s must be above 0, got {heartbeat_s!r}")
        self._urls = list(dict.fromkeys(_address(address) for address in addresses))
        self._token = token or os.environ.get(TOKEN_VARIABLE) or None
        self._heartbeat_s = heartbeat_s
        self._counts = Counts()
        self._waiting = 0
        self._http: aiohttp.ClientSession | None = None
        self._pools: dict[str, ServerPool] = {}
        self._starting = asyncio.Lock()
        self._queue = asyncio.Lock()
        self._freed = asyncio.Event()
        self._found: Guarantees | None = None

    async def start(self) -> None:
        """See that at least one server answers. Raises SandboxUnavailable."""
        async with self._starting:
            if self._http is not None:
                return
            self._open()
            checks = (pool.client.check() for pool in self._pools.values())
            answers = await asyncio.gather(*checks, return_exceptions=True)
            if all(isinstance(answer, ServerLost) for answer in answers):
                await self.aclose()
                raise SandboxUnavailable(
                    f"no sandbox server answers: {'; '.join(map(str, answers))}; "
                    "start one with: agentgym sandbox serve",
                    retryable=True,
                )

    def _open(self) -> None:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy from the environment must not see the token
        )
        for url in self._urls:
            client = ServerClient(url, self._token, self._http)
            self._pools[url] = ServerPool(client, self._heartbeat_s, self._counts, self._free)

    def _free(self, client: ServerClient) -> None:
        if client.full:
            client.wake()
        self._freed.set()

    async def probe(self) -> Guarantees:
        """What all servers that answer hold; each attacks its own backend.

        Raises:
            SandboxUnavailable: None answers.
            UsageError: A server refuses the token.
        """
        if self._found is None:
            await self.start()
            asked = (self._probe(pool.client) for pool in self._pools.values())
            answers = dict(zip(self._pools, await asyncio.gather(*asked), strict=True))
            self._found = _together(answers)
        return self._found

    async def _probe(self, client: ServerClient) -> Guarantees | None:
        try:
            total_s = 4 * FILES_S + GRACE_S
            reply = await client.ask("probe", Empty(), GuaranteesMessage, total_s=total_s)
        except ServerLost:
            return None
        except Refused as error:
            raise _refusal(error, client) from error
        return reply.guarantees()

    async def acquire(
        self,
        spec: SandboxSpec | None = None,
        *,
        episode_id: str = "",
        deadline_s: float = 60.0,
        ttl_s: float = 3600.0,
    ) -> RemoteSandbox:
        """Lease a fresh sandbox from the first server in the episode's order that has one.

        Raises:
            SandboxUnavailable: All are too weak, or none had one in time; names each reason.
            UsageError: A server refuses the token or the request.
        """
        await self.start()
        wanted = _Wanted(
            [self._pools[url] for url in preference(self._pools, episode_id or uuid4().hex)],
            spec or SandboxSpec(),
            episode_id,
            ttl_s,
        )
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline_s) as scope:
                return await self._acquire(wanted)
        except TimeoutError:
            if not scope.expired():
                raise
            raise SandboxUnavailable(
                f"no server had a sandbox within {deadline_s:g} s: {self._troubles()}",
                retryable=True,
            ) from None
        finally:
            self._waiting -= 1

    async def _acquire(self, wanted: _Wanted) -> RemoteSandbox:
        if not self._queue.locked():
            box = await _ask_in_turn(wanted)
            if box is not None:
                return box
        # Those who were refused stand in line: only the first of them asks again.
        async with self._queue:
            while self._http is not None:
                self._freed.clear()
                box = await _ask_in_turn(wanted)
                if box is not None:
                    return box
                soonest = min(pool.client.rests_until for pool in wanted.order)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.01, soonest - time.monotonic())):
                        await self._freed.wait()
        raise SandboxUnavailable("the backend was closed")

    def _troubles(self) -> str:
        clients = [pool.client for pool in self._pools.values()]
        return "; ".join(f"{one.url}: {one.trouble or 'no answer yet'}" for one in clients)

    def stats(self) -> SandboxStats:
        """What this client has leased, waits for and runs."""
        return SandboxStats(
            leased=sum(len(pool) for pool in self._pools.values()),
            waiting=self._waiting,
            running=self._counts.running,
            calls=self._counts.calls,
            died=self._counts.died,
        )

    async def aclose(self) -> None:
        """Give every sandbox back. May be called twice."""
        pools, self._pools = list(self._pools.values()), {}
        http, self._http = self._http, None
        self._found = None
        self._freed.set()
        await asyncio.gather(*(pool.aclose() for pool in pools))
        if http is not None:
            await http.close()


@dataclass(slots=True)
class _Wanted:
    """One request, and the servers that may still serve it, the best first."""

    order: list[ServerPool]
    spec: SandboxSpec
    episode_id: str
    ttl_s: float
    too_weak: list[str] = field(default_factory=list)


async def _ask_in_turn(wanted: _Wanted) -> RemoteSandbox | None:
    """A sandbox of the first server that gives one; None if all rest.

    Raises:
        SandboxUnavailable: All are too weak.
        UsageError: A server refuses the token or the request.
    """
    for pool in list(wanted.order):
        if pool.client.resting:
            continue
        try:
            return await pool.acquire(wanted.spec, wanted.episode_id, wanted.ttl_s)
        except ServerLost:
            continue  # it rests now
        except Refused as error:
            raised = _refusal(error, pool.client)
            if not isinstance(raised, SandboxUnavailable | SandboxDied):
                raise raised from error
            if isinstance(raised, SandboxUnavailable) and not raised.retryable:
                wanted.order.remove(pool)
                wanted.too_weak.append(str(raised))
            else:
                told = error.error
                full = told.code is Code.BUSY
                pool.client.rest(told.retry_after_s or 1.0, told.message, full=full)
    if not wanted.order:
        raise SandboxUnavailable("; ".join(wanted.too_weak))
    return None


def _address(text: str) -> str:
    url = URL(text if "://" in text else f"http://{text}")
    if url.scheme not in ("http", "https") or not url.host or url.path != "/" or url.query_string:
        raise UsageError(f"server {text!r} is not an address such as 'http://10.0.0.7:8700'")
    return str(url.origin())


def _refusal(refused: Refused, client: ServerClient) -> Exception:
    if refused.error.code is Code.UNAUTHORIZED:
        return UsageError(
            f"{client.url}: {refused.error.message}; give token=… or set {TOKEN_VARIABLE}"
        )
    return exception(refused.error, client.url)


def _together(answers: dict[str, Guarantees | None]) -> Guarantees:
    found = {url: answer for url, answer in answers.items() if answer is not None}
    if not found:
        raise SandboxUnavailable(f"no sandbox server answers: {', '.join(answers)}", retryable=True)
    gaps: dict[Promise, Gap] = {}
    for url, answer in found.items():
        for promise, gap in answer.gaps.items():
            gaps.setdefault(promise, Gap(f"on {url}: {gap.reason}", gap.fix))
    forms = sorted({f"{answer.backend}: {answer.form}" for answer in found.values()})
    form = f"{'; '.join(forms)}; {len(found)} of {len(answers)} servers answer"
    return Guarantees("remote", form, gaps)
