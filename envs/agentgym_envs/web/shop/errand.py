"""A task of the shop: who wants what done, on which day, with what in the cart already."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from agentgym_envs.web.shop import cart as carts
from agentgym_envs.web.shop.database import open_copy
from agentgym_envs.web.shop.goals import (
    aftersales,
    belongings,
    checkout,
    members,
    questions,
    shopping,
)
from agentgym_envs.web.shop.goals.goal import Goal, Moment
from agentgym_envs.web.shop.state import PAGE_SIZE, Shop

KINDS: Mapping[str, type[Goal]] = {
    kind.__name__: kind
    for kind in (
        shopping.AddToCart,
        shopping.ChangeQuantity,
        shopping.RemoveLine,
        shopping.UseCoupon,
        checkout.Checkout,
        members.LogIn,
        members.Register,
        members.SetNewsletter,
        members.SetPhone,
        members.SetPassword,
        belongings.AddAddress,
        belongings.MoveStreet,
        belongings.DeleteAddress,
        belongings.Wish,
        belongings.Unwish,
        aftersales.CancelOrder,
        aftersales.ReturnItem,
        aftersales.WriteReview,
        aftersales.WriteMessage,
        questions.AskProduct,
        questions.AskOrder,
        questions.AskCount,
        questions.AskCheapest,
    )
}
CartItem = tuple[int, str, str, int]
"""Product, size, colour, quantity."""
_JOINS = (". Then ", ". After that, ", ", then ", ". Next, ")
_DONE = (' When that is done, answer "done".', ' Answer "done" at the end.')
_KEEP = " Leave everything that is not mentioned as it is."


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done. ``customer`` is who it is about; ``signed_in``: from the start."""

    customer: int
    goals: tuple[Goal, ...]
    today: str
    cart: tuple[CartItem, ...] = ()
    signed_in: bool = True

    @property
    def sub_goals(self) -> int:
        """How many things it asks for."""
        return sum(goal.sub_goals for goal in self.goals)

    @property
    def answer(self) -> str:
        """What a perfect player answers in the end."""
        asked = [goal.answer for goal in self.goals if isinstance(goal, questions.Question)]
        return asked[-1] if asked else "done"

    @property
    def registers(self) -> bool:
        """Whether it is about an account that is opened on the way."""
        return any(isinstance(goal, members.Register) for goal in self.goals)

    def data(self) -> dict[str, Any]:
        """As JSON values, for a task."""
        return {
            "customer": self.customer,
            "goals": [goal.data() for goal in self.goals],
            "today": self.today,
            "cart": [list(item) for item in self.cart],
            "signed_in": self.signed_in,
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Errand:
        """The inverse of :meth:`data`."""
        goals = []
        for fields in data["goals"]:
            kept = dict(fields)
            goals.append(KINDS[kept.pop("goal")].of(kept))
        cart = tuple((item[0], item[1], item[2], item[3]) for item in data["cart"])
        return cls(data["customer"], tuple(goals), data["today"], cart, data["signed_in"])

    def opened(self, page_size: int = PAGE_SIZE) -> Moment:
        """A shop of one's own as the errand finds it. Close its database in the end."""
        shop = Shop(open_copy(), date.fromisoformat(self.today), page_size)
        moment = Moment(shop, self.customer)
        with shop.db:
            for product, size, colour, quantity in self.cart:
                carts.add(shop, moment.owner, product, size, colour, quantity)
        return moment

    def instruction(self) -> str:
        """In words, which follow from the content, so that one errand is one text."""
        rng = random.Random(repr(self))
        text = ""
        for place, goal in enumerate(self.goals):
            words = goal.words(rng)
            join = rng.choice(_JOINS) if place else ""
            text += join + (words if join else words[0].upper() + words[1:])
        text += "."
        if any(
            isinstance(goal, checkout.Checkout)
            and not (goal.address and goal.shipping and goal.payment)
            for goal in self.goals
        ):
            text += _KEEP
        return text if self.answer != "done" else text + rng.choice(_DONE)
