"""What the scripts of many pages have in common: finding elements and saying what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable

from agentgym_envs.web.moves import Direction, Move, click, fill, scroll
from agentgym_tools.browser.view import Element, View

Script = Generator[Move, View, None]
"""The moves that solve a page; each is answered with what is to be seen after it."""

FIELDS = ("textbox", "searchbox", "spinbutton", "date", "time", "combobox")
_INSTRUCTION_HEIGHT = 50.0  # the yellow box at the top of every page, in pixels


class Lost(LookupError):
    """A script does not see what it looks for: the page is not what it was written for."""


def quoted(goal: str) -> list[str]:
    """What stands between double quotes."""
    return re.findall(r'"(.*?)"', goal)


def first_number(text: str) -> int:
    """The first number in a text."""
    found = re.search(r"-?\d+", text)
    if found is None:
        raise Lost(f"no number in {text!r}")
    return int(found[0])


def below(view: View) -> list[Element]:
    """Everything but the instruction."""
    return [one for one in view.elements if one.box[1] >= _INSTRUCTION_HEIGHT]


def named(view: View, name: str, *roles: str) -> Element:
    """The first element that can be acted on with this name, and one of these roles if given."""
    found = find_named(view, name, *roles)
    if found is None:
        raise Lost(f"there is no {' or '.join(roles) or 'element'} named {name!r}")
    return found


def find_named(view: View, name: str, *roles: str) -> Element | None:
    """As :func:`named`; ``None`` where there is none."""
    return next((one for one in acting(view, *roles) if one.name.strip() == name), None)


def acting(view: View, *roles: str) -> list[Element]:
    """The elements that can be acted on, apart from the instruction."""
    return [one for one in below(view) if one.id and (not roles or one.role in roles)]


def nth(view: View, index: int, *roles: str) -> Element:
    """One of the elements of some roles, counted from 0."""
    found = acting(view, *roles)
    if not -len(found) <= index < len(found):
        raise Lost(f"there are {len(found)} of {roles}, not {index + 1}")
    return found[index]


def field(view: View, index: int = 0) -> Element:
    """One of the fields that text can be typed into."""
    return nth(view, index, *FIELDS)


def button(view: View, name: str = "Submit") -> Element:
    """A button by its name."""
    return named(view, name, "button")


def texts(view: View) -> list[str]:
    """All names below the instruction, in order."""
    return [one.name.strip() for one in below(view) if one.name.strip()]


def text(view: View) -> str:
    """Everything that is to be read below the instruction."""
    return " ".join(texts(view))


def following(view: View, name: str) -> list[Element]:
    """What comes after the last element with this name."""
    elements = below(view)
    places = [i for i, one in enumerate(elements) if one.name.strip() == name]
    if not places:
        raise Lost(f"nothing is named {name!r}")
    return elements[places[-1] + 1 :]


def fill_in(view: View, values: Iterable[str], submit: str = "Submit") -> Script:
    """Fill the fields in their order, then press a button."""
    for index, value in enumerate(values):
        view = yield fill(field(view, index), value)
    yield click(button(view, submit))


def seek(
    view: View, find: Callable[[View], Element | None]
) -> Generator[Move, View, tuple[View, Element]]:
    """Scroll down in the page's list until something is found; where it ends, from its top."""
    direction: Direction = "down"
    while (found := find(view)) is None:
        before = view.elements
        view = yield scroll(direction, acting(view)[-1])
        if view.elements == before:
            direction = "up"
    return view, found
