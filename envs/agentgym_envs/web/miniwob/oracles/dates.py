"""Pages with a calendar."""

from __future__ import annotations

import calendar
import re

from agentgym_envs.web.miniwob.oracles.steps import (
    Script,
    button,
    field,
    named,
    text,
)
from agentgym_envs.web.moves import click
from agentgym_tools.browser.view import View

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def choose_date(goal: str, view: View) -> Script:
    """The calendar opens under the field, in December."""
    month, day, _ = map(int, re.findall(r"\d+", goal))
    view = yield click(field(view))
    while (shown := _month(view)) != month:
        view = yield click(named(view, "Prev" if shown > month else "Next"))
    view = yield click(named(view, str(day)))
    yield click(button(view))


def _month(view: View) -> int:
    words = text(view).split()
    return next(i for i, name in enumerate(calendar.month_name) if name and name in words)


SCRIPTS = dict.fromkeys(
    ("choose-date", "choose-date-easy", "choose-date-medium", "choose-date-nodelay"), choose_date
)
