"""Asking a page's script, and saying in words what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from agentgym import ToolError
from agentgym_tools.browser.tab import PageLeft
from agentgym_tools.browser.window import Window

ANSWER_S = 20.0
"""What a page has time for."""
_SHOWN_OPTIONS = 20

_CODES = {"gone": "stale_element", "unknown": "stale_element"}
_WORDS = {
    "gone": "element [{id}] is no longer there",
    "unknown": "there is no element [{id}]; use a number of the newest page",
    "invisible": "element [{id}] is hidden",
    "disabled": "element [{id}] is disabled",
    "covered": "element [{id}] is covered by {by}",
    "outside": "element [{id}] cannot be scrolled into view",
    "no_field": "element [{id}] is no text field",
    "readonly": "element [{id}] can only be read",
    "malformed": "element [{id}] does not take this: it wants a {kind}",
    "no_select": "element [{id}] is no drop-down list; click it",
    "one_only": "only one option of element [{id}] can be chosen",
    "no_option": "element [{id}] has no option {wanted}; it has: {options}",
    "option_disabled": "the option {wanted} of element [{id}] is disabled",
    "no_focus": "element [{id}] does not take keys; leave the element out, or click it",
    "no_scroll": "there is nothing more to see in that direction",
}


async def aim(
    window: Window, id: str, *, enabled: bool = False, hit: bool = True
) -> Mapping[str, float]:
    """Where to point at for an element, scrolled into view.

    Raises:
        ToolError: It is gone, hidden, disabled or covered.
    """
    spot: Mapping[str, float] = await ask(window, id, "aim", id, {"enabled": enabled, "hit": hit})
    return spot


async def ask(window: Window, id: str, function: str, *arguments: object) -> Any:
    """Call a function of the page's script, and put what it refuses into words.

    Args:
        id: The element that is spoken of.

    Raises:
        ToolError: The page refuses, has changed, or does not respond.
    """
    try:
        async with limited(window):
            answer = await window.tab.ask(function, *arguments)
    except PageLeft:
        text = "the page has changed since its elements were shown; look at the new ones"
        raise ToolError(text, "stale_element") from None
    if "error" in answer:
        code = answer["error"]
        raise ToolError(_in_words(id, answer), _CODES.get(code, code))
    return answer


def _in_words(id: str, answer: Mapping[str, Any]) -> str:
    options = answer.get("options", ())
    listed = ", ".join(json.dumps(one, ensure_ascii=False) for one in options[:_SHOWN_OPTIONS])
    more = ", …" if len(options) > _SHOWN_OPTIONS else ""
    values = {
        **answer,
        "id": id[:20],
        "wanted": json.dumps(answer.get("wanted", "")[:80], ensure_ascii=False),
        "options": listed + more,
    }
    return _WORDS[answer["error"]].format(**values)


@asynccontextmanager
async def limited(window: Window) -> AsyncIterator[None]:
    """Give up on a page that does not respond, and end what its scripts do.

    Raises:
        ToolError: After 20 seconds.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except TimeoutError:
        await window.tab.stop_scripts()
        raise ToolError("the page does not respond", "slow_page") from None
