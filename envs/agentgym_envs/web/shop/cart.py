"""The cart: lines, coupon and what it all costs. Prices come from the database alone."""

from __future__ import annotations

from dataclasses import dataclass

from agentgym_envs.web.shop.catalogue import Product
from agentgym_envs.web.shop.products import require_product
from agentgym_envs.web.shop.state import Refused, Shop

MOST = 10
"""Of one line."""


def owner_of(customer: int) -> str:
    """Whose cart it is, for someone signed in."""
    return f"customer {customer}"


def guest(token: str) -> str:
    """Whose cart it is, for a session without a customer."""
    return f"session {token}"


@dataclass(frozen=True, slots=True)
class Line:
    """Some of a product in one size and colour; options that it lacks are empty."""

    product: Product
    size: str
    colour: str
    quantity: int

    @property
    def title(self) -> str:
        """The product's name with its options."""
        return titled(self.product.name, self.size, self.colour)

    @property
    def key(self) -> str:
        """What forms call the line."""
        return f"{self.product.id}|{self.size}|{self.colour}"

    @property
    def price(self) -> int:
        """Of all of them, in cents."""
        return self.product.price * self.quantity


@dataclass(frozen=True, slots=True)
class Cart:
    """What is in a cart; ``discount`` is what the coupon takes off, in cents."""

    lines: tuple[Line, ...]
    coupon: str
    discount: int

    @property
    def goods(self) -> int:
        """The worth of the lines before the discount."""
        return sum(line.price for line in self.lines)

    @property
    def count(self) -> int:
        """How many things are in it."""
        return sum(line.quantity for line in self.lines)


def titled(name: str, size: str, colour: str) -> str:
    """A product's name with the options chosen: ``Alder Drift Parka (M, red)``."""
    options = ", ".join(filter(None, (size, colour)))
    return f"{name} ({options})" if options else name


def cart_of(shop: Shop, owner: str) -> Cart:
    """The cart as it stands."""
    rows = shop.db.execute(
        "SELECT product, size, colour, quantity FROM cart_line WHERE owner = ? ORDER BY rowid",
        (owner,),
    ).fetchall()
    lines = tuple(Line(require_product(shop, row[0]), *row[1:]) for row in rows)
    chosen = shop.db.execute("SELECT code FROM cart_coupon WHERE owner = ?", (owner,)).fetchone()
    goods = sum(line.price for line in lines)
    code = chosen[0] if chosen else ""
    return Cart(lines, code, _discount(shop, code, goods))


def add(shop: Shop, owner: str, number: int, size: str, colour: str, quantity: int) -> None:
    """Put something in the cart, or more of what is there.

    Raises:
        Refused: No such product or option, too many, or none left.
    """
    product = require_product(shop, number)
    errors = {}
    if size not in (product.sizes or ("",)):
        errors["size"] = "Please choose a size."
    if colour not in (product.colours or ("",)):
        errors["colour"] = "Please choose a colour."
    if errors:
        raise Refused(errors)
    held = _quantity(shop, owner, number, size, colour)
    _require_possible(product, quantity, held)
    shop.db.execute(
        "INSERT INTO cart_line VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET quantity = excluded.quantity",
        (owner, number, size, colour, held + quantity),
    )


def change(shop: Shop, owner: str, key: str, quantity: int) -> None:
    """Set the quantity of the line that a form calls ``key``.

    Raises:
        Refused: No such line, or a quantity that cannot be had.
    """
    line = _line(shop, owner, key)
    _require_possible(line.product, quantity, 0)
    shop.db.execute(
        "UPDATE cart_line SET quantity = ? WHERE (owner, product, size, colour) = (?, ?, ?, ?)",
        (quantity, owner, line.product.id, line.size, line.colour),
    )


