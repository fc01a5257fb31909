"""Browser windows for tests: pages by path, and what was asked for and refused."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from agentgym import ToolCall
from agentgym.tools import ToolBox, ToolOutcome
from agentgym_tools.browser.actions import TOOLS
from agentgym_tools.browser.pool import BrowserPool
from agentgym_tools.browser.view import View
from agentgym_tools.browser.window import Window

HOST = "site.test"


@dataclass
class Pages:
    """Serves the given pages on ``site.test`` and nothing else."""

    texts: Mapping[str, str | web.StreamResponse]
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        if request.url.host != HOST:
            return None
        self.asked.append(request.url.path)
        page = self.texts.get(request.url.path)
        if page is None:
            return web.Response(status=404, text="no such page")
        if isinstance(page, web.StreamResponse):
            return page
        kind = "text/javascript" if request.url.path.endswith(".js") else "text/html"
        return web.Response(text=page, content_type=kind, charset="utf-8")


@dataclass
class Player:
    """Acts in a window as a model does."""

    window: Window
    pages: Pages

    async def open(self, path: str = "/") -> View:
        await self.window.visit(f"http://{HOST}{path}")
        return await self.look()

    async def look(self) -> View:
        await self.window.settle()
        return await self.window.look()

    async def do(self, name: str, **arguments: object) -> ToolOutcome:
        box = ToolBox(TOOLS, hidden=lambda: {"window": self.window})
        return await box.run(ToolCall("call_0", name, "", arguments))

    async def see(self, name: str, **arguments: object) -> View:
        """Do something that must work, and look."""
        outcome = await self.do(name, **arguments)
        assert outcome.error is None, outcome.content
        return await self.window.look()

    async def script(self, code: str) -> object:
        """Run code in the page as its own scripts do."""
        return await self.window.tab.page.evaluate(code)


@asynccontextmanager
async def player(
    pool: BrowserPool, page: str = "", size: tuple[int, int] = (800, 600), **more: str
) -> AsyncIterator[Player]:
    """A window on ``page``; ``more`` are other pages, by path without the slash."""
    pages = Pages({"/": page} | {f"/{path}": text for path, text in more.items()})
    window = await pool.acquire(pages.answer, size=size)
    try:
        yield Player(window, pages)
    finally:
        await window.aclose()
