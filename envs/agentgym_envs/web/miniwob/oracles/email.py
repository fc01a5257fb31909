"""The inbox: find a message by its sender, then delete, star, answer or forward it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from agentgym_envs.web.miniwob.oracles.steps import (
    Script,
    acting,
    field,
    find_named,
    named,
    quoted,
    seek,
)
from agentgym_envs.web.moves import click, fill
from agentgym_tools.browser.view import Element, View


def do_as_told(goal: str, view: View) -> Script:
    """Delete, star, reply or forward."""
    sender = _names(goal, 1)[0]
    if "trash" in goal:
        yield from _press_icon(view, sender, "trash")
    elif "star" in goal:
        yield from _press_icon(view, sender, "star")
    elif "reply" in goal:
        yield from _write(view, sender, "Reply", quoted(goal)[0])
    else:
        yield from _write(view, sender, "Forward", _names(goal, 2)[1])


def forward_in_other_words(goal: str, view: View) -> Script:
    """Of the two names, the sender's stands in the inbox."""
    names = _names(goal, 2)[:2]
    first_is_sender = _message(names[0], view) is not None and not re.search(
        rf"(?:by|from|sent by|message|got from) {names[-1]}\b", goal
    )
    sender, to = names if first_is_sender else reversed(names)
    yield from _write(view, sender, "Forward", to)


def _press_icon(view: View, sender: str, icon: str) -> Script:
    _, found = yield from seek(view, partial(_icon, sender, icon))
    yield click(found)


def _write(view: View, sender: str, action: str, words: str) -> Script:
    view, message = yield from seek(view, partial(_message, sender))
    view = yield click(message)
    view, start = yield from seek(view, lambda view: find_named(view, action))
    view = yield click(start)
    view = yield fill(field(view), words)
    yield click(named(view, f"send-{action.lower()}"))


def _message(sender: str, view: View) -> Element | None:
    return next((one for one in acting(view) if _sender(one) == sender), None)


def _icon(sender: str, icon: str, view: View) -> Element | None:
    """The first icon of this kind after the start of a message."""
    things = iter(acting(view))
    for one in things:
        if _sender(one) == sender:
            return _first_named(things, icon)
    return None


def _first_named(things: Iterator[Element], name: str) -> Element | None:
    for one in things:
        if one.name == name:
            return one
        if one.name.count(" ") > 1:
            return None
    return None


def _sender(message: Element) -> str:
    """A message begins with its sender's name."""
    words = message.name.split()
    return words[0] if len(words) > 1 else ""


def _names(goal: str, count: int) -> list[str]:
    """Capitalised words; those that begin a sentence only where there are not enough others."""
    words = re.sub(r'".*?"', "", goal)
    inside = re.findall(r"(?<=[\w,;:] )[A-Z][a-z]+", words)
    starting = re.findall(r"(?:^|[.!?] )([A-Z][a-z]+)", words)
    return inside if len(inside) >= count else [*starting, *inside][-count:]


SCRIPTS = {
    **dict.fromkeys(
        (
            "email-inbox",
            "email-inbox-delete",
            "email-inbox-forward",
            "email-inbox-important",
            "email-inbox-noscroll",
            "email-inbox-reply",
            "email-inbox-star-reply",
        ),
        do_as_told,
    ),
    "email-inbox-forward-nl": forward_in_other_words,
    "email-inbox-forward-nl-turk": forward_in_other_words,
}
