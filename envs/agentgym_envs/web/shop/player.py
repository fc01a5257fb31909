"""Players: one that does an errand as it is meant, and one that gets something wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.goals.goal import Moment
from agentgym_envs.web.shop.goals.questions import answer
from agentgym_envs.web.shop.moves import Move, Sight
from agentgym_envs.web.shop.progress import Progress
from agentgym_tools.browser.view import View

_HASTE = 0.03
"""Chance at each turn that a novice thinks it is done."""
_PATIENCE = 3
"""Times that a novice sees the same page before it gives up trying."""


class Player:
    """Does one goal after the other, looking only at the page and at which goals are reached."""

    def __init__(self, errand: Errand, start: Moment) -> None:
        self._errand = errand
        self._progress = Progress(errand.goals, start)
        self._sight: Sight | None = None

    def watch(self, now: Moment) -> None:
        """Note what has been reached."""
        self._progress.update(now)

    def move(self, view: View) -> Move:
        """The next action."""
        self._sight = Sight(view) if self._sight is None else self._sight.look(view)
        goal = self._progress.next()
        return answer(self._errand.answer) if goal is None else goal.move(self._sight)


class Novice:
    """Takes one goal for something near it, leaves it out, or stops too soon."""

    def __init__(self, errand: Errand, start: Moment, rng: np.random.Generator) -> None:
        self._player = Player(_mistaken(errand, rng), start)
        self._seen: Counter[View] = Counter()

    def watch(self, now: Moment) -> None:
        """Note what has been reached of what it believes it should do."""
        self._player.watch(now)

    def move(self, view: View, rng: np.random.Generator) -> Move:
        """The next action."""
        self._seen[view] += 1
        if rng.random() < _HASTE or self._seen[view] > _PATIENCE:
            return answer("done")
        return self._player.move(view)


def _mistaken(errand: Errand, rng: np.random.Generator) -> Errand:
    goals = list(errand.goals)
    place = int(rng.integers(len(goals)))
    if len(goals) > 1 and rng.random() < 0.25:
        del goals[place]
    else:
        goals[place] = goals[place].mistaken(rng)
    return replace(errand, goals=tuple(goals))
