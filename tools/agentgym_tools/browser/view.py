"""What is to be seen of a page: its accessible elements, in document order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the accessibility tree, or a piece of text.

    ``id`` is what actions name it by: stable for as long as the element stays in the page, and
    empty for text, which cannot be acted on. ``states`` are words such as ``checked``,
    ``disabled``, ``focused``, ``expanded`` and ``selected``. ``box`` is left, top, width and
    height in CSS pixels of the viewport.
    """

    id: str
    role: str
    name: str
    value: str = ""
    states: tuple[str, ...] = ()
    depth: int = 0
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class View:
    """A page as the model is shown it.

    ``elements`` are those shown; ``hidden`` counts what lies outside the viewport or over the
    budget. ``tabs`` are titles in the order they were opened. ``error`` is what went wrong with
    the last action, empty if nothing did.
    """

    url: str
    title: str
    elements: tuple[Element, ...]
    hidden: int = 0
    tabs: tuple[str, ...] = ()
    tab: int = 0
    error: str = ""

    def find(self, role: str, name: str) -> Element | None:
        """The first element of that role and exact name."""
        return next((one for one in self.elements if (one.role, one.name) == (role, name)), None)
