"""What a scripted player may do, as tools' names with their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from agentgym_tools.browser.view import Element

Move = tuple[str, Mapping[str, object]]
Direction = Literal["up", "down", "left", "right"]


def click(element: Element) -> Move:
    """Press and release the mouse on an element."""
    return "click", {"id": element.id}


def fill(element: Element, text: str) -> Move:
    """Replace the text of a field."""
    return "fill", {"id": element.id, "text": text}


def select(element: Element, *options: str) -> Move:
    """Choose options of a list by their texts."""
    return "select", {"id": element.id, "options": list(options)}


def press(key: str, element: Element) -> Move:
    """Press a key, such as ``Enter``, with an element in focus."""
    return "press", {"key": key, "id": element.id}


def hover(element: Element) -> Move:
    """Move the mouse over an element."""
    return "hover", {"id": element.id}


def drag(element: Element, to: Element, *, right: float = 0.0, down: float = 0.0) -> Move:
    """Drag an element onto another, or so many pixels beside it."""
    return "drag", {"id": element.id, "to": to.id, "right": right, "down": down}


def scroll(direction: Direction, element: Element | None = None) -> Move:
    """Scroll what an element is in, or the whole page, by most of a screen."""
    return "scroll", {"direction": direction, "id": element.id if element else ""}


def wait(seconds: float = 0.5) -> Move:
    """Let the page go on by itself."""
    return "wait", {"seconds": seconds}


def goto(url: str) -> Move:
    """Visit an address."""
    return "goto", {"url": url}


def answer(text: str) -> Move:
    """Answer, which ends the episode."""
    return "answer", {"text": text}


def give_up() -> Move:
    """End the episode without an answer."""
    return "give_up", {}
