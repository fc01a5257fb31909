"""Goals that are questions: what to look up, and the answer that follows from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentgym_envs.web.shop.goals.aftersales import to_order
from agentgym_envs.web.shop.goals.finding import Filters, product_of, towards
from agentgym_envs.web.shop.goals.goal import Goal, Moment, Rule
from agentgym_envs.web.shop.money import cents_of, dollars
from agentgym_envs.web.shop.moves import Move, Sight


class Question(Goal):
    """A goal that is reached by answering. Only who has looked it up is right.

    ``answer`` is a field of each kind: what is to be answered.
    """

    __slots__ = ()
    answer: str

    def rules(self) -> Sequence[Rule]:
        return (
            Rule("looked up", self.seen, needed=True),
            Rule("answered", lambda now: same(now.answer, self.answer), needed=True),
        )

    def seen(self, now: Moment) -> bool:
        """Whether a page has shown what was asked for."""
        raise NotImplementedError

    def mistaken(self, rng: np.random.Generator) -> Goal:
        fields = {**self.data(), "answer": _wrong(self.answer, rng)}
        del fields["goal"]
        return type(self).of(fields)


@dataclass(frozen=True, slots=True)
class AskProduct(Question):
    """A fact on a product's page: its ``price``, ``stock`` or number of ``reviews``."""

    product: int
    fact: str
    answer: str

    def words(self, rng: random.Random) -> str:
        name = product_of(self.product).name
        return {
            "price": f"find out what the {name} costs and answer with the price",
            "stock": f"find out how many of the {name} are in stock and answer with the number",
            "reviews": f"find out how many reviews the {name} has and answer with the number",
        }[self.fact]

    def seen(self, now: Moment) -> bool:
        log = now.shop.log
        return self.product in (log.opened if self.fact == "stock" else log.shown)

    def move(self, sight: Sight) -> Move:
        return towards(sight, self.product) or answer(self.answer)


@dataclass(frozen=True, slots=True)
class AskOrder(Question):
    """The ``status`` or the ``total`` of an order."""

    number: int
    fact: str
    answer: str

    def words(self, rng: random.Random) -> str:
        return {
            "status": f"look up the status of order {self.number} and answer with that word",
            "total": f"look up the total of order {self.number} and answer with the amount",
        }[self.fact]

    def seen(self, now: Moment) -> bool:
        return self.number in now.shop.log.orders

    def move(self, sight: Sight) -> Move:
        return to_order(sight, self.number) or answer(self.answer)


@dataclass(frozen=True, slots=True)
class AskCount(Question):
    """How many products of a brand there are in a category. ``example`` is one of them."""

    category: str
    brand: str
    example: int
    answer: str

    def words(self, rng: random.Random) -> str:
        return (
            f"find out how many products by {self.brand} there are in {self.category} "
            "and answer with the number"
        )

    def seen(self, now: Moment) -> bool:
        return self.example in now.shop.log.shown

    def move(self, sight: Sight) -> Move:
        return Filters(self.category, self.brand).narrow(sight) or answer(self.answer)


@dataclass(frozen=True, slots=True)
class AskCheapest(Question):
    """The name of the cheapest product of a category with a rating of so many stars or more."""

    category: str
    stars: int
    product: int
    answer: str

    def words(self, rng: random.Random) -> str:
        return (
            f"find the cheapest product in {self.category} rated {self.stars} stars or more "
            "and answer with its full name"
        )

    def seen(self, now: Moment) -> bool:
        return self.product in now.shop.log.shown

    def move(self, sight: Sight) -> Move:
        filters = Filters(self.category, stars=self.stars, sort="price_up")
        return filters.narrow(sight) or answer(self.answer)


def answer(text: str) -> Move:
    """The move that ends an episode."""
    return "answer", {"text": text}


def same(given: str | None, wanted: str) -> bool:
    """Whether an answer is the one wanted: amounts by value, words whatever their case."""
    if given is None:
        return False
    given = " ".join(given.split()).rstrip(".").strip("\"'")
    cents = cents_of(wanted)
    if cents is not None:
        return cents_of(given) == cents
    return given.casefold() == wanted.casefold()


def _wrong(right: str, rng: np.random.Generator) -> str:
    cents = cents_of(right)
    if cents is None:
        return right.split()[0].lower() + "?"
    off = int(rng.integers(1, 4))
    return dollars(cents + 100 * off) if "$" in right else str(cents // 100 + off)
