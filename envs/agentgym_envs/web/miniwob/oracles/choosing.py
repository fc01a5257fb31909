"""Pages where options are to be chosen: boxes, lists, spinners, sliders, dishes."""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import partial

from agentgym_envs.web.miniwob.oracles.steps import (
    FIELDS,
    Script,
    acting,
    below,
    button,
    field,
    find_named,
    first_number,
    named,
    nth,
    quoted,
    seek,
    texts,
)
from agentgym_envs.web.miniwob.oracles.synonyms import alike
from agentgym_envs.web.moves import Move, click, fill, press, select, wait
from agentgym_tools.browser.view import Element, View


def click_option(goal: str, view: View) -> Script:
    view = yield click(named(view, _listed(goal)[0], "radio"))
    yield click(button(view))


def click_checkboxes(goal: str, view: View) -> Script:
    for name in _listed(goal):
        if name != "nothing":
            view = yield click(named(view, name, "checkbox"))
    yield click(button(view))


def click_similar(goal: str, view: View) -> Script:
    words = _listed(goal.replace("words similar to ", ""))
    for box in acting(view, "checkbox"):
        if any(alike(word, box.name) for word in words):
            view = yield click(named(view, box.name, "checkbox"))
    yield click(button(view))


def choose_list(goal: str, view: View) -> Script:
    view = yield select(nth(view, 0, "combobox"), _listed(goal)[0])
    yield click(button(view))


def odd_or_even(goal: str, view: View) -> Script:
    numbers = [int(name) for name in texts(view) if re.fullmatch(r"-?\d+", name)]
    for row, number in enumerate(numbers):
        name = "Odd" if number % 2 else "Even"
        view = yield click([one for one in acting(view) if one.name == name][row])
    yield click(button(view))


def use_spinner(goal: str, view: View) -> Script:
    number = first_number(goal)
    for _ in range(abs(number)):
        view = yield press("ArrowUp" if number > 0 else "ArrowDown", field(view))
    yield click(button(view))


def use_slider(goal: str, view: View) -> Script:
    view = yield from _slide(view, 0, first_number(goal))
    yield click(button(view))


def use_sliders(goal: str, view: View) -> Script:
    for index, number in enumerate(re.findall(r"\d+", goal)):
        view = yield from _slide(view, index, int(number))
    yield click(button(view))


def slide_and_check(goal: str, view: View) -> Script:
    number, box = map(int, re.findall(r"-?\d+", goal))
    view = yield from _slide(view, 0, number)
    view = yield click(nth(view, box - 1, "checkbox"))
    yield click(button(view))


def check_and_enter(goal: str, view: View) -> Script:
    radio, number, box = re.findall(r"-?\d+", goal)
    view = yield click(nth(view, int(radio) - 1, "radio"))
    view = yield fill(nth(view, int(box) - 1, "textbox"), number)
    yield click(button(view))


def use_autocomplete(goal: str, view: View) -> Script:
    """The suggestions take a moment to come."""
    start, *end = quoted(goal)
    view = yield fill(field(view), start)
    while not (fitting := _suggestions(view, start, end)):
        view = yield wait()
    view = yield click(fitting[0])
    yield click(button(view))


def order_food(goal: str, view: View) -> Script:
    """By name: one each; by kind: the first dish of the kind, as often as wanted."""
    names = goal.partition(": ")[2]
    if names:
        for name in names.split(", "):
            view, plus = yield from seek(view, partial(_plus, name.strip()))
            view = yield click(plus)
    else:
        kind = goal.rpartition(" ")[2]
        for _ in range(first_number(goal)):
            view, plus = yield from seek(view, partial(_plus, kind))
            view = yield click(plus)
    view, order = yield from seek(view, lambda view: find_named(view, "Order!"))
    yield click(order)


def _listed(goal: str) -> list[str]:
    """``Select A, B and click Submit.``"""
    found = re.search(r"Select (.*?)(?: from the (?:scroll )?list)? and click Submit", goal)
    assert found is not None, goal
    return found[1].split(", ")


def _slide(view: View, index: int, wanted: int) -> Generator[Move, View, View]:
    """Large steps while they lead nearer, small ones for the rest; the number stands beside."""
    step, keys = 1, ("PageUp", "PageDown")
    while (now := _shown_numbers(view)[index]) != wanted:
        up, down = keys if abs(wanted - now) >= step else ("ArrowRight", "ArrowLeft")
        view = yield press(up if wanted > now else down, _handles(view)[index])
        if abs(wanted - now) >= step:
            step = max(step, abs(_shown_numbers(view)[index] - now))
    return view


def _shown_numbers(view: View) -> list[int]:
    return [int(name) for name in texts(view) if re.fullmatch(r"-?\d+", name)]


def _handles(view: View) -> list[Element]:
    """What is small, nameless and neither a field nor a box."""
    known = (*FIELDS, "checkbox", "radio", "button")
    return [one for one in acting(view) if not one.name and one.role not in known]


def _suggestions(view: View, start: str, end: list[str]) -> list[Element]:
    return [
        one
        for one in acting(view)
        if one.role not in FIELDS
        and one.name.startswith(start)
        and one.name.endswith(end[0] if end else "")
    ]


def _plus(name: str, view: View) -> Element | None:
    """What orders the first dish with this name, or of this kind."""
    elements = below(view)
    place = next((i for i, one in enumerate(elements) if one.name.strip() == name), len(elements))
    return next((one for one in elements[place:] if one.id and one.name.strip() == "+"), None)


SCRIPTS = {
    "click-option": click_option,
    "click-checkboxes": click_checkboxes,
    "click-checkboxes-large": click_checkboxes,
    "click-checkboxes-transfer": click_checkboxes,
    "click-checkboxes-soft": click_similar,
    "choose-list": choose_list,
    "odd-or-even": odd_or_even,
    "use-spinner": use_spinner,
    "use-slider": use_slider,
    "use-slider-2": use_sliders,
    "form-sequence": slide_and_check,
    "form-sequence-2": check_and_enter,
    "use-autocomplete": use_autocomplete,
    "use-autocomplete-nodelay": use_autocomplete,
    "order-food": order_food,
}
