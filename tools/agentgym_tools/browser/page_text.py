"""A view as the text that a model reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from agentgym_tools.browser.view import Element, View

_LONGEST_TITLE = 60
_LONGEST_URL = 2_000


def page_text(view: View, notes: Sequence[str] = ()) -> str:
    """The page: a head of a few lines, then one line for each element.

    Args:
        view: What is to be seen.
        notes: What else happened, such as a dialog.
    """
    return "\n".join([*_head(view, notes), *_body(view)])


def _head(view: View, notes: Sequence[str]) -> Iterator[str]:
    if view.error:
        yield f"Error: {view.error}"
    yield from notes
    yield f"Page: {_quoted(view.title)} {_url(view.url)}"
    if len(view.tabs) > 1:
        yield "Tabs: " + ", ".join(_tab(view, number) for number in range(len(view.tabs)))
    focused = next((one for one in view.elements if "focused" in one.states), None)
    if focused is not None:
        yield f"Focused: {_label(focused)}"


def _url(url: str) -> str:
    return url if len(url) <= _LONGEST_URL else url[:_LONGEST_URL] + "…"


def _tab(view: View, number: int) -> str:
    front = " (in front)" if number == view.tab else ""
    return f"{number} {_quoted(view.tabs[number][:_LONGEST_TITLE])}{front}"


def _body(view: View) -> Iterator[str]:
    for is_option, group in groupby(view.elements, lambda one: one.role == "option" and not one.id):
        if is_option:
            yield _options(list(group))
        else:
            yield from map(_line, group)
    if view.hidden:
        yield f"… {view.hidden} more elements"
    if not view.elements:
        yield "(nothing is to be seen)"


def _line(element: Element) -> str:
    indent = " " * element.depth
    if element.role == "text":
        return indent + element.name
    value = f" = {_quoted(element.value)}" if element.value else ""
    states = f" ({', '.join(element.states)})" if element.states else ""
    return f"{indent}{_label(element)}{value}{states}"


def _label(element: Element) -> str:
    name = f" {_quoted(element.name)}" if element.name else ""
    return f"[{element.id}] {element.role}{name}"


def _options(options: Sequence[Element]) -> str:
    return " " * options[0].depth + "options: " + ", ".join(_option(one) for one in options)


def _option(option: Element) -> str:
    return _quoted(option.name) + (" (disabled)" if "disabled" in option.states else "")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
