"""A picture of a page with its element numbers drawn in (set-of-mark, arXiv:2310.11441)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files

from playwright.async_api import Page

from agentgym_tools.browser.tab import Tab
from agentgym_tools.browser.view import Element

_DRAW = (files(__package__) / "marks.js").read_text("utf-8")
_CONTAINERS = frozenset({"main", "navigation", "banner", "contentinfo", "row", "table", "iframe"})
"""Roles that are not marked: a box around everything hides what is in it."""


async def screenshot(tab: Tab, studio: Page, elements: Sequence[Element]) -> bytes:
    """What the viewport shows, as PNG, with a box and a number for each element that has one.

    Args:
        tab: The page, which notices nothing: the numbers are drawn elsewhere.
        studio: An empty page to draw in.
        elements: What was to be seen.
    """
    shot = await tab.send("Page.captureScreenshot", format="png")
    marks = [[one.id, *one.box] for one in elements if one.id and one.role not in _CONTAINERS]
    return base64.b64decode(await studio.evaluate(_DRAW, [shot["data"], marks]))
