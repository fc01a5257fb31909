"""Pages where things are dragged."""

from __future__ import annotations

import re

from agentgym_envs.web.miniwob.oracles.steps import Script, acting, button, named, nth
from agentgym_envs.web.moves import click, drag
from agentgym_tools.browser.view import Element, View

_PLACES = (
    "top left", "top center", "top right",
    "center left", "center", "center right",
    "bottom left", "bottom center", "bottom right",
)  # fmt: skip


def drag_box(goal: str, view: View) -> Script:
    view = yield drag(named(view, "s"), named(view, "L"))
    yield click(button(view))


SCRIPTS = {"drag-box": drag_box}
