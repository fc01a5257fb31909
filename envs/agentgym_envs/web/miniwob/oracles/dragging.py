"""Pages where things are dragged into place."""

from __future__ import annotations

import re

from agentgym_envs.web.miniwob.oracles.steps import Script, acting, button, first_number, named
from agentgym_envs.web.moves import Move, click, drag
from agentgym_tools.browser.view import Element, View

_BESIDE = 6.0  # pixels past the middle of what an item is dropped on, so that it goes behind it
_GRID = {
    f"{row} {column}".removesuffix("center center") or "center": 3 * y + x
    for y, row in enumerate(("top", "center", "bottom"))
    for x, column in enumerate(("left", "center", "right"))
}
_STEPS = {"up": -3, "down": 3, "left": -1, "right": 1}


def drag_box(goal: str, view: View) -> Script:
    view = yield drag(named(view, "s"), named(view, "L"))
    yield click(button(view))


def drag_item(goal: str, view: View) -> Script:
    name, place = _told(goal)
    items = acting(view, "listitem")
    now = [one.name.strip() for one in items].index(name)
    yield _moved(items, now, _place_in_list(place, now, len(items)))


def drag_item_in_grid(goal: str, view: View) -> Script:
    name, place = _told(goal)
    items = acting(view, "listitem")
    now = [one.name.strip() for one in items].index(name)
    by = _STEPS.get(place.split()[0]) if "by one" in place else None
    wanted = now + by if by else _GRID[place.removeprefix("to the ")]
    yield drag(items[now], items[wanted])


def sort_numbers(goal: str, view: View) -> Script:
    """The lowest of the rest goes next, until all are in order."""
    for place in range(len(acting(view, "listitem"))):
        items = acting(view, "listitem")
        rest = [int(one.name) for one in items][place:]
        now = place + rest.index(min(rest))
        if now != place:
            view = yield _moved(items, now, place)
    yield click(button(view))


def _told(goal: str) -> tuple[str, str]:
    found = re.fullmatch(r"Drag (\S+) (.*)\.", goal)
    assert found is not None, goal
    return found[1], found[2]


def _place_in_list(place: str, now: int, length: int) -> int:
    for word, wanted in (("top", 0), ("bottom", length - 1), ("down", now + 1), ("up", now - 1)):
        if word in place.split():
            return wanted
    return first_number(place) - 1


def _moved(items: list[Element], now: int, wanted: int) -> Move:
    beside = _BESIDE if wanted > now else -_BESIDE
    return drag(items[now], items[wanted], down=beside)


SCRIPTS = {
    "drag-box": drag_box,
    "drag-items": drag_item,
    "drag-items-grid": drag_item_in_grid,
    "drag-sort-numbers": sort_numbers,
}
