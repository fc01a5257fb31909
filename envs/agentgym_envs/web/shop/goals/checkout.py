"""The goal of buying what is in the cart."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentgym_envs.web.shop import orders
from agentgym_envs.web.shop.addresses import addresses_of
from agentgym_envs.web.shop.goals.goal import Goal, Moment, Rule, other
from agentgym_envs.web.shop.goals.shopping import to_cart
from agentgym_envs.web.shop.moves import Field, Move, Sight
from agentgym_envs.web.shop.people import LABELS


@dataclass(frozen=True, slots=True)
class Checkout(Goal):
    """Order the cart. What is left empty stays as the shop has preselected it."""

    address: str = ""
    shipping: str = ""
    payment: str = ""

    @property
    def sub_goals(self) -> int:
        return max(1, sum(map(bool, (self.address, self.shipping, self.payment))))

    def words(self, rng: random.Random) -> str:
        parts = [rng.choice(("check out", "order what is in the cart", "place the order"))]
        if self.address:
            parts.append(f"to the address {self.address}")
        if self.shipping:
            parts.append(f"with {self.shipping} shipping")
        if self.payment:
            parts.append(f"and pay by {self.payment}" if len(parts) > 1 else f"by {self.payment}")
        return " ".join(parts)

    def rules(self) -> Sequence[Rule]:
        chosen = [
            ("address chosen", self.address, self._address_chosen),
            ("shipping chosen", self.shipping, self._choice("shipping", self.shipping)),
            ("payment chosen", self.payment, self._choice("payment", self.payment)),
        ]
        rules = [Rule(name, holds) for name, wanted, holds in chosen if wanted]
        return (*rules, Rule("order placed", self._placed))

    def apply(self, moment: Moment) -> None:
        saved = addresses_of(moment.shop, moment.customer)
        address = next(one for one in saved if self.address in ("", one.address.label))
        orders.choose(moment.shop, moment.customer, "address", address.id)
        orders.choose(moment.shop, moment.customer, "shipping", self.shipping or orders.STANDARD)
        orders.choose(moment.shop, moment.customer, "payment", self.payment or orders.PAYMENTS[0])
        orders.place(moment.shop, moment.customer)

    def move(self, sight: Sight) -> Move:
        if sight.path == "/checkout/confirm":
            return sight.submit([Field("check", "I accept the terms", "on")], "Place order")
        for name in ("address", "shipping", "payment"):
            if sight.path == f"/checkout/{name}":
                return self._choose(sight, getattr(self, name))
        return to_cart(sight) or sight.press("link", "Go to checkout")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        if self.shipping and rng.random() < 0.5:
            return replace(self, shipping=other(rng, self.shipping, tuple(orders.SHIPPING)))
        if self.payment:
            return replace(self, payment=other(rng, self.payment, orders.PAYMENTS))
        return replace(self, address=LABELS[0], shipping="Express")

    def _choose(self, sight: Sight, wanted: str) -> Move:
        if not wanted:
            return sight.press("button", "Continue")
        for one in sight.view.elements:
            if one.role == "radio" and one.name.strip().startswith(wanted):
                return sight.submit([Field("radio", one.name.strip())], "Continue")
        return sight.scroll()

    def _choice(self, column: str, wanted: str) -> Callable[[Moment], bool]:
        query = f"SELECT 1 FROM checkout WHERE customer = ? AND {column} = ?"
        return lambda now: now.one(query, now.customer, wanted) is not None

    def _address_chosen(self, now: Moment) -> bool:
        label = now.one(
            "SELECT label FROM checkout JOIN address ON address.id = checkout.address "
            "WHERE checkout.customer = ?",
            now.customer,
        )
        return bool(label == self.address)

    def _placed(self, now: Moment) -> bool:
        found = now.shop.db.execute(
            "SELECT address, shipping, payment FROM purchase WHERE customer = ? AND day = ? "
            "ORDER BY number DESC",
            (now.customer, now.shop.today.isoformat()),
        ).fetchone()
        return found is not None and all(
            got.startswith(wanted)
            for got, wanted in zip(found, (self.address, self.shipping, self.payment), strict=True)
        )
