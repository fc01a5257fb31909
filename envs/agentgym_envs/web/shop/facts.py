"""What there is in a shop's database, as lines that people can read and compare."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass

from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.state import Shop

_QUERIES = (
    "SELECT 'stock of ' || name || ': ' || stock || ', price ' || price FROM product",
    "SELECT 'account ' || email || ', ' || name || ', ' || phone || ', newsletter ' || newsletter "
    "|| ', password ' || password FROM customer",
    "SELECT 'address of ' || email || ': ' || label || ', ' || street || ', ' || postcode || ' ' "
    "|| city FROM address JOIN customer ON customer.id = customer",
    "SELECT 'wish of ' || email || ': ' || product.name FROM wish "
    "JOIN customer ON customer.id = customer JOIN product ON product.id = product",
    "SELECT 'in the cart of ' || {owner} || ': ' || quantity || ' ' || name || ' ' || size || ' ' "
    "|| colour FROM cart_line JOIN product ON product.id = product",
    "SELECT 'coupon in the cart of ' || {owner} || ': ' || code FROM cart_coupon",
    "SELECT 'order ' || number || ' of customer ' || customer || ', ' || day || ', ' || status || "
    "', ' || address || ', ' || shipping || ', ' || payment || ', ' || coupon || ', ' || "
    "goods || ' - ' || discount || ' + ' || delivery FROM purchase",
    "SELECT 'line of order ' || purchase || ': ' || quantity || ' ' || name || ' ' || size || ' ' "
    "|| colour || ' at ' || purchase_line.price || ', returned: ' || returned "
    "FROM purchase_line JOIN product ON product.id = product",
    "SELECT 'review by ' || customer || ', ' || author || ', of ' || name || ': ' || stars || "
    "', ' || title || ', ' || body "
    "FROM review JOIN product ON product.id = product WHERE customer IS NOT NULL",
    "SELECT 'message from ' || email || ' about ' || topic || ': ' || body FROM message",
)
_OWNER = "CASE WHEN owner LIKE 'session %' THEN 'a guest' ELSE owner END"


@dataclass(frozen=True, slots=True)
class Difference:
    """What a state lacks of the one wanted, and what is there that nobody wanted."""

    missing: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unwanted)


def facts(db: sqlite3.Connection) -> Counter[str]:
    """Everything that counts: not what was looked at, or is only chosen on the way."""
    lines = (row[0] for query in _QUERIES for row in db.execute(query.format(owner=_OWNER)))
    return Counter(lines)


def wanted_facts(errand: Errand) -> Counter[str]:
    """The facts once everything has been done, and nothing else.

    Raises:
        Refused: The shop does not let it be done.
    """
    moment = errand.opened()
    try:
        for goal in errand.goals:
            goal.apply(moment)
        return facts(moment.shop.db)
    finally:
        moment.shop.db.close()


def difference(shop: Shop, wanted: Counter[str]) -> Difference:
    """Between the shop as it is and what was wanted."""
    now = facts(shop.db)
    return Difference(
        tuple(sorted((wanted - now).elements())), tuple(sorted((now - wanted).elements()))
    )
