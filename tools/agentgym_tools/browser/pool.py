"""One browser for all episodes, and a window of its own for each.

Stops: pages, and Chromium itself, from reaching anything but the task (every request goes to the
window's gateway; WebRTC and QUIC have no way around it), downloads, files, permissions, and windows
that outlive their episode, their pool or this process.

Does not stop: bugs of Chromium, whose own sandbox is off, since it does not run as root; one page
from slowing down the others; other programs of this machine that talk to a gateway's port.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from playwright.async_api import BrowserContext, Error

from agentgym import EnvError
from agentgym_tools.browser.chromium import Chromium
from agentgym_tools.browser.find import find_chromium
from agentgym_tools.browser.gateway import Answer, Gateway
from agentgym_tools.browser.tab import PageLeft
from agentgym_tools.browser.window import Window

_OPEN_S = 60.0
"""A browser that takes longer to open a window hangs."""
_CLOSE_S = 10.0
_PING_S = 10.0


class BrowserPool:
    """Windows in one Chromium, which is started when first needed, and again when it died.

    :meth:`prepare` makes the next window ready while an episode runs.

    Args:
        windows: Most windows at a time; further episodes wait.
        memory_mb: Memory of the browser's processes from which on no window is opened until others
            are given back; with none left it is started anew.
        chromium: The program; :func:`find_chromium` finds one otherwise.
    """

    def __init__(
        self, *, windows: int = 32, memory_mb: float = 8_192, chromium: Path | None = None
    ) -> None:
        self._program = chromium
        self._memory_mb = memory_mb
        self._free = asyncio.Semaphore(windows)
        self._chromium: Chromium | None = None
        self._launching = asyncio.Lock()
        self._leased: set[Window] = set()
        self._returned = asyncio.Event()
        self._spare: asyncio.Task[Window] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False

    async def acquire(
        self, answer: Answer, *, size: tuple[int, int], deadline_s: float = 60.0
    ) -> Window:
        """A fresh window with one empty tab, first come, first served.

        Args:
            answer: Gives the pages.
            size: Width and height of the pages, in pixels.
            deadline_s: Seconds to wait for a free one.

        Raises:
            EnvError: None was free in time, or the browser does not start.
            PluginMissing: There is no Chromium.
        """
        try:
            await asyncio.wait_for(self._free.acquire(), deadline_s)
            try:
                await asyncio.wait_for(self._make_room(), deadline_s)
                window = await self._take(size)
            except BaseException:
                self._free.release()
                raise
        except TimeoutError as error:
            text = f"no browser window was free within {deadline_s:g} s"
            raise EnvError("browser_busy", text) from error
        window.gateway.answer = answer
        window.on_close(self._give_back)
        self._leased.add(window)
        return window

    def prepare(self, size: tuple[int, int]) -> None:
        """Make a window ready in the background, for the next to acquire one of this size."""
        if self._spare is None and not self._closed:
            self._spare = asyncio.ensure_future(self._open_window(size))

    async def aclose(self) -> None:
        """Close every window and end the browser. May be called twice."""
        self._closed = True
        spare, self._spare = self._spare, None
        if spare is not None:
            self._later(self._discard(spare))
        try:
            for window in list(self._leased):
                await window.aclose()
            while self._background:
                await asyncio.gather(*self._background, return_exceptions=True)
        finally:  # cancelled, too
            await self._end_browser(self._chromium)

    @property
    def leased(self) -> int:
        """Windows in use."""
        return len(self._leased)

    async def memory_mb(self) -> float:
        """Memory that the browser's processes hold; 0 while there is none."""
        if self._chromium is None:
            return 0.0
        try:
            return await self._chromium.memory_mb()
        except Error:
            return 0.0  # it is dead, and will be found so

    async def _make_room(self) -> None:
        while await self.memory_mb() > self._memory_mb:
            if not self._leased:  # what is left is the browser's own
                await self._end_browser(self._chromium)
                return
            self._returned.clear()
            await self._returned.wait()

    async def _take(self, size: tuple[int, int]) -> Window:
        """The window that was made ready, if it fits and lives, or another."""
        spare, self._spare = self._spare, None
        if spare is None:
            return await self._open_window(size)
        try:
            window = await asyncio.shield(spare)
        except asyncio.CancelledError:
            self._later(self._discard(spare))
            raise
        except EnvError:  # the browser died while it was made
            return await self._open_window(size)
        try:
            if window.size == size and await _responds(window):
                return window
        except asyncio.CancelledError:
            self._later(self._shut(window))
            raise
        self._later(self._shut(window))
        return await self._open_window(size)

    async def _open_window(self, size: tuple[int, int]) -> Window:
        """A window, in a new browser if the old one is gone.

        Raises:
            EnvError: ``browser_died``, or hung, twice in a row.
        """
        why = ""
        for _ in range(2):
            chromium = await self._running()
            try:
                async with asyncio.timeout(_OPEN_S):
                    return await self._window_of(chromium, size)
            except (Error, PageLeft, TimeoutError) as error:
                why = str(error).partition("\n")[0] or f"no window came within {_OPEN_S:g} s"
            await self._end_browser(chromium)
        raise EnvError("browser_died", why)

    async def _window_of(self, chromium: Chromium, size: tuple[int, int]) -> Window:
        gateway = Gateway()
        await gateway.start()
        context = None
        try:
            context = await chromium.context(gateway.address, size)
            window = Window(context, gateway, size)
            tab = await window.open_tab()
            await tab.ask_now("ping")  # the first question takes longest
        except BaseException:
            self._later(_close_both(context, gateway))
            raise
        return window

    async def _running(self) -> Chromium:
        async with self._launching:
            if self._closed:
                raise EnvError("browser_closed", "the pool was closed")
            if self._chromium is not None and not self._chromium.alive:
                await self._end_browser(self._chromium)
            if self._chromium is None:
                program = self._program or find_chromium()
                self._chromium = await Chromium.launch(program)
            return self._chromium

    async def _end_browser(self, chromium: Chromium | None) -> None:
        """End this browser, unless somebody else has done so already."""
        if chromium is not None and chromium is self._chromium:
            self._chromium = None
            await chromium.aclose()

    async def _give_back(self, window: Window) -> None:
        """Close a window without making anybody wait for it."""
        if window in self._leased:
            self._leased.discard(window)
            window.gateway.answer = None
            self._later(self._shut_leased(window))

    async def _shut_leased(self, window: Window) -> None:
        try:
            await self._shut(window)
        finally:
            self._returned.set()
            self._free.release()

    async def _shut(self, window: Window) -> None:
        window.die("the window was given back")
        await _close_both(window.context, window.gateway)

    async def _discard(self, spare: asyncio.Task[Window]) -> None:
        with suppress(EnvError):
            await self._shut(await spare)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _responds(window: Window) -> bool:
    try:
        await asyncio.wait_for(window.tab.ask_now("ping"), _PING_S)
    except (Error, EnvError, PageLeft, TimeoutError):
        return False
    return True


async def _close_both(context: BrowserContext | None, gateway: Gateway) -> None:
    try:
        if context is not None:
            with suppress(Error, TimeoutError):  # the browser may be gone
                await asyncio.wait_for(context.close(), _CLOSE_S)
    finally:
        await gateway.aclose()


@dataclass(slots=True)
class _Shared:
    """A pool in use by several callers of one event loop; the last to leave closes it."""

    pool: BrowserPool
    users: int = 0


_Options = tuple[int, float]
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Options, _Shared]]
_shared = WeakKeyDictionary()


@asynccontextmanager
async def shared_pool(*, windows: int = 32, memory_mb: float = 8_192) -> AsyncIterator[BrowserPool]:
    """The pool that all callers on this event loop with the same bounds have in common."""
    of_loop = _shared.setdefault(asyncio.get_running_loop(), {})
    key = windows, memory_mb
    entry = of_loop.get(key)
    if entry is None:
        pool = BrowserPool(windows=windows, memory_mb=memory_mb)
        entry = of_loop[key] = _Shared(pool)
    entry.users += 1
    try:
        yield entry.pool
    finally:
        entry.users -= 1
        if entry.users == 0:
            of_loop.pop(key, None)
            await entry.pool.aclose()
