"""The inbox: find a message by its sender, then delete, star, answer or forward it."""

from __future__ import annotations

import re

from agentgym_envs.web.miniwob.oracles.steps import (
    FIELDS,
    Lost,
    Script,
    acting,
    below,
    field,
    named,
    quoted,
)
from agentgym_envs.web.moves import click, fill
from agentgym_tools.browser.view import Element, View

_BY = re.compile(
    r"(?:email|message|messages|mail|information)?\s*(?:by|from|you got from|you received from) "
    r"([A-Z][\w-]*)"
)


def do_as_told(goal: str, view: View) -> Script:
    """The instructions with one wording."""
    names = [re.sub(r"\W+$", "", word) for word in goal.split() if word[0].isupper()][1:]
    sender = names[0]
    if "trash" in goal:
        yield click(_icons(view, sender)[0])
    elif "star" in goal:
        yield click(_icons(view, sender)[1])
    elif "reply" in goal:
        yield from _reply(view, sender, quoted(goal)[0])
    else:
        yield from _forward(view, sender, names[1])


def _reply(view: View, sender: str, words: str) -> Script:
    view = yield click(_message(view, sender))
    view = yield click(named(view, "Reply"))
    view = yield fill(field(view), words)
    yield click(_send(view))


def _forward(view: View, sender: str, to: str) -> Script:
    view = yield click(_message(view, sender))
    view = yield click(named(view, "Forward"))
    view = yield fill(field(view), to)
    yield click(_send(view))


def _message(view: View, sender: str) -> Element:
    raise NotImplementedError


def _icons(view: View, sender: str) -> list[Element]:
    raise NotImplementedError


def _send(view: View) -> Element:
    raise NotImplementedError


SCRIPTS = {
}
