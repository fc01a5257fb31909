"""A player of MiniWoB who knows what kinds of things can be done, and not to what."""

from __future__ import annotations

import numpy as np

from agentgym_envs.web.miniwob.oracles.steps import FIELDS, acting, quoted
from agentgym_envs.web.moves import Move, click, fill, give_up
from agentgym_tools.browser.view import View


def mistaken_move(view: View, utterance: str, rng: np.random.Generator) -> Move:
    """Type a word of the instruction into some field, or click on something or other."""
    things = acting(view)
    if not things:
        return give_up()
    thing = things[rng.integers(len(things))]
    if thing.role not in FIELDS:
        return click(thing)
    words = quoted(utterance) or utterance.split()
    return fill(thing, words[rng.integers(len(words))] if words else "")
