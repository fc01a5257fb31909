"""The products and their reviews, made from one seed: the same in every process."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from agentgym_envs.web.shop.vocabulary import (
    BRANDS,
    FIRST_NAMES,
    SHELVES,
    STYLES,
    VERDICTS,
    Shelf,
)

_EACH = 40
"""Products of a category."""
_MOST_REVIEWS = 5


@dataclass(frozen=True, slots=True)
class Product:
    """One thing for sale. ``rating`` is the mean of its reviews' stars, 0 without reviews."""

    id: int
    name: str
    brand: str
    category: str
    price: int
    stock: int
    sizes: tuple[str, ...]
    colours: tuple[str, ...]
    about: str
    rating: float = 0.0
    reviews: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody thought of a product. ``day`` is a date such as ``2025-01-31``."""

    product: int
    author: str
    stars: int
    title: str
    body: str
    day: str


@lru_cache(maxsize=1)
def products() -> tuple[Product, ...]:
    """All products; ids count from 1, in no order of category."""
    rng = random.Random("the shop's products")
    kinds = [
        (shelf, brand, style, noun) for shelf in SHELVES for brand, style, noun in _some(shelf)
    ]
    rng.shuffle(kinds)
    return tuple(_product(rng, number, *kind) for number, kind in enumerate(kinds, start=1))


@lru_cache(maxsize=1)
def reviews() -> tuple[Review, ...]:
    """All reviews; one product in six has none."""
    rng = random.Random("the shop's reviews")
    made: list[Review] = []
    for product in products():
        usual = rng.choice((2, 3, 4, 4, 5))
        for author in rng.sample(FIRST_NAMES, rng.randint(0, _MOST_REVIEWS)):
            stars = max(1, min(5, usual + rng.choice((-1, 0, 0, 1))))
            day = f"2025-0{rng.randint(1, 3)}-{rng.randint(1, 28):02}"
            made.append(Review(product.id, author, stars, *VERDICTS[stars], day))
    return tuple(made)


def _some(shelf: Shelf) -> list[tuple[str, str, str]]:
    rng = random.Random(f"the shop's {shelf.name}")
    every = [(brand, style, noun) for brand in BRANDS for style in STYLES for noun in shelf.nouns]
    return rng.sample(every, _EACH)


def _product(
    rng: random.Random, number: int, shelf: Shelf, brand: str, style: str, noun: str
) -> Product:
    low, high = shelf.prices
    price = rng.randint(low, high) * 100 + rng.choice((0, 50, 90, 95))
    stock = 0 if rng.random() < 0.1 else rng.randint(12, 90)
    about = f"A {noun.lower()} of the {style} series, made by {brand}."
    name = f"{brand} {style} {noun}"
    return Product(number, name, brand, shelf.name, price, stock, shelf.sizes, shelf.colours, about)
