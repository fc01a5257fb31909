"""What a scripted player may do, as tools' names with their arguments."""

from __future__ import annotations

from collections.abc import Mapping

from agentgym_tools.browser.view import Element

Move = tuple[str, Mapping[str, object]]


def click(element: Element) -> Move:
    """Press and release the mouse in the middle of an element."""
    return "click", {"id": element.id}


def fill(element: Element, text: str) -> Move:
    """Replace the text of a field."""
    return "fill", {"id": element.id, "text": text}


def select(element: Element, option: str) -> Move:
    """Choose an option of a list by its text."""
    return "select", {"id": element.id, "option": option}


def press(key: str, element: Element) -> Move:
    """Press a key, such as ``Enter``, with an element in focus."""
    return "press", {"id": element.id, "key": key}


def drag(source: Element, target: Element) -> Move:
    """Drag the middle of one element to the middle of another."""
    return "drag", {"source": source.id, "target": target.id}


def goto(url: str) -> Move:
    """Visit an address."""
    return "goto", {"url": url}


def answer(text: str) -> Move:
    """Answer, which ends the episode."""
    return "answer", {"text": text}


def give_up() -> Move:
    """End the episode without an answer."""
    return "give_up", {}


def hover(element: Element) -> Move:
    """Move the mouse to the middle of an element."""
    return "hover", {"id": element.id}


def wait() -> Move:
    """Let the page go on by itself."""
    return "wait", {}
