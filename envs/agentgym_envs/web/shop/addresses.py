"""The addresses that a customer keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentgym_envs.web.shop.people import Address
from agentgym_envs.web.shop.state import Refused, Shop, required

MOST_ADDRESSES = 8
_POSTCODE = re.compile(r"[0-9]{5}")


@dataclass(frozen=True, slots=True)
class SavedAddress:
    """An address of a customer's, with the id that forms call it by."""

    id: int
    address: Address


def addresses_of(shop: Shop, customer: int) -> tuple[SavedAddress, ...]:
    """The customer's addresses, the oldest first."""
    rows = shop.db.execute(
        "SELECT id, label, street, postcode, city FROM address WHERE customer = ? ORDER BY id",
        (customer,),
    )
    return tuple(SavedAddress(row[0], Address(*row[1:])) for row in rows)


def save_address(shop: Shop, customer: int, address: Address, number: int | None = None) -> None:
    """Add an address, or change the one of an id.

    Raises:
        Refused: Something is missing or malformed, or it is not the customer's.
    """
    saved = addresses_of(shop, customer)
    errors = required(label=address.label, street=address.street, city=address.city)
    if not _POSTCODE.fullmatch(address.postcode.strip()):
        errors["postcode"] = "The postcode has five digits."
    if number is not None and number not in [one.id for one in saved]:
        errors[""] = "You have no such address."
    if number is None and len(saved) >= MOST_ADDRESSES:
        errors[""] = f"You can keep {MOST_ADDRESSES} addresses."
    if errors:
        raise Refused(errors)
    values = [
        text.strip() for text in (address.label, address.street, address.postcode, address.city)
    ]
    if number is None:
        shop.db.execute(
            "INSERT INTO address (customer, label, street, postcode, city) VALUES (?, ?, ?, ?, ?)",
            (customer, *values),
        )
    else:
        shop.db.execute(
            "UPDATE address SET label = ?, street = ?, postcode = ?, city = ? WHERE id = ?",
            (*values, number),
        )


def delete_address(shop: Shop, customer: int, number: int) -> None:
    """Forget an address; nothing happens if it is not the customer's."""
    shop.db.execute("DELETE FROM address WHERE id = ? AND customer = ?", (number, customer))
