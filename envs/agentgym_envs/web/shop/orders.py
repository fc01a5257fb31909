"""Orders: choices on the way to one, placing it, cancelling it, returning things."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentgym_envs.web.shop import cart as carts
from agentgym_envs.web.shop.state import Refused, Shop


@dataclass(frozen=True, slots=True)
class Way:
    """A way of shipping; ``days`` until things arrive, ``price`` in cents."""

    name: str
    price: int
    days: int

    def cost(self, goods: int) -> int:
        """What it costs for goods of this worth."""
        return 0 if self.name == STANDARD and goods >= NO_SHIPPING_FROM else self.price


STANDARD = "Standard"
SHIPPING: Mapping[str, Way] = {
    way.name: way
    for way in (Way(STANDARD, 490, 4), Way("Express", 1290, 1), Way("Pick-up point", 290, 5))
}
NO_SHIPPING_FROM = 6000
"""Worth of the goods in cents from which standard shipping is free."""
PAYMENTS = ("Card", "Invoice", "Bank transfer")
REASONS = ("Too small", "Too large", "Damaged", "Changed my mind")


@dataclass(frozen=True, slots=True)
class Choices:
    """What was chosen so far on the way to an order; ``None`` or empty: nothing yet."""

    address: int | None = None
    shipping: str = ""
    payment: str = ""


@dataclass(frozen=True, slots=True)
class OrderedLine:
    """What was ordered, at the price it then had; ``returned`` is the reason, if it was."""

    product: int
    name: str
    size: str
    colour: str
    quantity: int
    price: int
    returned: str

    @property
    def title(self) -> str:
        """The product's name with its options."""
        return carts.titled(self.name, self.size, self.colour)

    @property
    def key(self) -> str:
        """What forms call the line."""
        return f"{self.product}|{self.size}|{self.colour}"


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order of the customer's."""

    number: int
    day: str
    status: str
    address: str
    shipping: str
    payment: str
    coupon: str
    goods: int
    discount: int
    delivery: int
    lines: tuple[OrderedLine, ...] = field(default=())

    @property
    def total(self) -> int:
        """What was paid, in cents."""
        return self.goods - self.discount + self.delivery


def choices_of(shop: Shop, customer: int) -> Choices:
    """How far the customer is."""
    row = shop.db.execute(
        "SELECT address, shipping, payment FROM checkout WHERE customer = ?", (customer,)
    ).fetchone()
    return Choices(*row) if row else Choices()


def choose(shop: Shop, customer: int, field_name: str, value: str | int) -> None:
    """Note a choice. ``field_name`` is ``address``, ``shipping`` or ``payment``.

    Raises:
        Refused: Not one of the customer's addresses, or not a way that the shop offers.
    """
    if field_name == "address" and not _own_address(shop, customer, value):
        raise Refused({"address": "Please choose one of your addresses."})
    if field_name == "shipping" and value not in SHIPPING:
        raise Refused({"shipping": "Please choose how we should ship your order."})
    if field_name == "payment" and value not in PAYMENTS:
        raise Refused({"payment": "Please choose how you want to pay."})
    shop.db.execute("INSERT OR IGNORE INTO checkout (customer) VALUES (?)", (customer,))
    shop.db.execute(f"UPDATE checkout SET {field_name} = ? WHERE customer = ?", (value, customer))


def place(shop: Shop, customer: int) -> int:
    """Order what is in the cart; gives the order's number. Sent twice, it orders once.

    Raises:
        Refused: The cart is empty, a choice is missing, or something cannot be had any more.
    """
    owner = carts.owner_of(customer)
    cart, chosen = carts.cart_of(shop, owner), choices_of(shop, customer)
    address = _own_address(shop, customer, chosen.address)
    if not cart.lines:
        raise Refused({"": "Your cart is empty."})
    if address is None or chosen.shipping not in SHIPPING or chosen.payment not in PAYMENTS:
        raise Refused({"": "Please choose address, shipping and payment first."})
    if cart.coupon and carts.used(shop, customer, cart.coupon):
        raise Refused({"": "You have already used this coupon."})
    _take_from_stock(shop, cart)
    number: int = shop.db.execute(
        "INSERT INTO purchase SELECT MAX(number) + 1, ?, ?, 'Processing', ?, ?, ?, ?, ?, ?, ? "
        "FROM purchase RETURNING number",
        (
            customer, shop.today.isoformat(), address, chosen.shipping, chosen.payment,
            cart.coupon if cart.discount else "", cart.goods, cart.discount,
            SHIPPING[chosen.shipping].cost(cart.goods),
        ),
    ).fetchone()[0]  # fmt: skip
    shop.db.executemany(
        "INSERT INTO purchase_line VALUES (?, ?, ?, ?, ?, ?, '')",
        [
            (number, one.product.id, one.size, one.colour, one.quantity, one.product.price)
            for one in cart.lines
        ],
    )
    carts.empty(shop, owner)
    shop.db.execute("DELETE FROM checkout WHERE customer = ?", (customer,))
    return number


