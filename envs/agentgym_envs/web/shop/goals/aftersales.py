"""Goals after buying: cancelling, returning, reviewing, writing to the shop."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentgym_envs.web.shop import feedback, orders
from agentgym_envs.web.shop.accounts import profile
from agentgym_envs.web.shop.goals.finding import product_of, towards
from agentgym_envs.web.shop.goals.goal import Goal, Moment, Rule, other
from agentgym_envs.web.shop.goals.shopping import title_of
from agentgym_envs.web.shop.moves import Field, Move, Sight


@dataclass(frozen=True, slots=True)
class CancelOrder(Goal):
    """Take an order back."""

    number: int

    def words(self, rng: random.Random) -> str:
        return rng.choice((f"cancel order {self.number}", f"cancel the order {self.number}"))

    def rules(self) -> Sequence[Rule]:
        query = "SELECT status FROM purchase WHERE number = ?"
        return (
            Rule("order found", lambda now: self.number in now.shop.log.orders),
            Rule("cancelled", lambda now: now.one(query, self.number) == "Cancelled"),
        )

    def apply(self, moment: Moment) -> None:
        orders.cancel(moment.shop, moment.customer, self.number)

    def move(self, sight: Sight) -> Move:
        return to_order(sight, self.number) or sight.press("button", "Cancel order")


@dataclass(frozen=True, slots=True)
class ReturnItem(Goal):
    """Send something back."""

    number: int
    product: int
    size: str
    colour: str
    reason: str

    def words(self, rng: random.Random) -> str:
        title = title_of(self.product, self.size, self.colour)
        verb = rng.choice(("return", "send back"))
        return f'{verb} the {title} of order {self.number} with the reason "{self.reason}"'

    def rules(self) -> Sequence[Rule]:
        return (
            Rule("order found", lambda now: self.number in now.shop.log.orders),
            Rule("returned", self._returned),
        )

    def apply(self, moment: Moment) -> None:
        key = f"{self.product}|{self.size}|{self.colour}"
        orders.send_back(moment.shop, moment.customer, self.number, key, self.reason)

    def move(self, sight: Sight) -> Move:
        if sight.path == f"/account/orders/{self.number}/return":
            return sight.submit([Field("choice", "Reason", self.reason)], "Send return")
        title = title_of(self.product, self.size, self.colour)
        return to_order(sight, self.number) or sight.press("link", f"Return {title}")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, reason=other(rng, self.reason, orders.REASONS))

    def _returned(self, now: Moment) -> bool:
        query = (
            "SELECT returned FROM purchase_line "
            "WHERE (purchase, product, size, colour) = (?, ?, ?, ?)"
        )
        found = now.one(query, self.number, self.product, self.size, self.colour)
        return bool(found == self.reason)


@dataclass(frozen=True, slots=True)
class WriteReview(Goal):
    """Say what one thinks of a product."""

    product: int
    stars: int
    title: str

    def words(self, rng: random.Random) -> str:
        name = product_of(self.product).name
        stars = f"{self.stars} {'star' if self.stars == 1 else 'stars'}"
        verb = rng.choice(("review", "write a review of"))
        return f'{verb} the {name} with {stars} and the title "{self.title}"'

    def rules(self) -> Sequence[Rule]:
        query = "SELECT 1 FROM review WHERE (product, customer, stars, title) = (?, ?, ?, ?)"
        return (
            Rule("product opened", lambda now: self.product in now.shop.log.opened),
            Rule(
                "reviewed",
                lambda now: (
                    now.one(query, self.product, now.customer, self.stars, self.title) is not None
                ),
            ),
        )

    def apply(self, moment: Moment) -> None:
        feedback.write_review(
            moment.shop, moment.customer, self.product, self.stars, self.title, ""
        )

    def move(self, sight: Sight) -> Move:
        if sight.path == f"/product/{self.product}/review":
            stars = f"{self.stars} {'star' if self.stars == 1 else 'stars'}"
            fields = [Field("radio", stars), Field("text", "Title", self.title)]
            return sight.submit(fields, "Send review")
        return towards(sight, self.product) or sight.press("link", "Write a review")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, stars=self.stars % 5 + 1)


@dataclass(frozen=True, slots=True)
class WriteMessage(Goal):
    """Write to the shop."""

    topic: str
    body: str

    def words(self, rng: random.Random) -> str:
        verb = rng.choice(("send the shop a message", "write to the shop"))
        return f'{verb} about "{self.topic}" saying "{self.body}"'

    def rules(self) -> Sequence[Rule]:
        query = "SELECT 1 FROM message WHERE topic = ? AND body = ?"
        return (
            Rule("message sent", lambda now: now.one(query, self.topic, self.body) is not None),
        )

    def apply(self, moment: Moment) -> None:
        email = profile(moment.shop, moment.customer).email
        feedback.send_message(moment.shop, email, self.topic, self.body)

    def move(self, sight: Sight) -> Move:
        fields = [Field("choice", "Topic", self.topic), Field("text", "Message", self.body)]
        return sight.visit("/contact", "Contact") or sight.submit(fields, "Send message")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, topic=other(rng, self.topic, feedback.TOPICS))


def to_order(sight: Sight, number: int) -> Move | None:
    """Towards an order's page; ``None`` if it is shown."""
    return sight.visit(f"/account/orders/{number}", "Orders", f"Order {number}")
