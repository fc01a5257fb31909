"""One tab: a page, and a world of our own inside it that its scripts cannot see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any

from playwright.async_api import CDPSession, Error, Page

_SCRIPT = (files(__package__) / "look.js").read_text("utf-8")
_WORLD = "agentgym"
_LEFT_AGAIN = 20
"""Documents that a tab may pass through while it is being looked at."""
_STOP_S = 5.0
_GONE = (
    "Cannot find context",
    "Execution context was destroyed",
    "uniqueContextId not found",
    "Inspected target navigated",
    "No frame for given id",
    "Cannot find default execution context",
)


class PageLeft(Exception):
    """The document that was asked has been left for another."""


class Tab:
    """A page with a CDP session, and the functions of ``look.js`` in an isolated world."""

    def __init__(self, page: Page, cdp: CDPSession) -> None:
        self.page = page
        self._cdp = cdp
        self._frame = ""
        self._world: int | None = None
        self._loading = False
        self._calm = asyncio.Event()
        self._calm.set()
        self.popups = 0
        """Windows that the page's scripts or links have asked for, ever."""

    @classmethod
    async def open(cls, page: Page) -> Tab:
        """Make ready to look at a page."""
        tab = cls(page, await page.context.new_cdp_session(page))
        tab._cdp.on("Page.frameStartedLoading", tab._leaving)
        tab._cdp.on("Page.frameStoppedLoading", tab._arrived)
        tab._cdp.on("Page.navigatedWithinDocument", tab._arrived)
        tab._cdp.on("Page.windowOpen", tab._asked_for_window)
        await tab._cdp.send("Page.enable")
        tree = await tab._cdp.send("Page.getFrameTree")
        tab._frame = tree["frameTree"]["frame"]["id"]
        return tab

    @property
    def loading(self) -> bool:
        """Whether the page is on its way to another."""
        return self._loading

    async def loaded(self) -> None:
        """Wait until the page is on its way nowhere."""
        await self._calm.wait()

    async def leave(self, method: str, **parameters: Any) -> None:
        """Send a command that leads to another page."""
        self._leaving({"frameId": self._frame})
        await self._cdp.send(method, parameters)

    async def send(self, method: str, **parameters: Any) -> Any:
        """One command of the Chrome DevTools Protocol."""
        return await self._cdp.send(method, parameters)

    async def stop_scripts(self) -> None:
        """End what the page's scripts are doing now, such as a loop."""
        with suppress(TimeoutError, Error):
            await asyncio.wait_for(self._cdp.send("Runtime.terminateExecution"), _STOP_S)

    async def ask(self, function: str, *arguments: object) -> Any:
        """Call a function of ``look.js`` in the document that was looked at last.

        Raises:
            PageLeft: The page is another by now.
        """
        if self._world is None:
            raise PageLeft
        given = ", ".join(json.dumps(one) for one in arguments)
        try:
            answer = await self._cdp.send(
                "Runtime.evaluate",
                {
                    "expression": f"agentgym.{function}({given})",
                    "contextId": self._world,
                    "awaitPromise": True,
                    "returnByValue": True,
                },
            )
        except Error as error:
            if any(reason in error.message for reason in _GONE):
                self._world = None
                raise PageLeft from error
            raise
        return _value(answer, function)

    async def ask_now(self, function: str, *arguments: object) -> Any:
        """The same, in whatever document there is now.

        Raises:
            PageLeft: The page never stays.
        """
        for _ in range(_LEFT_AGAIN):
            try:
                if self._world is None:
                    await self._enter()
                return await self.ask(function, *arguments)
            except PageLeft:
                continue
        raise PageLeft

    async def _enter(self) -> None:
        world = {"frameId": self._frame, "worldName": _WORLD, "grantUniveralAccess": False}
        try:
            made = await self._cdp.send("Page.createIsolatedWorld", world)
            self._world = made["executionContextId"]
            script = {"expression": _SCRIPT, "contextId": self._world}
            _value(await self._cdp.send("Runtime.evaluate", script), "look.js")
        except Error as error:
            if any(reason in error.message for reason in _GONE):
                self._world = None
                raise PageLeft from error
            raise

    def _asked_for_window(self, _: Mapping[str, Any]) -> None:
        self.popups += 1

    def _leaving(self, event: Mapping[str, Any]) -> None:
        if event["frameId"] == self._frame:
            self._loading = True
            self._calm.clear()

    def _arrived(self, event: Mapping[str, Any]) -> None:
        if event["frameId"] == self._frame:
            self._loading = False
            self._calm.set()


def _value(answer: Mapping[str, Any], function: str) -> Any:
    """What the script gave.

    Raises:
        RuntimeError: It failed, which is a mistake of ours.
    """
    if "exceptionDetails" in answer:
        details = answer["exceptionDetails"]
        thrown = details.get("exception", {}).get("description", details.get("text"))
        raise RuntimeError(f"{function} failed in the page: {thrown}")
    return answer["result"].get("value")
