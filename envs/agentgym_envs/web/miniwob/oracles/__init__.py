"""Scripts that solve pages from what is to be seen of them and what they ask, nothing else.

One small function a page, in files by family; a page's seeds differ, so each reads its page anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentgym_envs.web.miniwob.oracles import (
    choosing,
    clicking,
    dates,
    dragging,
    email,
    opening,
    social,
    writing,
)
from agentgym_envs.web.miniwob.oracles.steps import Script
from agentgym_tools.browser.view import View

SCRIPTS: Mapping[str, Callable[[str, View], Script]] = {
    name: script
    for family in (choosing, clicking, dates, dragging, email, opening, social, writing)
    for name, script in family.SCRIPTS.items()
}
"""By the page's name; called with the utterance and the first view."""