def remove(shop: Shop, owner: str, key: str) -> None:
    """Take a line out.

    Raises:
        Refused: No such line.
    """
    line = _line(shop, owner, key)
    shop.db.execute(
        "DELETE FROM cart_line WHERE (owner, product, size, colour) = (?, ?, ?, ?)",
        (owner, line.product.id, line.size, line.colour),
    )


def empty(shop: Shop, owner: str) -> None:
    """Take everything out, the coupon too."""
    shop.db.execute("DELETE FROM cart_line WHERE owner = ?", (owner,))
    shop.db.execute("DELETE FROM cart_coupon WHERE owner = ?", (owner,))


def apply_coupon(shop: Shop, owner: str, code: str, customer: int | None) -> None:
    """Use a coupon, instead of one used before.

    Raises:
        Refused: Unknown, expired, used in an earlier order, or the goods are worth too little.
    """
    code = code.strip().upper()
    row = shop.db.execute("SELECT * FROM coupon WHERE code = ?", (code,)).fetchone()
    if row is None:
        raise Refused({"code": "We do not know this coupon."})
    if row["last_day"] < shop.today.isoformat():
        raise Refused({"code": "This coupon has expired."})
    if customer is not None and used(shop, customer, code):
        raise Refused({"code": "You have already used this coupon."})
    cart = cart_of(shop, owner)
    if not cart.lines or cart.goods < row["minimum"]:
        raise Refused({"code": "Your cart is not worth enough for this coupon."})
    shop.db.execute("INSERT OR REPLACE INTO cart_coupon VALUES (?, ?)", (owner, code))


def drop_coupon(shop: Shop, owner: str) -> None:
    """Go without a coupon."""
    shop.db.execute("DELETE FROM cart_coupon WHERE owner = ?", (owner,))


def used(shop: Shop, customer: int, code: str) -> bool:
    """Whether an order of the customer's took the coupon; a cancelled one counts."""
    row = shop.db.execute(
        "SELECT 1 FROM purchase WHERE customer = ? AND coupon = ?", (customer, code)
    ).fetchone()
    return row is not None


def take_over(shop: Shop, token: str, customer: int) -> None:
    """Move what a session's guest had chosen into the cart of who has signed in."""
    before, owner = guest(token), owner_of(customer)
    shop.db.execute(
        "INSERT INTO cart_line SELECT ?, product, size, colour, quantity FROM cart_line "
        "WHERE owner = ? ON CONFLICT DO UPDATE SET quantity = min(?, quantity + excluded.quantity)",
        (owner, before, MOST),
    )
    shop.db.execute(
        "INSERT OR REPLACE INTO cart_coupon SELECT ?, code FROM cart_coupon WHERE owner = ?",
        (owner, before),
    )
    empty(shop, before)


def _line(shop: Shop, owner: str, key: str) -> Line:
    for line in cart_of(shop, owner).lines:
        if line.key == key:
            return line
    raise Refused({"": "This is not in your cart any more."})


def _quantity(shop: Shop, owner: str, number: int, size: str, colour: str) -> int:
    row = shop.db.execute(
        "SELECT quantity FROM cart_line WHERE (owner, product, size, colour) = (?, ?, ?, ?)",
        (owner, number, size, colour),
    ).fetchone()
    return row[0] if row else 0


def _require_possible(product: Product, quantity: int, held: int) -> None:
    if quantity < 1:
        raise Refused({"quantity": "The quantity must be at least 1."})
    if product.stock == 0:
        raise Refused({"quantity": f"{product.name} is out of stock."})
    if held + quantity > min(MOST, product.stock):
        most = min(MOST, product.stock)
        raise Refused({"quantity": f"You can order at most {most} of {product.name}."})


def _discount(shop: Shop, code: str, goods: int) -> int:
    row = shop.db.execute("SELECT * FROM coupon WHERE code = ?", (code,)).fetchone()
    if row is None or goods < row["minimum"]:
        return 0
    off: int = row["amount"] + goods * row["percent"] // 100
    return min(goods, off)
