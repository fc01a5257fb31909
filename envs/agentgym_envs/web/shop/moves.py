"""What a player does with what it sees: the next click on the way to something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from agentgym_tools.browser.view import Element, View

Move = tuple[str, Mapping[str, object]]
"""A tool's name and its arguments."""

_ROLES: Mapping[str, tuple[str, ...]] = {
    "text": ("textbox", "searchbox", "spinbutton"),
    "choice": ("combobox",),
    "check": ("checkbox",),
    "radio": ("radio",),
    "link": ("link",),
    "button": ("button",),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form and what it should hold; ``kind`` is ``text``, ``choice``, ``check`` or
    ``radio``, and ``secret`` one whose value cannot be read back."""

    kind: str
    label: str
    value: str = ""
    secret: bool = False


@dataclass(slots=True)
class Sight:
    """A view, and where the player last scrolled and typed."""

    view: View
    upwards: bool = False
    scrolled: tuple[str, tuple[Element, ...]] | None = None
    typed: set[tuple[str, str]] = field(default_factory=set)

    def look(self, view: View) -> Sight:
        """The next view of the same player."""
        if view.url != self.view.url:
            self.upwards, self.scrolled = False, None
            self.typed.clear()
        self.view = view
        return self

    @property
    def path(self) -> str:
        """Of the page shown."""
        return urlsplit(self.view.url).path

    @property
    def query(self) -> Mapping[str, str]:
        """Of the page shown."""
        parsed = parse_qs(urlsplit(self.view.url).query, keep_blank_values=True)
        return {name: values[0] for name, values in parsed.items()}

    def find(self, kind: str, label: str) -> Element | None:
        """An element by its name."""
        for one in self.view.elements:
            if one.role in _ROLES[kind] and one.name.strip() == label and one.id:
                return one
        return None

    def press(self, kind: str, label: str) -> Move:
        """Click on it, or scroll until it is to be seen."""
        found = self.find(kind, label)
        return self.scroll() if found is None else ("click", {"id": found.id})

    def scroll(self) -> Move:
        """On through the page; at its end back up."""
        here = (self.view.url, self.view.elements)
        if self.scrolled == here:
            self.upwards = not self.upwards
        self.scrolled = here
        return "scroll", {"direction": "up" if self.upwards else "down"}

    def visit(self, path: str, *links: str) -> Move | None:
        """Towards a page along links, the last one leading to it; ``None`` if it is there."""
        if self.path == path:
            return None
        for label in reversed(links):
            if self.find("link", label) is not None:
                return self.press("link", label)
        return self.press("link", links[0])

    def submit(self, fields: Sequence[Field], button: str) -> Move:
        """Fill in a form, one field at a time, then send it."""
        for one in fields:
            found = self.find(one.kind, one.label)
            if found is None:
                return self.scroll()
            move = self._towards(one, found)
            if move is not None:
                return move
        self.typed.clear()
        return self.press("button", button)

    def _towards(self, wanted: Field, found: Element) -> Move | None:
        if wanted.kind in ("check", "radio"):
            on = "checked" in found.states
            return None if on == (wanted.value != "off") else ("click", {"id": found.id})
        if wanted.secret:
            mark = (found.id, wanted.value)
            if mark in self.typed:
                return None
            self.typed.add(mark)
        elif found.value == wanted.value:
            return None
        if wanted.kind == "choice":
            return "select", {"id": found.id, "options": wanted.value}
        return "fill", {"id": found.id, "text": wanted.value}
