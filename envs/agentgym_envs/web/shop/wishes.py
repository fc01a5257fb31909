"""The wish list."""

from __future__ import annotations

from agentgym_envs.web.shop.products import require_product
from agentgym_envs.web.shop.state import Shop


def wishes_of(shop: Shop, customer: int) -> tuple[int, ...]:
    """Ids of the products on the wish list, in the order they were put there."""
    rows = shop.db.execute(
        "SELECT product FROM wish WHERE customer = ? ORDER BY rowid", (customer,)
    )
    return tuple(row[0] for row in rows)


def wish(shop: Shop, customer: int, product: int) -> None:
    """Put a product on the wish list.

    Raises:
        Refused: No such product.
    """
    require_product(shop, product)
    shop.db.execute("INSERT OR IGNORE INTO wish VALUES (?, ?)", (customer, product))


def unwish(shop: Shop, customer: int, product: int) -> None:
    """Take a product off the wish list."""
    shop.db.execute("DELETE FROM wish WHERE customer = ? AND product = ?", (customer, product))
