"""Calls as lines of Python, ``click('12')``, as agents of BrowserGym write them."""

from __future__ import annotations

import ast
import json
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentgym.formats.guide import guide
from agentgym.formats.signature import Signature, signature_of
from agentgym.formats.turn import (
    BadCall,
    Reading,
    opening,
    read_turn,
    with_arguments,
    write_plainly,
)
from agentgym.messages import Action, FinishReason, ToolCall, ToolSpec
from agentgym_tools.browser.browsergym_names import in_our_words

_BEGINS = opening(
    r"^[ \t]*+(?:`{3,}+(?P<info>[^\n`(]*+)$"
    r"|(?:`{3,}+|<action>)?[ \t]*+(?P<marked>call:)?(?P<name>[A-Za-z_][\w.-]*+)(?P<open>\())"
)
_CODE = frozenset({"", "python", "py", "action", "actions", "tool_code"})
_FENCE = re.compile(r"^[ \t]*+`{3,}+[ \t\r]*+$", re.MULTILINE)
_REST_OF_LINE = re.compile(
    r"[ \t;]*+(?:#[^\n]*+|`{3,}+[ \t\r]*+|</action>[ \t\r]*+|\r?)$", re.MULTILINE
)
_PIECE = re.compile(
    r"'''(?:\\.|(?!''')[^\\])*+'''"
    r'|"""(?:\\.|(?!""")[^\\])*+"""'
    r"|'(?:\\.|[^\\'])*+'"
    r'|"(?:\\.|[^\\"])*+"'
    r"|(?P<opens>[(\[{])|(?P<closes>[)\]}])|[^'\"()\[\]{}]++",
    re.DOTALL,
)
_NAMES = {"true": True, "false": False, "null": None}


class CallStringFormat:
    """A call is a line (or lines, up to the closing bracket) of its own: ``fill('12', 'Ann')``.

    Arguments are Python literals; those without a name are taken in the order of the tool's
    parameters. Where the tools are those of the browser, BrowserGym's names and orders of
    parameters are understood as well, as ``select_option('3', 'Blue')``: see
    ``browsergym_names.py``. With ``tools`` only their names, and those of BrowserGym, make calls;
    ``call:NAME(…)`` is a call to ``NAME``, whatever it is.

    Code blocks marked as Python, or not marked, and ``<action>`` tags are looked into; other code
    blocks are text.
    """

    name = "browsergym"

    def parse(
        self, text: str, finish_reason: FinishReason = "stop", *, tools: Sequence[ToolSpec] = ()
    ) -> Action:
        """Read one assistant turn; never raises."""
        specs = {tool.name: tool for tool in tools}

        def read(found: re.Match[str], index: int) -> Reading | None:
            if found["open"] is None:
                return _other_code(text, found)
            name = found["name"]
            known = name in specs or in_our_words(name, [], {}, specs) is not None
            if specs and not known and not found["marked"]:
                return None
            stop = _closing(text, found.end())
            if stop is None:
                return _unclosed(text, found, index, bool(specs), finish_reason)
            rest = _REST_OF_LINE.match(text, stop)
            if rest is None:
                return Reading((), stop, stop)
            call = ToolCall(f"call_{index}", name, text[found.end() : stop - 1])
            return Reading((_read_call(call, specs),), found.start(), rest.end())

        return read_turn(text, finish_reason, _BEGINS, read)

    def render(
        self, calls: Sequence[ToolCall], text: str = "", *, tools: Sequence[ToolSpec] = ()
    ) -> str:
        """Write calls one after another, after ``text``, with every argument named."""
        return write_plainly(self, calls, text, tools, _spell)

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """The tools' schemas and how to call them."""
        how = "To use a tool, write a call in Python on a line of its own. For example:"
        return guide(tools, how, lambda calls: self.render(calls, tools=tools))


def _other_code(text: str, found: re.Match[str]) -> Reading | None:
    """Skip a code block that is of no language of calls."""
    if found["info"].strip().lower() in _CODE:
        return None
    closing = _FENCE.search(text, found.end())
    stop = closing.end() if closing else len(text)
    return Reading((), stop, stop)


def _closing(text: str, position: int) -> int | None:
    """Where the bracket that was opened before ``position`` has been closed."""
    depth = 1
    while (piece := _PIECE.match(text, position)) is not None:
        position = piece.end()
        depth += (piece["opens"] is not None) - (piece["closes"] is not None)
        if depth == 0:
            return position
    return None


def _unclosed(
    text: str, found: re.Match[str], index: int, known: bool, finish_reason: FinishReason
) -> Reading:
    if finish_reason == "stop" and not known:
        return Reading((), len(text), len(text))
    code = "invalid_syntax" if finish_reason == "stop" else "truncated"
    call = ToolCall(f"call_{index}", found["name"], text[found.end() :], None, code)
    return Reading((call,), found.start(), len(text))


def _read_call(call: ToolCall, specs: Mapping[str, ToolSpec]) -> ToolCall:
    try:
        given, named = _read_arguments(call.arguments_raw)
    except BadCall as error:
        return ToolCall(call.id, call.name, call.arguments_raw, None, error.code)
    ours = in_our_words(call.name, given, named, specs)
    if ours is not None:
        return ToolCall(call.id, ours[0], call.arguments_raw, ours[1])
    signature = signature_of(call.name, list(specs.values()))
    return with_arguments(call, lambda: _by_name(given, named, signature))


def _read_arguments(raw: str) -> tuple[list[Any], dict[str, Any]]:
    """The values without and with a name."""
    try:
        tree = ast.parse(f"f({raw}\n)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadCall("invalid_syntax") from None
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise BadCall("invalid_syntax")
    try:
        named: dict[str, Any] = {}
        for one in tree.keywords:
            value = _literal(one.value)
            named |= {one.arg: value} if one.arg is not None else dict(value)
        return [_literal(each) for each in tree.args], named
    except (RecursionError, TypeError, ValueError):
        raise BadCall("invalid_syntax") from None


def _literal(node: ast.expr) -> Any:
    """The JSON value that an expression spells."""
    match node:
        case ast.Constant(value=float(number)) if not math.isfinite(number):
            raise BadCall("invalid_syntax")
        case ast.Constant(value=str() | int() | float() | bool() | None):
            return node.value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            spelled = [_literal(key) if key is not None else None for key in keys]
            if all(isinstance(key, str) for key in spelled):
                return dict(zip(spelled, map(_literal, values), strict=True))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _literal(operand)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return -value
    raise BadCall("invalid_syntax")


def _by_name(given: list[Any], named: dict[str, Any], signature: Signature) -> dict[str, Any]:
    """All arguments by name; those given without one take the parameters in order."""
    names = list(signature.types) if signature.known else [signature.main or ""]
    if len(given) > len(names) or not named.keys().isdisjoint(names[: len(given)]):
        raise BadCall("invalid_arguments")
    return {**dict(zip(names, given, strict=False)), **named}


def _spell(call: ToolCall, _: Signature) -> list[str]:
    arguments = dict(call.arguments or {})
    json.dumps(arguments, allow_nan=False)
    plain = {name: value for name, value in arguments.items() if _is_plain(name)}
    parts = [f"{name}={value!r}" for name, value in plain.items()]
    if len(plain) < len(arguments):
        odd = {name: value for name, value in arguments.items() if name not in plain}
        parts.append(f"**{odd!r}")
    written = f"{call.name}({', '.join(parts)})"
    return [written, f"call:{written}"]


def _is_plain(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
