"""Goals about the cart: adding, changing, removing, coupons."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentgym_envs.web.shop import cart as carts
from agentgym_envs.web.shop.catalogue import products
from agentgym_envs.web.shop.database import COUPONS
from agentgym_envs.web.shop.goals.finding import Filters, product_of, towards
from agentgym_envs.web.shop.goals.goal import Goal, Moment, Rule, other
from agentgym_envs.web.shop.moves import Field, Move, Sight


@dataclass(frozen=True, slots=True)
class AddToCart(Goal):
    """Put a product in the cart; with a category it is not named but described: the cheapest of
    the category, of the brand and with the stars asked for, that is in stock."""

    product: int
    size: str = ""
    colour: str = ""
    quantity: int = 1
    category: str = ""
    brand: str = ""
    stars: int = 0

    def words(self, rng: random.Random) -> str:
        many = "" if self.quantity == 1 else f"{self.quantity} of "
        size = f"size {self.size}" if self.size else ""
        options = " and ".join(filter(None, (size, self.colour)))
        chosen = f" in {options}" if options else ""
        what = f"{many}{self._what()}{chosen}"
        verb = rng.choice(("add {} to the cart", "put {} in the cart", "place {} in your cart"))
        return verb.format(what)

    def rules(self) -> Sequence[Rule]:
        return (
            Rule("product opened", lambda now: self.product in now.shop.log.opened),
            Rule("in the cart", self._held),
        )

    def apply(self, moment: Moment) -> None:
        carts.add(moment.shop, moment.owner, self.product, self.size, self.colour, self.quantity)

    def move(self, sight: Sight) -> Move:
        way = self._way(sight)
        if way is not None:
            return way
        fields = [Field("text", "Quantity", str(self.quantity))]
        if self.colour:
            fields.insert(0, Field("choice", "Colour", self.colour))
        if self.size:
            fields.insert(0, Field("choice", "Size", self.size))
        return sight.submit(fields, "Add to cart")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        own = product_of(self.product)
        kinds = ["quantity", "product", "size"] if self.size else ["quantity", "product"]
        kind = kinds[int(rng.integers(len(kinds)))]
        if kind == "quantity":
            return replace(self, quantity=self.quantity % 4 + 1)
        if kind == "size":
            return replace(self, size=other(rng, self.size, own.sizes))
        near = [
            one for one in products()
            if one.category == own.category and one.stock and one.id != own.id
        ]  # fmt: skip
        wrong = near[int(rng.integers(len(near)))].id
        return replace(self, product=wrong, category="", brand="", stars=0)

    def _what(self) -> str:
        if not self.category:
            return f"the {product_of(self.product).name}"
        brand = f" by {self.brand}" if self.brand else ""
        stars = f" rated {self.stars} stars or more" if self.stars else ""
        return f"the cheapest product in {self.category}{brand}{stars} that is in stock"

    def _way(self, sight: Sight) -> Move | None:
        name = product_of(self.product).name
        if not self.category or sight.path == f"/product/{self.product}":
            return towards(sight, self.product)
        filters = Filters(self.category, self.brand, self.stars, True, "price_up")
        return filters.narrow(sight) or sight.press("link", name)

    def _held(self, now: Moment) -> bool:
        return quantity_of(now, self.product, self.size, self.colour) == self.quantity


@dataclass(frozen=True, slots=True)
class ChangeQuantity(Goal):
    """Have another number of what is in the cart."""

    product: int
    size: str
    colour: str
    quantity: int

    def words(self, rng: random.Random) -> str:
        title = title_of(self.product, self.size, self.colour)
        return rng.choice(
            (
                f"change the quantity of the {title} in the cart to {self.quantity}",
                f"set the number of the {title} in your cart to {self.quantity}",
            )
        )

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(
                "quantity",
                lambda now: quantity_of(now, self.product, self.size, self.colour) == self.quantity,
            ),
        )

    def apply(self, moment: Moment) -> None:
        carts.change(
            moment.shop, moment.owner, f"{self.product}|{self.size}|{self.colour}", self.quantity
        )

    def move(self, sight: Sight) -> Move:
        title = title_of(self.product, self.size, self.colour)
        field = Field("text", f"Quantity of {title}", str(self.quantity))
        return to_cart(sight) or sight.submit([field], f"Update {title}")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, quantity=self.quantity % 9 + 1)


@dataclass(frozen=True, slots=True)
class RemoveLine(Goal):
    """Take something out of the cart."""

    product: int
    size: str
    colour: str

    def words(self, rng: random.Random) -> str:
        title = title_of(self.product, self.size, self.colour)
        return rng.choice(
            (f"remove the {title} from the cart", f"take the {title} out of the cart")
        )

    def rules(self) -> Sequence[Rule]:
        return (
            Rule("removed", lambda now: not quantity_of(now, self.product, self.size, self.colour)),
        )

    def apply(self, moment: Moment) -> None:
        carts.remove(moment.shop, moment.owner, f"{self.product}|{self.size}|{self.colour}")

    def move(self, sight: Sight) -> Move:
        title = title_of(self.product, self.size, self.colour)
        return to_cart(sight) or sight.press("button", f"Remove {title}")


@dataclass(frozen=True, slots=True)
class UseCoupon(Goal):
    """Apply a coupon to the cart."""

    code: str

    def words(self, rng: random.Random) -> str:
        return rng.choice(
            (f"apply the coupon {self.code}", f"use the coupon code {self.code} in the cart")
        )

    def rules(self) -> Sequence[Rule]:
        return (Rule("coupon applied", self._applied),)

    def apply(self, moment: Moment) -> None:
        carts.apply_coupon(moment.shop, moment.owner, self.code, moment.customer)

    def move(self, sight: Sight) -> Move:
        field = Field("text", "Coupon", self.code)
        return to_cart(sight) or sight.submit([field], "Apply coupon")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, code=other(rng, self.code, [coupon[0] for coupon in COUPONS]))

    def _applied(self, now: Moment) -> bool:
        query = "SELECT 1 FROM cart_coupon WHERE (owner, code) = (?, ?)"
        return now.one(query, now.owner, self.code) is not None


def to_cart(sight: Sight) -> Move | None:
    """Towards the cart, whose link says how much is in it; ``None`` if it is shown."""
    if sight.path.startswith("/cart"):
        return None
    for one in sight.view.elements:
        if one.role == "link" and one.name.startswith("Cart ("):
            return "click", {"id": one.id}
    return sight.scroll()


def title_of(product: int, size: str, colour: str) -> str:
    """What the cart calls a line."""
    return carts.titled(product_of(product).name, size, colour)


def quantity_of(now: Moment, product: int, size: str, colour: str) -> int:
    """How many are in the customer's cart."""
    found = now.one(
        "SELECT quantity FROM cart_line WHERE (owner, product, size, colour) = (?, ?, ?, ?)",
        now.owner, product, size, colour,
    )  # fmt: skip
    return int(found or 0)
