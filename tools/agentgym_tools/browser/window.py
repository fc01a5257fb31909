"""One episode's browser window: an isolated context, its tabs, and its only way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from playwright.async_api import BrowserContext, Dialog, Error, Page

from agentgym import EnvError
from agentgym_tools.browser.gateway import Gateway
from agentgym_tools.browser.screenshot import screenshot
from agentgym_tools.browser.settle import settle
from agentgym_tools.browser.tab import PageLeft, Tab
from agentgym_tools.browser.view import Element, View

MOST_TABS = 8
_MOST_NOTES = 5
_MOST_DIALOGS = 20
"""Dialogs that one action may open before the page is closed."""
_LONGEST_NOTE = 200
_ALIVE_S = 10.0
_POPUP_S = 10.0
_LOOK_S = 30.0
_TITLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of a page is shown, and how long it may take to be ready for that.

    Args:
        elements: Most elements and texts.
        chars: Most characters of names and values; a token has about four.
        load_s: Seconds that it may load.
        quiet_s: Seconds that it may go on changing then, until it is looked at as it is.
    """

    elements: int = 150
    chars: int = 6_000
    load_s: float = 30.0
    quiet_s: float = 3.0


class Window:
    """The tabs of one episode. ``gateway.answer`` says what the pages are.

    Dialogs are accepted, downloads refused and popups made tabs; :attr:`notes` tells of them.
    """

    def __init__(self, context: BrowserContext, gateway: Gateway, size: tuple[int, int]) -> None:
        self.context = context
        self.budget = Budget()
        self.gateway = gateway
        self.size = size
        self.tabs: list[Tab] = []
        self.notes: list[str] = []
        self.clipboard = ""
        self.skip = 0
        """Elements of the page to leave out, since the model has asked for later ones."""
        self.shown = 0
        """Elements that the last view showed."""
        self.cut = 0
        """Elements within the viewport that were over its budget."""
        self._current = 0
        self._died = ""
        self._dialogs = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._popped = asyncio.Event()
        self._seen_popups = 0
        self._popups_of_closed = 0
        self._own = 0
        self._studio: Page | None = None
        self._close: Callable[[Window], Awaitable[None]] | None = None
        context.on("page", self._popped_up)
        context.on("close", lambda _: self.die("the window was closed"))

    @property
    def tab(self) -> Tab:
        """The tab in front.

        Raises:
            EnvError: The browser is gone, and all tabs with it.
        """
        if not self.tabs:
            raise EnvError("browser_died", self._died or "every tab was closed")
        return self.tabs[self._current]

    @property
    def current(self) -> int:
        """The number of the tab in front."""
        return self._current

    @property
    def died(self) -> str:
        """Why the window cannot be used any more; empty while it can."""
        return self._died

    def die(self, why: str) -> None:
        """Note that the browser behind this window is gone."""
        self._died = self._died or why

    async def open_tab(self) -> Tab:
        """A new, empty tab, in front of the others."""
        return await self._adopt(await self._new_page())

    def switch(self, number: int) -> None:
        """Bring a tab to the front."""
        self._current = number
        self.skip = 0

    async def close_tab(self, number: int) -> None:
        """Close a tab that is not the only one."""
        page = self.tabs[number].page
        await page.close()
        self._closed(page)

    async def visit(self, url: str) -> None:
        """Open the start page of an episode.

        Raises:
            EnvError: ``start_page``: it is not there.
        """
        with self.errors():
            answer = await self.tab.page.goto(url, wait_until="commit")
        if answer is None or not answer.ok:
            seen = "nothing" if answer is None else f"status {answer.status}"
            raise EnvError("start_page", f"{url} gave {seen}")

    async def settle(self) -> bool:
        """Wait until the tab in front, and those that it opens, are quiet; whether they are."""
        self._dialogs = 0
        with self.errors():
            calm = await self._settle_tab()
            while await self._opened_more():
                calm = await self._settle_tab()
            if not self.tabs:
                await self.open_tab()
                self.note("The page closed itself; this is a new tab.")
        return calm

    async def _settle_tab(self) -> bool:
        """Whether the tab in front became quiet; another one, if it closes itself meanwhile."""
        while self.tabs:
            tab = self.tab
            try:
                return await settle(tab, self.gateway, self.budget.load_s, self.budget.quiet_s)
            except Error:
                if not await self.still_there():
                    raise
                self._closed(tab.page)
        return False

    async def still_there(self) -> bool:
        """Whether the browser lives, though a page of it may be gone."""
        if self._died:
            return False
        try:
            await asyncio.wait_for(self.context.cookies(), _ALIVE_S)
        except (Error, TimeoutError):
            return False
        return True

    async def _opened_more(self) -> bool:
        """Whether tabs were opened, after waiting for those that were asked for."""
        seen = self._seen_popups
        asked = sum(tab.popups for tab in self.tabs) + self._popups_of_closed
        with suppress(TimeoutError):
            async with asyncio.timeout(_POPUP_S):
                while self._opening or self._seen_popups < asked:
                    self._popped.clear()
                    await self._popped.wait()
        self._seen_popups = max(self._seen_popups, asked)  # one that never came is forgotten
        return self._seen_popups > seen

    async def look(self, error: str = "") -> View:
        """What is to be seen now.

        Raises:
            EnvError: The browser died.
        """
        with self.errors():
            while True:
                tab, budget = self.tab, self.budget
                room = {"elements": budget.elements, "chars": budget.chars, "skip": self.skip}
                try:
                    seen, titles = await self._answer_of(tab, room), await self._titles()
                except Error:
                    if not await self.still_there():
                        raise
                    self._closed(tab.page)
                    await self.settle()
                    continue
                if tab in self.tabs and tab is self.tab:
                    self.shown, self.cut = len(seen["elements"]), seen["cut"]
                    return replace(_view(seen, error), tabs=titles, tab=self.current)

    async def screenshot(self, view: View) -> bytes:
        """The view as a PNG image with its element numbers.

        Raises:
            EnvError: The browser died.
        """
        with self.errors():
            if self._studio is None:
                self._studio = await self._new_page()
            return await screenshot(self.tab, self._studio, view.elements)

    async def html(self, chars: int) -> str:
        """The page's HTML without scripts and styles, cut at ``chars`` characters.

        Raises:
            EnvError: The browser died.
        """
        with self.errors():
            try:
                text: str = await asyncio.wait_for(self.tab.ask_now("html", chars), _LOOK_S)
            except (PageLeft, TimeoutError) as failed:
                raise EnvError("page_hangs", "the page does not respond") from failed
            return text

    async def _answer_of(self, tab: Tab, room: Mapping[str, int]) -> Any:
        """What there is to be seen, if need be after an end to the page's scripts."""
        for last in (False, True):
            try:
                return await asyncio.wait_for(tab.ask_now("look", room), _LOOK_S)
            except (PageLeft, TimeoutError) as failed:
                if last:
                    raise EnvError("page_hangs", "the page does not respond") from failed
                self.note("The page did not respond; its scripts were stopped.")
                await tab.stop_scripts()
        raise AssertionError("unreachable")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Make what Playwright raises a failure of the environment.

        Raises:
            EnvError: ``browser_died``, or ``browser_failed`` if it still lives.
        """
        try:
            yield
        except (Error, RuntimeError) as error:
            why = self._died or _death(error)
            if why:
                raise EnvError("browser_died", why) from error
            raise EnvError("browser_failed", str(error).partition("\n")[0]) from error

    async def aclose(self) -> None:
        """Give the window back. May be called twice."""
        close, self._close = self._close, None
        if close is not None:
            await close(self)

    def on_close(self, close: Callable[[Window], Awaitable[None]]) -> None:
        """Say what :meth:`aclose` does."""
        self._close = close

    def take_notes(self) -> list[str]:
        """What happened since the last call that a model should be told."""
        notes, self.notes = self.notes, []
        return notes

    def note(self, text: str) -> None:
        """Tell the model something with the next view."""
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(text[:_LONGEST_NOTE])

    @contextmanager
    def own_pages(self) -> Iterator[None]:
        """What opens meanwhile is ours: neither a tab of the model's nor counted as one."""
        self._own += 1
        try:
            yield
        finally:
            self._own -= 1

    async def _new_page(self) -> Page:
        with self.own_pages():
            return await self.context.new_page()

    async def _titles(self) -> tuple[str, ...]:
        if len(self.tabs) < 2:
            return ()
        return tuple(await asyncio.gather(*map(_title, self.tabs)))

    async def _adopt(self, page: Page) -> Tab:
        page.on("dialog", self._answer_dialog)
        page.on("close", self._closed)
        page.on("crash", lambda _: self.die("the page crashed"))
        page.on("download", lambda _: self.note("A download was refused."))
        tab = await Tab.open(page)
        self.tabs.append(tab)
        self.switch(len(self.tabs) - 1)
        return tab

    def _popped_up(self, page: Page) -> None:
        if self._own:
            return
        task = asyncio.ensure_future(self._adopt_popup(page))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        self._seen_popups += 1
        self._popped.set()

    async def _adopt_popup(self, page: Page) -> None:
        with suppress(Error):  # it may be closed again before it is there
            if len(self.tabs) >= MOST_TABS:
                self.note(f"A new tab was refused: there are {MOST_TABS}.")
                await page.close()
                return
            await self._adopt(page)
            self.note("The page opened a new tab.")

    def _closed(self, page: Page) -> None:
        for number, tab in enumerate(self.tabs):
            if tab.page is page:
                del self.tabs[number]
                self._popups_of_closed += tab.popups
                if number < self._current or self._current == len(self.tabs):
                    self.switch(max(0, self._current - 1))
                return

    async def _answer_dialog(self, dialog: Dialog) -> None:
        self._dialogs += 1
        if dialog.type != "beforeunload" and self._dialogs < _MOST_NOTES:
            said = " ".join(dialog.message.split())[:_LONGEST_NOTE]
            self.note(f'The page showed the {dialog.type} "{said}"; it was accepted.')
        with suppress(Error):
            if self._dialogs < _MOST_DIALOGS:
                await dialog.accept(dialog.default_value)  # what a prompt suggests
            elif self._dialogs == _MOST_DIALOGS and dialog.page is not None:
                self.note("The page showed dialogs without end and was closed.")
                await dialog.page.close()


async def _title(tab: Tab) -> str:
    """A page's title; none of one that does not respond, or has just gone."""
    try:
        return await asyncio.wait_for(tab.page.title(), _TITLE_S)
    except (Error, TimeoutError):
        return ""


def _death(error: Exception) -> str:
    """Why the browser is gone, if that is what an error tells."""
    text = str(error)
    signs = ("has been closed", "Target crashed", "Connection closed", "Browser closed")
    return text.partition("\n")[0] if any(sign in text for sign in signs) else ""


def _view(seen: Mapping[str, Any], error: str) -> View:
    elements = tuple(
        Element(
            one["id"],
            one["role"],
            one["name"],
            one["value"],
            tuple(one["states"]),
            one["depth"],
            tuple(one["box"]),
        )
        for one in seen["elements"]
    )
    return View(seen["url"], seen["title"], elements, seen["hidden"], error=error)
