"""Posts with a row of icons each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from agentgym_envs.web.miniwob.oracles.steps import Script, below, find_named, quoted, seek
from agentgym_envs.web.moves import click
from agentgym_tools.browser.view import Element, View

_MENU = ("Share via DM", "Copy link to Tweet", "Embed Tweet", "Mute", "Block", "Report")


def act_on_post(goal: str, view: View) -> Script:
    """Some actions are icons, the others stand in a menu."""
    user, action = _user(goal), quoted(goal)[0]
    icon = "more" if action in _MENU else action.lower()
    view, found = yield from seek(view, partial(_icon_of, user, icon, frozenset()))
    view = yield click(found)
    if icon == "more":
        view, entry = yield from seek(view, partial(_entry, action))
        yield click(entry)


def act_on_posts(goal: str, view: View) -> Script:
    """So many posts of a user, or all of them down to the end of the page."""
    user, icon = _user(goal), quoted(goal)[0].lower()
    wanted = re.search(r"on (\d+) post", goal)
    done: set[str] = set()

    def next_step(view: View) -> Element | None:
        enough = wanted is not None and len(done) == int(wanted[1])
        post = None if enough else _icon_of(user, icon, done, view)
        return post or find_named(view, "Submit", "button")

    while True:
        view, found = yield from seek(view, next_step)
        done.add(found.id)
        view = yield click(found)


def _user(goal: str) -> str:
    found = re.search(r"@\w+", goal)
    assert found is not None, goal
    return found[0]


def _icon_of(user: str, icon: str, done: set[str] | frozenset[str], view: View) -> Element | None:
    """The first icon of this kind, not done yet, in a post of this user."""
    for poster, one in _posted(view):
        if poster == user and one.id and one.name == icon and one.id not in done:
            return one
    return None


def _posted(view: View) -> Iterator[tuple[str, Element]]:
    poster = ""
    for one in below(view):
        if one.role == "text":
            poster = next((word for word in one.name.split() if word.startswith("@")), poster)
        yield poster, one


def _entry(action: str, view: View) -> Element | None:
    return next((one for one in below(view) if one.id and one.name.startswith(action)), None)


SCRIPTS = {
    "social-media": act_on_post,
    "social-media-all": act_on_posts,
    "social-media-some": act_on_posts,
}