def orders_of(shop: Shop, customer: int) -> tuple[PlacedOrder, ...]:
    """The customer's orders without their lines, the newest first."""
    rows = shop.db.execute(
        "SELECT * FROM purchase WHERE customer = ? ORDER BY number DESC", (customer,)
    )
    return tuple(map(_order, rows))


def order(shop: Shop, customer: int, number: int) -> PlacedOrder | None:
    """One order, if it is the customer's."""
    row = shop.db.execute(
        "SELECT * FROM purchase WHERE number = ? AND customer = ?", (number, customer)
    ).fetchone()
    if row is None:
        return None
    lines = shop.db.execute(
        "SELECT product, name, size, colour, quantity, purchase_line.price, returned "
        "FROM purchase_line JOIN product ON product.id = product WHERE purchase = ? "
        "ORDER BY purchase_line.rowid",
        (number,),
    )
    return _order(row, tuple(OrderedLine(*line) for line in lines))


def cancel(shop: Shop, customer: int, number: int) -> None:
    """Take an order back before it is sent.

    Raises:
        Refused: Not the customer's, or too late.
    """
    found = _require_order(shop, customer, number)
    if found.status != "Processing":
        raise Refused({"": f"This order is {found.status.lower()}; it cannot be cancelled."})
    shop.db.execute("UPDATE purchase SET status = 'Cancelled' WHERE number = ?", (number,))
    for line in found.lines:
        shop.db.execute(
            "UPDATE product SET stock = stock + ? WHERE id = ?", (line.quantity, line.product)
        )


def send_back(shop: Shop, customer: int, number: int, key: str, reason: str) -> None:
    """Return one line of an order.

    Raises:
        Refused: Not the customer's, not delivered, returned before, or without a reason.
    """
    found = _require_order(shop, customer, number)
    line = next((one for one in found.lines if one.key == key), None)
    if found.status != "Delivered" or line is None or line.returned:
        raise Refused({"": "This cannot be returned."})
    if reason not in REASONS:
        raise Refused({"reason": "Please choose a reason."})
    shop.db.execute(
        "UPDATE purchase_line SET returned = ? "
        "WHERE (purchase, product, size, colour) = (?, ?, ?, ?)",
        (reason, number, line.product, line.size, line.colour),
    )


def _require_order(shop: Shop, customer: int, number: int) -> PlacedOrder:
    found = order(shop, customer, number)
    if found is None:
        raise Refused({"": "You have no such order."})
    return found


def _own_address(shop: Shop, customer: int, address: object) -> str | None:
    row = shop.db.execute(
        "SELECT label, street, postcode, city FROM address WHERE id = ? AND customer = ?",
        (address, customer),
    ).fetchone()
    return None if row is None else f"{row[0]}: {row[1]}, {row[2]} {row[3]}"


def _take_from_stock(shop: Shop, cart: carts.Cart) -> None:
    wanted: dict[int, int] = {}
    for line in cart.lines:
        wanted[line.product.id] = wanted.get(line.product.id, 0) + line.quantity
    for line in cart.lines:
        if wanted[line.product.id] > line.product.stock:
            raise Refused({"": f"We have only {line.product.stock} left of {line.product.name}."})
    for number, quantity in wanted.items():
        shop.db.execute("UPDATE product SET stock = stock - ? WHERE id = ?", (quantity, number))


def _order(row: sqlite3.Row, lines: tuple[OrderedLine, ...] = ()) -> PlacedOrder:
    return PlacedOrder(
        number=row["number"],
        day=row["day"],
        status=row["status"],
        address=row["address"],
        shipping=row["shipping"],
        payment=row["payment"],
        coupon=row["coupon"],
        goods=row["goods"],
        discount=row["discount"],
        delivery=row["delivery"],
        lines=lines,
    )
