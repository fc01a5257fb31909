"""Looking products up: by id, and by search with filters, an order and pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from agentgym_envs.web.shop.catalogue import Product, Review
from agentgym_envs.web.shop.state import Refused, Shop

SORTS: Mapping[str, tuple[str, str]] = {
    "name": ("Name", "name"),
    "price_up": ("Price: low to high", "price, name"),
    "price_down": ("Price: high to low", "price DESC, name"),
    "rating": ("Customer rating", "rating IS NULL, rating DESC, reviews DESC, name"),
}
"""What each order is called, and how it is asked for."""
MOST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for. Empty or 0 lets everything through; prices are cents."""

    words: str = ""
    category: str = ""
    brand: str = ""
    lowest: int = 0
    highest: int = 0
    stars: int = 0
    in_stock: bool = False
    sort: str = "name"
    page: int = 1


@dataclass(frozen=True, slots=True)
class Results:
    """One page of what was found, and how much was found in all."""

    products: tuple[Product, ...]
    total: int
    page: int
    pages: int


def product(shop: Shop, number: int) -> Product | None:
    """The product of an id."""
    row = shop.db.execute("SELECT * FROM item WHERE id = ?", (number,)).fetchone()
    return None if row is None else _of(row)


def require_product(shop: Shop, number: int) -> Product:
    """The product of an id.

    Raises:
        Refused: There is none.
    """
    found = product(shop, number)
    if found is None:
        raise Refused({"": "This product does not exist."})
    return found


def reviews_of(shop: Shop, number: int) -> tuple[Review, ...]:
    """A product's reviews, the newest first."""
    rows = shop.db.execute(
        "SELECT product, author, stars, title, body, day FROM review WHERE product = ? "
        "ORDER BY day DESC, id DESC",
        (number,),
    )
    return tuple(Review(*row) for row in rows)


def search(shop: Shop, wanted: Search) -> Results:
    """One page of the matching products. A page that there is not is the nearest one."""
    where, values = _condition(wanted)
    total = shop.db.execute(f"SELECT COUNT(*) FROM item WHERE {where}", values).fetchone()[0]
    pages = max(1, -(-total // shop.page_size))
    page = min(max(1, wanted.page), pages)
    order = SORTS[wanted.sort][1]
    rows = shop.db.execute(
        f"SELECT * FROM item WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
        (*values, shop.page_size, (page - 1) * shop.page_size),
    )
    return Results(tuple(map(_of, rows)), total, page, pages)


def _condition(wanted: Search) -> tuple[str, list[object]]:
    parts: list[tuple[str, object]] = [
        ("instr(lower(name || ' ' || category), ?) > 0", word)
        for word in wanted.words.lower().split()[:MOST_WORDS]
    ]
    if wanted.category:
        parts.append(("category = ?", wanted.category))
    if wanted.brand:
        parts.append(("brand = ?", wanted.brand))
    if wanted.lowest:
        parts.append(("price >= ?", wanted.lowest))
    if wanted.highest:
        parts.append(("price <= ?", wanted.highest))
    if wanted.stars:
        parts.append(("rating >= ?", wanted.stars))
    if wanted.in_stock:
        parts.append(("stock > ?", 0))
    return " AND ".join(["1", *(sql for sql, _ in parts)]), [value for _, value in parts]


def _of(row: sqlite3.Row) -> Product:
    return Product(
        row["id"],
        row["name"],
        row["brand"],
        row["category"],
        row["price"],
        row["stock"],
        tuple(filter(None, row["sizes"].split(","))),
        tuple(filter(None, row["colours"].split(","))),
        row["about"],
        row["rating"] or 0.0,
        row["reviews"],
    )
