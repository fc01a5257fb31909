"""The only network that an episode's browser has: a proxy that asks the task for every page.

Chromium sends whatever it wants to fetch, loopback included, to the proxy of its context. What the
task does not answer is refused and recorded; nothing is ever fetched from elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse | None]]

_MOST_RECORDED = 100
_REFUSAL = "403: this address is not part of the task, and nothing else can be reached. Go back."


class Gateway:
    """The proxy of one browser context, on a port of its own.

    ``answer`` says what the pages are; without one everything is refused.
    """

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.failure: Exception | None = None
        """What the task's own code raised; that is no fault of the model."""
        self.blocked: list[str] = []
        """Addresses that were refused since they were taken, the first hundred."""
        self.blocked_count = 0
        self._open = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._runner: web.ServerRunner | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """Where the proxy listens, for the browser."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._open > 0

    async def quiet(self) -> None:
        """Wait until no request is being answered."""
        await self._quiet.wait()

    async def start(self) -> None:
        """Begin to listen."""
        server = web.Server(self._serve, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening and drop every connection. May be called twice."""
        self.answer = None
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def take_blocked(self) -> list[str]:
        """The addresses refused since the last call, each once, sorted."""
        blocked, self.blocked = self.blocked, []
        return sorted(set(blocked))

    def refuse(self, address: str) -> None:
        """Record an address that the browser may not see."""
        self.blocked_count += 1
        if len(self.blocked) < _MOST_RECORDED:
            self.blocked.append(address)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._open += 1
        self._quiet.clear()
        try:
            return await self._respond(request)
        finally:
            self._open -= 1
            if not self._open:
                self._quiet.set()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        if request.method == "CONNECT" or "://" not in target:
            secure = f"https://{target.removesuffix(':443')}/"
            self.refuse(secure if request.method == "CONNECT" else target)
            return web.Response(status=403)
        response = None
        if self.answer is not None and target.startswith("http://"):
            try:
                response = await self.answer(request)
            except web.HTTPException:
                raise
            except Exception as error:
                self.failure = error
                return web.Response(status=500, text="500: the server failed.")
        if response is None:
            self.refuse(target)
            return web.Response(status=403, text=_REFUSAL)
        return response
