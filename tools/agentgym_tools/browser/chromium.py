"""One running Chromium, cut off from everything but the proxies of its contexts."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Error,
    Playwright,
    async_playwright,
)

from agentgym import EnvError

_NOWHERE = "http://127.0.0.1:1"
"""Where Chromium's own requests go: a port where nothing may listen."""
_FLAGS = (
    # No way out but the proxy: neither names, nor UDP, nor what Chromium does on its own.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",  # as Chromium calls it
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",  # as its headless shell does
    "--disable-quic",
    "--dns-prefetch-disable",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    f"--autofill-server-url={_NOWHERE}/",  # it would ask what the fields of each form are
    "--no-pings",
    "--deny-permission-prompts",
    # A page looks the same on every machine.
    "--disable-gpu",
    "--disable-lcd-text",
    "--disable-smooth-scrolling",
    "--font-render-hinting=none",
    "--force-device-scale-factor=1",
    # One process for each window, and a page cannot take all memory.
    "--disable-site-isolation-trials",
    "--js-flags=--max-old-space-size=512",
)
_LAUNCH_S = 120.0
_END_S = 10.0


class Chromium:
    """A browser process with its Playwright driver.

    It ends with this process, however that ends: the driver reads from a pipe of ours, and the
    browser from one of the driver's. When the browser dies the driver is ended as well: it leaves
    some of the calls that were under way without an answer, and its own end is one.
    """

    _cdp: CDPSession

    def __init__(self, playwright: Playwright, browser: Browser) -> None:
        self._playwright = playwright
        self._browser = browser
        self._ending: asyncio.Task[None] | None = None
        browser.on("disconnected", lambda _: self._end())

    @classmethod
    async def launch(cls, program: Path) -> Chromium:
        """Start a browser. Cancelled meanwhile, one that was half started is ended first.

        Raises:
            EnvError: ``browser_died``: it does not start, or dies or hangs meanwhile.
        """
        starting = asyncio.ensure_future(cls._launched(program))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(Exception):  # it did not start
                await (await starting).aclose()
            raise

    @classmethod
    async def _launched(cls, program: Path) -> Chromium:
        driver: Playwright | None = None
        try:
            async with asyncio.timeout(_LAUNCH_S):
                driver = await async_playwright().start()
                browser = await driver.chromium.launch(
                    executable_path=program,
                    args=list(_FLAGS),
                    proxy={"server": _NOWHERE},
                    chromium_sandbox=False,
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                )
                chromium = cls(driver, browser)
                chromium._cdp = await browser.new_browser_cdp_session()
                return chromium
        except (Error, TimeoutError) as error:
            await _stop(driver)
            why = str(error).partition("\n")[0] or f"nothing within {_LAUNCH_S:g} s"
            raise EnvError("browser_died", f"{program} does not start: {why}") from error
        except BaseException:
            await _stop(driver)
            raise

    @property
    def alive(self) -> bool:
        """Whether the process is not known to be gone."""
        return self._browser.is_connected()

    async def context(self, proxy: str, size: tuple[int, int]) -> BrowserContext:
        """An isolated profile whose only network is ``proxy``."""
        return await self._browser.new_context(
            proxy={"server": proxy},
            viewport={"width": size[0], "height": size[1]},
            accept_downloads=False,
            service_workers="block",
            locale="en-GB",
            timezone_id="UTC",
            reduced_motion="reduce",
        )

    async def memory_mb(self) -> float:
        """Memory that only this browser's processes hold, as far as the system tells."""
        told = await self._cdp.send("SystemInfo.getProcessInfo")
        return sum(_private_mb(process["id"]) for process in told["processInfo"])

    async def aclose(self) -> None:
        """End the browser and its driver, whether they still live or not. May be called twice."""
        await asyncio.shield(self._end())

    def _end(self) -> asyncio.Task[None]:
        self._ending = self._ending or asyncio.ensure_future(self._ended())
        return self._ending

    async def _ended(self) -> None:
        with suppress(Exception):  # a driver that was killed fails in many ways
            if self.alive:
                await asyncio.wait_for(self._browser.close(), _END_S)
        await _stop(self._playwright)


async def _stop(driver: Playwright | None) -> None:
    if driver is not None:
        with suppress(Exception):
            await asyncio.wait_for(driver.stop(), _END_S)


def _private_mb(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0.0
    pages = int(fields[1]) - int(fields[2])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
