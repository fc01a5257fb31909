"""BrowserGym's actions (arXiv:2412.05467) in the words of our tools.

The names and the order of parameters are those of its high-level action set; to focus an element
is to press a key there that does nothing. Left out are those that we have no tool for: ``check``,
``uncheck``, ``upload_file``, coordinates and typing without a field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentgym.messages import ToolSpec


@dataclass(frozen=True, slots=True)
class _Alias:
    """Our tool, what each of BrowserGym's parameters is called there, and what is fixed.

    A parameter without a name of ours is dropped.
    """

    tool: str
    parameters: tuple[tuple[str, str], ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)


_CLICK = (("bid", "id"), ("button", "button"), ("modifiers", ""))
_ALIASES: Mapping[str, _Alias] = {
    "click": _Alias("click", _CLICK),
    "dblclick": _Alias("click", _CLICK, {"times": 2}),
    "fill": _Alias("fill", (("bid", "id"), ("value", "text"), ("enable_autocomplete_menu", ""))),
    "clear": _Alias("fill", (("bid", "id"),), {"text": ""}),
    "select_option": _Alias("select", (("bid", "id"), ("options", "options"))),
    "press": _Alias("press", (("bid", "id"), ("key_comb", "key"))),
    "focus": _Alias("press", (("bid", "id"),), {"key": "Shift"}),
    "keyboard_press": _Alias("press", (("key", "key"),)),
    "hover": _Alias("hover", (("bid", "id"),)),
    "drag_and_drop": _Alias("drag", (("from_bid", "id"), ("to_bid", "to"))),
    "scroll": _Alias("scroll", (("delta_x", "delta_x"), ("delta_y", "delta_y"))),
    "goto": _Alias("goto", (("url", "url"),)),
    "go_back": _Alias("back"),
    "go_forward": _Alias("forward"),
    "new_tab": _Alias("new_tab"),
    "tab_focus": _Alias("switch_tab", (("index", "tab"),)),
    "tab_close": _Alias("close_tab"),
    "noop": _Alias("wait", (("wait_ms", "wait_ms"),)),
    "send_msg_to_user": _Alias("answer", (("text", "text"),)),
    "report_infeasible": _Alias("give_up", (("reason", ""),)),
}


def in_our_words(
    name: str, given: Sequence[Any], named: Mapping[str, Any], tools: Mapping[str, ToolSpec]
) -> tuple[str, dict[str, Any]] | None:
    """The same call with our tool's name and arguments; ``None`` if it is none of BrowserGym's.

    Args:
        name: What is called.
        given: Values without a name.
        named: Values with one.
        tools: The tools there are, by name.
    """
    alias = _ALIASES.get(name)
    if alias is None or alias.tool not in tools or len(given) > len(alias.parameters):
        return None
    renamed = dict(alias.parameters)
    if not named.keys() <= renamed.keys() or (name in tools and not given and not named):
        return None
    theirs = {**dict(zip(renamed, given, strict=False)), **named}
    if theirs.get("modifiers"):  # we have none: another click than was meant
        return None
    if name == "scroll" and not all(_is_number(value) for value in theirs.values()):
        return None
    arguments = {renamed[one]: value for one, value in theirs.items() if renamed[one]}
    return alias.tool, {**_in_our_units(arguments), **alias.fixed}


def _in_our_units(arguments: dict[str, Any]) -> dict[str, Any]:
    """Pixels to scroll as a direction, and milliseconds as seconds."""
    if "delta_x" in arguments or "delta_y" in arguments:
        across, along = arguments.get("delta_x", 0), arguments.get("delta_y", 0)
        if abs(across) > abs(along):
            return {"direction": "right" if across > 0 else "left"}
        return {"direction": "up" if along < 0 else "down"}
    if "wait_ms" in arguments and _is_number(arguments["wait_ms"]):
        return {"seconds": arguments["wait_ms"] / 1000}
    return arguments


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
