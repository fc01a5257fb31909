"""How far an errand is: a small tree of rules, each goal a branch, each rule paid for once.

After the rule trees of OpAgent (rewards for the parts of a web task), but every leaf looks at the
database or at what the pages have shown, never at what the model says of itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentgym_envs.web.shop.goals.goal import Goal, Moment


class Progress:
    """Which rules have held so far. What was reached stays reached: undoing and redoing it pays
    nothing, and what held from the start is worth nothing."""

    def __init__(self, goals: Sequence[Goal], start: Moment) -> None:
        self._goals = goals
        self._rules = [(place, rule) for place, goal in enumerate(goals) for rule in goal.rules()]
        self._reached: set[int] = set()
        self.update(start)

    def update(self, now: Moment) -> float:
        """Look; gives the share of the errand that is new, all of it being 1."""
        gained = 0.0
        for index, (place, rule) in enumerate(self._rules):
            if index not in self._reached and rule.holds(now):
                self._reached.add(index)
                gained += 1 / len(self._goals) / sum(at == place for at, _ in self._rules)
        return gained

    def reached(self, place: int) -> bool:
        """Whether all rules of a goal have held."""
        return all(
            index in self._reached for index, (at, _) in enumerate(self._rules) if at == place
        )

    def complete(self) -> bool:
        """Whether everything has held that the database does not tell afterwards."""
        return all(
            index in self._reached for index, (_, rule) in enumerate(self._rules) if rule.needed
        )

    def next(self) -> Goal | None:
        """The first goal that was not reached yet."""
        return next(
            (goal for place, goal in enumerate(self._goals) if not self.reached(place)), None
        )
