"""What a model can do in a browser window: one tool each, named by the ids that it was shown.

Whatever goes wrong because of what was asked for is an observation in words; only a dead browser is
an :class:`agentgym.EnvError`.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urljoin, urlsplit

from playwright.async_api import Error
from playwright.async_api import TimeoutError as SlowError
from pydantic import BeforeValidator, Field

from agentgym import EnvError, ToolError
from agentgym.tools import Hidden, Tool, tool
from agentgym_tools.browser.asking import ANSWER_S, aim, ask, limited
from agentgym_tools.browser.window import MOST_TABS, Window

_LONGEST_TEXT = 20_000

ElementId = Annotated[str, BeforeValidator(lambda given: _plain_id(given))]
OneOrMany = Annotated[
    list[str], BeforeValidator(lambda one: [one] if isinstance(one, str) else one)
]
Pixels = Annotated[float, Field(ge=-10_000, le=10_000)]
Here = Annotated[Window, Hidden]


def action(function: Callable[..., Awaitable[str]]) -> Tool:
    """A tool of that function, in which a dead browser is an :class:`agentgym.EnvError`."""

    @functools.wraps(function)
    async def guarded(**values: Any) -> str:
        window: Window = values["window"]
        try:
            with window.errors():
                return await function(**values)
        except EnvError as error:
            if error.kind != "browser_died" or not await window.still_there():
                raise
        await window.settle()
        return "Done; the tab was closed."

    return tool(guarded)


@action
async def click(
    id: ElementId,
    window: Here,
    button: Literal["left", "right", "middle"] = "left",
    times: Annotated[int, Field(ge=1, le=3)] = 1,
) -> str:
    """Click an element.

    Args:
        id: Its number.
        button: Which mouse button.
        times: 2 for a double click.
    """
    spot = await aim(window, id, enabled=True)
    await _mouse(window, "mouseMoved", spot)
    for count in range(1, times + 1):
        press = {"button": button, "clickCount": count}
        await asyncio.gather(
            _mouse(window, "mousePressed", spot, **press),
            _mouse(window, "mouseReleased", spot, **press),
        )
    return await _done(window)


@action
async def fill(
    id: ElementId, text: Annotated[str, Field(max_length=_LONGEST_TEXT)], window: Here
) -> str:
    """Replace what a text field holds.

    Args:
        id: The field's number.
        text: What it shall hold. A date is written as 2024-12-31, a time as 23:59.
    """
    await aim(window, id, enabled=True)
    began = await ask(window, id, "startFill", id, text)
    if began["typed"]:
        async with limited(window):
            if text:
                await window.tab.send("Input.insertText", text=text)
            else:
                await window.tab.page.keyboard.press("Delete")
    return await _done(window)


@action
async def select(id: ElementId, options: OneOrMany, window: Here) -> str:
    """Choose from a drop-down list.

    Args:
        id: The list's number.
        options: What to choose, as the list shows it; several where the list allows it.
    """
    await aim(window, id, enabled=True)
    await ask(window, id, "select", id, options)
    return await _done(window)


@action
async def press(key: Annotated[str, Field(max_length=40)], window: Here, id: ElementId = "") -> str:
    """Press a key, or several together.

    Args:
        key: For example Enter, Tab, Escape, ArrowDown, a or Control+a.
        id: The element to press it in; the focused one when left out.
    """
    if id:
        await ask(window, id, "focus", id)
    clipboard = _clipboard_action(key)
    if clipboard:
        await _use_clipboard(window, clipboard)
        return await _done(window)
    try:
        async with limited(window):
            await window.tab.page.keyboard.press(key)
    except Error as error:
        if "Unknown key" not in error.message:
            raise
        raise ToolError(f"there is no key {json.dumps(key)}", "unknown_key") from error
    return await _done(window)


@action
async def hover(id: ElementId, window: Here) -> str:
    """Move the mouse over an element.

    Args:
        id: Its number.
    """
    await _mouse(window, "mouseMoved", await aim(window, id))
    return await _done(window)


@action
async def drag(
    id: ElementId, window: Here, to: ElementId = "", right: Pixels = 0.0, down: Pixels = 0.0
) -> str:
    """Drag an element with the mouse.

    Args:
        id: Its number.
        to: The number of the element to drop it on; itself when left out.
        right: Pixels further to the right; negative ones to the left.
        down: Pixels further down; negative ones up.
    """
    start = await aim(window, id, enabled=True)
    if to:
        end = await aim(window, to, hit=False)
        start = await aim(window, id, enabled=True)  # seeing the one may have scrolled the other
    else:
        end = start
    mouse = window.tab.page.mouse
    async with limited(window):
        await mouse.move(start["x"], start["y"])
        await mouse.down()
        await mouse.move(end["x"] + right, end["y"] + down, steps=5)
        await mouse.up()
    return await _done(window)


@action
async def scroll(
    window: Here,
    direction: Literal["up", "down", "left", "right"] = "down",
    id: ElementId = "",
) -> str:
    """Scroll by most of a screen.

    Args:
        direction: Where to.
        id: An element inside the part to scroll; the whole page when left out.
    """
    await ask(window, id, "scroll", id, direction)
    return await _done(window)


@action
async def expand(window: Here) -> str:
    """Show the elements that "more elements" stood for, in place of those shown now."""
    if not window.cut:
        raise ToolError("there are no more elements on this screen; scroll", "no_more")
    window.skip += window.shown
    return "Shown."


@action
async def goto(url: Annotated[str, Field(max_length=2_000)], window: Here) -> str:
    """Open an address in this tab.

    Args:
        url: The address, which begins with http://, or a path on the same site.
    """
    await _open(window, _address(url, window.tab.page.url))
    return await _done(window)


@action
async def back(window: Here) -> str:
    """Go back to the page before."""
    return await _travel(window, -1, "there is no page before this one")


@action
async def forward(window: Here) -> str:
    """Go forward again, after going back."""
    return await _travel(window, 1, "there is no page after this one")


@action
async def new_tab(window: Here, url: Annotated[str, Field(max_length=2_000)] = "") -> str:
    """Open a tab.

    Args:
        url: What it shall show; empty when left out.
    """
    if len(window.tabs) >= MOST_TABS:
        raise ToolError(f"there may be {MOST_TABS} tabs; close one first", "too_many_tabs")
    address = _address(url, window.tab.page.url) if url else ""
    await window.open_tab()
    if address:
        await _open(window, address)
    return await _done(window)


@action
async def switch_tab(tab: int, window: Here) -> str:
    """Bring a tab to the front.

    Args:
        tab: Its number in the list of tabs.
    """
    _require_tab(window, tab)
    window.switch(tab)
    async with limited(window):
        await window.tab.page.bring_to_front()
    return await _done(window)


@action
async def close_tab(window: Here, tab: int | None = None) -> str:
    """Close a tab. The last one stays.

    Args:
        tab: Its number in the list of tabs; the one in front when left out.
    """
    number = window.current if tab is None else tab
    _require_tab(window, number)
    if len(window.tabs) == 1:
        raise ToolError("this is the only tab", "last_tab")
    await window.close_tab(number)
    return await _done(window)


@action
async def wait(window: Here, seconds: Annotated[float, Field(ge=0, le=10)] = 1.0) -> str:
    """Let time pass, for a page that needs it.

    Args:
        seconds: How much, at most 10.
    """
    await asyncio.sleep(seconds)
    return await _done(window)


TOOLS: tuple[Tool, ...] = (
    click, fill, select, press, hover, drag, scroll, expand, goto, back, forward, new_tab,
    switch_tab, close_tab, wait,
)  # fmt: skip
"""Every action; their hidden parameter ``window`` is the :class:`Window` to act in."""


def _plain_id(given: object) -> object:
    """Numbers and ``[12]`` are meant as ``12``."""
    return str(given).strip().strip("[]") if isinstance(given, str | int) else given


def _clipboard_action(key: str) -> str:
    """``c``, ``x`` or ``v`` where keys copy, cut or paste."""
    *modifiers, last = key.split("+")
    if not {"Control", "Meta", "ControlOrMeta"}.isdisjoint(modifiers):
        return {"c": "c", "x": "x", "v": "v", "insert": "c"}.get(last.lower(), "")
    return {"Insert": "v", "Delete": "x"}.get(last, "") if modifiers == ["Shift"] else ""


async def _use_clipboard(window: Window, what: str) -> None:
    """Copy, cut or paste by ourselves: Chromium has one clipboard for all its windows."""
    if what in ("c", "x"):
        window.clipboard = (await ask(window, "", "selected"))["text"] or window.clipboard
    async with limited(window):
        if what == "x":
            await window.tab.page.keyboard.press("Delete")
        elif what == "v" and window.clipboard:
            await window.tab.send("Input.insertText", text=window.clipboard)


async def _done(window: Window) -> str:
    window.skip = 0
    calm = await window.settle()
    return "Done." if calm else "Done; the page is still busy."


async def _mouse(window: Window, kind: str, spot: Mapping[str, float], **more: Any) -> None:
    async with limited(window):
        await window.tab.send(
            "Input.dispatchMouseEvent", type=kind, x=spot["x"], y=spot["y"], **more
        )


def _address(url: str, here: str) -> str:
    """The whole address that is meant.

    Raises:
        ToolError: Nothing that can be opened here.
    """
    url = url.strip()
    if "://" not in url and urlsplit(url).scheme in ("", "localhost") and not url.startswith("/"):
        url = f"http://{url}" if "." in url.partition("/")[0] else url
    try:
        address = urljoin(here, url)
        parts = urlsplit(address)
        usable = parts.scheme == "http" and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        text = f"{json.dumps(url[:200])} cannot be opened: only http:// addresses can"
        raise ToolError(text, "refused_address")
    return address


async def _open(window: Window, address: str) -> None:
    try:
        await window.tab.page.goto(address, wait_until="commit", timeout=1000 * ANSWER_S)
    except SlowError as error:
        raise ToolError(f"{address} did not answer in time", "slow_page") from error
    except Error as error:
        if "interrupted by another navigation" in error.message:
            return
        if "net::" not in error.message and "invalid URL" not in error.message:
            raise
        raise ToolError(f"{address} cannot be opened", "refused_address") from error


async def _travel(window: Window, by: int, refusal: str) -> str:
    history = await window.tab.send("Page.getNavigationHistory")
    index = history["currentIndex"] + by
    entries = history["entries"]
    if not 0 <= index < len(entries) or entries[index]["url"] == "about:blank":
        raise ToolError(refusal, "no_history")
    await window.tab.leave("Page.navigateToHistoryEntry", entryId=entries[index]["id"])
    return await _done(window)


def _require_tab(window: Window, number: int) -> None:
    if not 0 <= number < len(window.tabs):
        raise ToolError(
            f"there is no tab {number}; there are 0 to {len(window.tabs) - 1}", "no_tab"
        )
