"""Pages where the right thing must be clicked, once or in an order."""

from __future__ import annotations

import re
from collections.abc import Callable

from agentgym_envs.web.miniwob.oracles.steps import (
    Script,
    acting,
    below,
    button,
    field,
    first_number,
    named,
    nth,
    quoted,
    texts,
)
from agentgym_envs.web.moves import click
from agentgym_tools.browser.view import Element, View


def click_test(goal: str, view: View) -> Script:
    yield click(nth(view, 0, "button"))


def click_named_button(goal: str, view: View) -> Script:
    yield click(button(view, quoted(goal)[0]))


def click_numbered_words(goal: str, view: View) -> Script:
    for name in re.findall(r"\b(?:ONE|TWO)\b", goal):
        view = yield click(button(view, name))


def click_dialog(goal: str, view: View) -> Script:
    yield click(button(view, "Close"))


def click_dialog_button(goal: str, view: View) -> Script:
    name = quoted(goal)[0]
    yield click(button(view, "Close" if name == "x" else name))


def click_link(goal: str, view: View) -> Script:
    yield click(named(view, quoted(goal)[0]))


def focus_text(goal: str, view: View) -> Script:
    yield click(field(view))


def focus_nth_text(goal: str, view: View) -> Script:
    yield click(field(view, first_number(goal) - 1))


def click_widget(goal: str, view: View) -> Script:
    widgets: dict[str, Callable[[Element], bool]] = {
        "radio": lambda one: one.role == "radio",
        "checkbox": lambda one: one.role == "checkbox",
        "button": lambda one: one.role == "button",
        "text": lambda one: one.role == "textbox" and one.box[3] < 24,
        "textarea": lambda one: one.role == "textbox" and one.box[3] >= 24,
    }
    fits = widgets[quoted(goal)[0]]
    yield click(next(one for one in acting(view) if fits(one)))


def grid_coordinate(goal: str, view: View) -> Script:
    """The grid's points lie 30 pixels apart, and its origin in their middle."""
    x, y = map(int, re.findall(r"-?\d+", goal))
    points = [one for one in acting(view) if one.role == "circle"]
    left = min(one.box[0] for one in points)
    top = min(one.box[1] for one in points)
    wanted = (left + 30 * (x + 2), top + 30 * (2 - y))
    yield click(min(points, key=lambda one: _distance(one, wanted)))


def find_greatest(goal: str, view: View) -> Script:
    """A card shows its number while it is chosen."""
    cards = [one.id for one in acting(view) if one.role != "button"]
    numbers: dict[str, int] = {}
    for card in cards:
        view = yield click(_by_id(view, card))
        numbers[card] = int(next(name for name in texts(view) if name.isdigit()))
    view = yield click(_by_id(view, max(numbers, key=lambda card: numbers[card])))
    yield click(button(view))


def _by_id(view: View, wanted: str) -> Element:
    return next(one for one in below(view) if one.id == wanted)


def _distance(element: Element, point: tuple[float, float]) -> float:
    return abs(element.box[0] - point[0]) + abs(element.box[1] - point[1])


SCRIPTS = {
    "click-test": click_test,
    "click-test-2": click_numbered_words,
    "click-test-transfer": click_numbered_words,
    "click-button": click_named_button,
    "unicode-test": click_named_button,
    "click-button-sequence": click_numbered_words,
    "click-dialog": click_dialog,
    "click-dialog-2": click_dialog_button,
    "click-link": click_link,
    "focus-text": focus_text,
    "focus-text-2": focus_nth_text,
    "click-widget": click_widget,
    "grid-coordinate": grid_coordinate,
    "find-greatest": find_greatest,
}
