"""What a template is, and the choices that several templates make."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from agentgym_envs.web.shop.catalogue import Product, products
from agentgym_envs.web.shop.database import COUPONS
from agentgym_envs.web.shop.errand import CartItem
from agentgym_envs.web.shop.goals.checkout import Checkout
from agentgym_envs.web.shop.goals.goal import Goal
from agentgym_envs.web.shop.goals.members import LogIn
from agentgym_envs.web.shop.goals.shopping import AddToCart, UseCoupon
from agentgym_envs.web.shop.orders import PAYMENTS, SHIPPING
from agentgym_envs.web.shop.people import Customer, Order


@dataclass(frozen=True, slots=True)
class Plan:
    """What a template has made up for a customer."""

    goals: tuple[Goal, ...]
    cart: tuple[CartItem, ...] = ()
    signed_in: bool = True


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of task.

    Args:
        name: Of the template; the task's category.
        sub_goals: How many things it asks for; the task's difficulty.
        make: Makes one up; ``None`` if this customer has nothing that it could be about.
    """

    name: str
    sub_goals: int
    make: Callable[[random.Random, Customer], Plan | None]


def some_products(rng: random.Random, count: int, *, plain: bool = False) -> list[Product]:
    """Different products that are in stock; plain ones have no options."""
    return rng.sample(
        [one for one in products() if one.stock and not (plain and _options(one))], count
    )


def some_product(rng: random.Random) -> Product:
    """A product that is in stock."""
    return some_products(rng, 1)[0]


def _options(product: Product) -> bool:
    return bool(product.sizes or product.colours)


def adding(rng: random.Random, product: Product, quantity: int = 1) -> AddToCart:
    """The goal to put it in the cart, in some size and colour."""
    size, colour = rng.choice(product.sizes or ("",)), rng.choice(product.colours or ("",))
    return AddToCart(product.id, size, colour, quantity)


def item(goal: AddToCart) -> CartItem:
    """What the goal would put in the cart, as something that is there already."""
    return goal.product, goal.size, goal.colour, goal.quantity


def coupon(rng: random.Random, *adds: AddToCart) -> UseCoupon:
    """A coupon that is good for what is added."""
    worth = sum(products()[one.product - 1].price * one.quantity for one in adds)
    good = [code for code, _, _, least, last in COUPONS if least <= worth and last > "2025-06"]
    return UseCoupon(rng.choice(good))


def buying(rng: random.Random, who: Customer, *named: str) -> Checkout:
    """A checkout that names some of ``address``, ``shipping`` and ``payment``."""
    choices = {
        "address": [one.label for one in who.addresses[1:]],
        "shipping": list(SHIPPING)[1:],
        "payment": list(PAYMENTS)[1:],
    }
    return Checkout(**{name: rng.choice(choices[name]) for name in named})


def order_in(rng: random.Random, who: Customer, *statuses: str) -> Order | None:
    """One of the customer's orders with one of the statuses."""
    fitting = [order for order in who.orders if order.status in statuses]
    return rng.choice(fitting) if fitting else None


def log_in(who: Customer) -> LogIn:
    """The goal to sign in."""
    return LogIn(who.email, who.password)
