"""One browser for all episodes, and a window of its own for each.

Stops: pages and Chromium itself from reaching anything but the task (every request goes to the
window's gateway), downloads, permissions, and windows that outlive their episode, their pool or
this process. Does not stop: bugs of Chromium, whose own sandbox is off, as root needs; other
programs of this machine that talk to a gateway's port.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from playwright.async_api import Browser, Error, Playwright, async_playwright

from agentgym import EnvError
from agentgym_tools.browser.find import find_chromium
from agentgym_tools.browser.gateway import Answer, Gateway
from agentgym_tools.browser.window import Window

_FLAGS = (
    # Nothing but the gateway: neither names, nor UDP, nor what Chromium does on its own.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-quic",
    "--dns-prefetch-disable",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-pings",
    "--deny-permission-prompts",
    "--disable-gpu",
    "--disable-gpu-compositing",
    "--disable-notifications",
    "--disable-site-isolation-trials",
    "--disable-lcd-text",
    "--font-render-hinting=none",
    "--force-device-scale-factor=1",
    "--js-flags=--max-old-space-size=512",
)
_NOWHERE = "http://127.0.0.1:1"
_LAUNCH_S = 60.0
_CLOSE_S = 10.0


class BrowserPool:
    """Windows in one Chromium, which is started when first needed, and again when it died.

    The next window is made ready while an episode runs.

    Args:
        windows: Most windows at a time; further episodes wait.
        chromium: The program; :func:`find_chromium` finds one otherwise.
    """

    def __init__(self, *, windows: int = 32, chromium: Path | None = None) -> None:
        self._chromium = chromium
        self._free = asyncio.Semaphore(windows)
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._launching = asyncio.Lock()
        self._leased: set[Window] = set()
        self._spare: asyncio.Task[Window] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._size = (0, 0)
        self._closed = False

    async def acquire(
        self, answer: Answer, *, size: tuple[int, int], deadline_s: float = 60.0
    ) -> Window:
        """A fresh window with one empty tab.

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
        except TimeoutError as error:
            text = f"no browser window was free within {deadline_s:g} s"
            raise EnvError("browser_busy", text) from error
        try:
            window = await self._take(size)
        except BaseException:
            self._free.release()
            raise
        window.gateway.answer = answer
        window.on_close(self._give_back)
        self._leased.add(window)
        self._spare = self._spare or asyncio.ensure_future(self._open_window(size))
        return window

    async def aclose(self) -> None:
        """Close every window and end the browser. May be called twice."""
        self._closed = True
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.cancel()
            await asyncio.gather(spare, return_exceptions=True)
        await asyncio.gather(*(window.aclose() for window in list(self._leased)))
        while self._background:
            await asyncio.gather(*self._background)
        await self._end_browser()
        playwright, self._playwright = self._playwright, None
        if playwright is not None:
            await playwright.stop()

    @property
    def leased(self) -> int:
        """Windows in use."""
        return len(self._leased)

    async def _take(self, size: tuple[int, int]) -> Window:
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                window = await asyncio.shield(spare)
            except asyncio.CancelledError:
                self._later(self._discard(spare))
                raise
            except (Error, EnvError):
                pass  # the browser died while it was made
            else:
                if not window.died and window.size == size:
                    return window
                self._later(self._shut(window))
        return await self._open_window(size)

    async def _open_window(self, size: tuple[int, int]) -> Window:
        """A window, in a new browser if the old one is gone.

        Raises:
            EnvError: ``browser_died``: twice in a row.
        """
        for last in (False, True):
            browser = await self._running()
            try:
                return await self._window_of(browser, size)
            except Error as error:
                if last:
                    raise EnvError("browser_died", str(error).partition("\n")[0]) from error
                if self._browser is browser:
                    await self._end_browser()
        raise AssertionError("unreachable")

    async def _window_of(self, browser: Browser, size: tuple[int, int]) -> Window:
        gateway = Gateway()
        await gateway.start()
        context = None
        try:
            context = await browser.new_context(
                proxy={"server": gateway.address},
                viewport={"width": size[0], "height": size[1]},
                accept_downloads=False,
                service_workers="block",
                locale="en-GB",
                timezone_id="UTC",
                reduced_motion="reduce",
            )
            window = Window(context, gateway, size)
            await window.open_tab()
        except BaseException:
            self._later(_close_both(context, gateway))
            raise
        browser.once("disconnected", lambda _: window.die("the browser process ended"))
        return window

    async def _running(self) -> Browser:
        async with self._launching:
            if self._closed:
                raise EnvError("browser_closed", "the pool was closed")
            browser = self._browser
            if browser is not None and browser.is_connected():
                return browser
            if self._playwright is None:
                self._playwright = await async_playwright().start()
            self._browser = await self._playwright.chromium.launch(
                executable_path=self._chromium or find_chromium(),
                args=list(_FLAGS),
                proxy={"server": _NOWHERE},
                chromium_sandbox=False,
                timeout=1000 * _LAUNCH_S,
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
            return self._browser

    async def _end_browser(self) -> None:
        browser, self._browser = self._browser, None
        if browser is not None:
            with suppress(Error, TimeoutError):
                await asyncio.wait_for(browser.close(), _CLOSE_S)

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
            self._free.release()

    async def _shut(self, window: Window) -> None:
        window.die("the window was given back")
        await _close_both(window.context, window.gateway)

    async def _discard(self, spare: asyncio.Task[Window]) -> None:
        with suppress(Error, EnvError):
            await self._shut(await spare)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _close_both(context: Any, gateway: Gateway) -> None:
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


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_pool(*, windows: int = 32) -> AsyncIterator[BrowserPool]:
    """The pool that all callers on this event loop with the same bound have in common."""
    of_loop = _shared.setdefault(asyncio.get_running_loop(), {})
    entry = of_loop.get(windows)
    if entry is None:
        entry = of_loop[windows] = _Shared(BrowserPool(windows=windows))
    entry.users += 1
    try:
        yield entry.pool
    finally:
        entry.users -= 1
        if entry.users == 0:
            of_loop.pop(windows, None)
            await entry.pool.aclose()
