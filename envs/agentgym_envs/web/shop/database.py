"""The database: a template built once per process, and a copy of it in memory for each episode."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import lru_cache

from agentgym_envs.web.shop.catalogue import products, reviews
from agentgym_envs.web.shop.orders import STANDARD
from agentgym_envs.web.shop.people import Customer, customers
from agentgym_envs.web.shop.schema import DDL

COUPONS = (
    ("SPRING10", 10, 0, 0, "2025-12-31"),
    ("HELLO5", 0, 500, 0, "2025-12-31"),
    ("TRAIL15", 15, 0, 4000, "2025-12-31"),
    ("BIG20", 20, 0, 10000, "2025-12-31"),
    ("WINTER25", 25, 0, 0, "2025-01-31"),
)
"""Code, percent off, cents off, least worth of the goods, last day. The last one has expired."""


def open_copy() -> sqlite3.Connection:
    """A database of one's own, in memory."""
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    copy.deserialize(_template())
    copy.row_factory = sqlite3.Row
    return copy


@lru_cache(maxsize=1)
def _template() -> bytes:
    db = sqlite3.connect(":memory:")
    try:
        db.executescript(DDL)
        for table, rows in _rows().items():
            listed = list(rows)
            marks = ", ".join("?" * len(listed[0]))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", listed)
        db.commit()
        return bytes(db.serialize())
    finally:
        db.close()


def _rows() -> dict[str, Iterable[tuple[object, ...]]]:
    people = customers()
    addresses = [(who.id, one) for who in people for one in who.addresses]
    lines = [(order.number, one) for who in people for order in who.orders for one in order.lines]
    return {
        "product": [
            (p.id, p.name, p.brand, p.category, p.price, p.stock, ",".join(p.sizes),
             ",".join(p.colours), p.about)
            for p in products()
        ],
        "review": [
            (place, r.product, None, r.author, r.stars, r.title, r.body, r.day)
            for place, r in enumerate(reviews(), start=1)
        ],
        "customer": [
            (c.id, c.email, c.name, c.password, c.phone, int(c.newsletter)) for c in people
        ],
        "address": [
            (place, who, a.label, a.street, a.postcode, a.city)
            for place, (who, a) in enumerate(addresses, start=1)
        ],
        "coupon": COUPONS,
        "wish": [(who.id, product.id) for who in people for product in who.wishes],
        "purchase": [row for who in people for row in _purchases(who)],
        "purchase_line": [
            (number, one.product.id, one.size, one.colour, one.quantity, one.product.price, "")
            for number, one in lines
        ],
    }  # fmt: skip


def _purchases(who: Customer) -> Iterable[tuple[object, ...]]:
    for order in who.orders:
        yield (
            order.number, who.id, order.day, order.status, str(who.addresses[0]), STANDARD,
            order.payment, "", order.goods, 0, order.delivery,
        )  # fmt: skip
