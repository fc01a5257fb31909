"""The shop's customers with their addresses, earlier orders and wish lists, made from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from agentgym_envs.web.shop.catalogue import Product, products
from agentgym_envs.web.shop.orders import SHIPPING, STANDARD
from agentgym_envs.web.shop.vocabulary import (
    CITIES,
    FIRST_NAMES,
    LAST_NAMES,
    PASSWORD_WORDS,
    STREETS,
)

COUNT = 12
LABELS = ("Home", "Work", "Parents", "Cabin")
FIRST_ORDER = 1001
_STATUSES = ("Processing", "Shipped", "Delivered", "Delivered", "Cancelled")


@dataclass(frozen=True, slots=True)
class Address:
    """Where things are sent to."""

    label: str
    street: str
    postcode: str
    city: str

    def __str__(self) -> str:
        return f"{self.label}: {self.street}, {self.postcode} {self.city}"


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Some of one product in an order, at the price it had."""

    product: Product
    size: str
    colour: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order from before the episode. It took standard shipping and the first address."""

    number: int
    day: str
    status: str
    payment: str
    lines: tuple[OrderLine, ...]

    @property
    def goods(self) -> int:
        """What the lines cost, in cents."""
        return sum(line.quantity * line.product.price for line in self.lines)

    @property
    def delivery(self) -> int:
        """What shipping cost, in cents."""
        return SHIPPING[STANDARD].cost(self.goods)

    @property
    def total(self) -> int:
        """What was paid, in cents."""
        return self.goods + self.delivery


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody with an account; ``id`` counts from 1."""

    id: int
    name: str
    email: str
    password: str
    phone: str
    newsletter: bool
    addresses: tuple[Address, ...]
    wishes: tuple[Product, ...]
    orders: tuple[Order, ...]


@lru_cache(maxsize=1)
def customers() -> tuple[Customer, ...]:
    """Everybody. Order numbers run through all customers' orders."""
    rng = random.Random("the shop's customers")
    numbers = iter(range(FIRST_ORDER, FIRST_ORDER + 10 * COUNT))
    lasts = rng.sample(LAST_NAMES, COUNT)
    firsts = rng.sample(FIRST_NAMES, COUNT)
    made = []
    for place, (first, last) in enumerate(zip(firsts, lasts, strict=True), start=1):
        orders = tuple(_order(rng, next(numbers), month) for month in _months(rng))
        made.append(
            Customer(
                place,
                f"{first} {last}",
                f"{first}.{last}@mail.test".lower(),
                some_password(rng),
                some_phone(rng),
                rng.random() < 0.5,
                tuple(some_address(rng, label) for label in LABELS[: rng.randint(2, 3)]),
                tuple(rng.sample(products(), rng.randint(3, 5))),
                orders,
            )
        )
    return tuple(made)


def some_password(rng: random.Random) -> str:
    """Two words and a number."""
    return f"{'-'.join(rng.sample(PASSWORD_WORDS, 2))}-{rng.randint(10, 99)}"


def some_phone(rng: random.Random) -> str:
    """A number of nobody."""
    return f"0555 {rng.randint(100000, 999999)}"


def some_address(rng: random.Random, label: str) -> Address:
    """An address in a town that does not exist."""
    return Address(label, f"{rng.randint(1, 98)} {rng.choice(STREETS)}", *rng.choice(CITIES))


def _months(rng: random.Random) -> list[int]:
    return sorted(rng.choices((10, 11, 12), k=rng.randint(3, 5)))


def _order(rng: random.Random, number: int, month: int) -> Order:
    lines = tuple(
        OrderLine(
            product,
            rng.choice(product.sizes or ("",)),
            rng.choice(product.colours or ("",)),
            rng.randint(1, 2),
        )
        for product in rng.sample(products(), rng.randint(1, 3))
    )
    day = f"2024-{month}-{rng.randint(1, 28):02}"
    return Order(number, day, rng.choice(_STATUSES), rng.choice(("Invoice", "Card")), lines)
