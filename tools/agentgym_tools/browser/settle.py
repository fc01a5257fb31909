"""When a page is quiet: nothing is on its way, and nothing changes any more."""

from __future__ import annotations

import asyncio
import time

from agentgym_tools.browser.gateway import Gateway
from agentgym_tools.browser.tab import PageLeft, Tab


async def settle(tab: Tab, gateway: Gateway, load_s: float, quiet_s: float) -> bool:
    """Wait until nothing loads, nothing is asked for and two frames went by without a change.

    Whether that came about.

    Args:
        tab: The page.
        gateway: Knows of requests under way.
        load_s: Seconds that loading may take in all.
        quiet_s: Seconds that a loaded page may go on changing.
    """
    until = time.monotonic() + load_s
    while (rest := until - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(rest):
                await _loaded(tab, gateway)
                calm = await tab.ask_now("settle", 1000 * quiet_s, 1000 * rest)
        except (PageLeft, TimeoutError):
            return False
        if not tab.loading and not gateway.busy:
            return bool(calm)
    return False


async def _loaded(tab: Tab, gateway: Gateway) -> None:
    while tab.loading or gateway.busy:
        await tab.loaded()
        await gateway.quiet()
