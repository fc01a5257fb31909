"""What a goal is, and the moment at which one asks whether it is reached."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from agentgym_envs.web.shop.cart import owner_of
from agentgym_envs.web.shop.moves import Move, Sight
from agentgym_envs.web.shop.state import Shop


@dataclass(slots=True)
class Moment:
    """An episode as rules see it: the shop, the customer that the task is about, the answer."""

    shop: Shop
    customer: int
    answer: str | None = None

    @property
    def owner(self) -> str:
        """Of the customer's cart."""
        return owner_of(self.customer)

    def one(self, query: str, *values: object) -> Any:
        """The first column of the first row, or ``None``."""
        row = self.shop.db.execute(query, values).fetchone()
        return None if row is None else row[0]


@dataclass(frozen=True, slots=True)
class Rule:
    """A leaf of the tree of progress. ``needed``: nothing in the database tells it afterwards."""

    name: str
    holds: Callable[[Moment], bool]
    needed: bool = False


class Goal(ABC):
    """One part of a task. Its fields are plain values, so that a task's data can hold it."""

    __slots__ = ()
    parts: ClassVar[int] = 1

    @abstractmethod
    def words(self, rng: random.Random) -> str:
        """As an instruction without capital and full stop."""

    @abstractmethod
    def rules(self) -> Sequence[Rule]:
        """What is to be seen on the way, the end last."""

    @abstractmethod
    def move(self, sight: Sight) -> Move:
        """The next action towards it."""

    def apply(self, moment: Moment) -> None:  # noqa: B027  # questions change nothing
        """Do it as the shop's own pages do; for the state that is wanted in the end."""

    def mistaken(self, rng: np.random.Generator) -> Goal:
        """What someone might take it for; the goal itself if nothing is near."""
        return self

    @property
    def sub_goals(self) -> int:
        """How many things it asks for."""
        return self.parts

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {"goal": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]  # subclasses are dataclasses

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """The inverse of :meth:`data`, without the name."""
        return cls(**fields)


def other(rng: np.random.Generator, value: str, choices: Sequence[str]) -> str:
    """One of the choices that is not the value, if there is any."""
    left = [choice for choice in choices if choice != value]
    return left[int(rng.integers(len(left)))] if left else value
