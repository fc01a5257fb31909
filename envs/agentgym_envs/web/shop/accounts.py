"""Accounts: signing in and up, settings, the password."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentgym_envs.web.shop import cart as carts
from agentgym_envs.web.shop.state import Refused, Shop, required

EMAIL = re.compile(r"[^@\s]{1,60}@[a-z0-9-]{1,40}(\.[a-z]{2,10})+", re.IGNORECASE)
_PHONE = re.compile(r"[0-9 +/-]{6,20}")
_SHORTEST_PASSWORD = 8


@dataclass(frozen=True, slots=True)
class Profile:
    """What the account page shows."""

    id: int
    email: str
    name: str
    phone: str
    newsletter: bool


def profile(shop: Shop, customer: int) -> Profile:
    """The customer's data."""
    row = shop.db.execute(
        "SELECT id, email, name, phone, newsletter FROM customer WHERE id = ?", (customer,)
    ).fetchone()
    return Profile(row["id"], row["email"], row["name"], row["phone"], bool(row["newsletter"]))


def sign_in(shop: Shop, email: str, password: str) -> int:
    """The customer's id.

    Raises:
        Refused: Email and password do not belong together; which is wrong is not said.
    """
    row = shop.db.execute(
        "SELECT id FROM customer WHERE email = ? AND password = ?",
        (email.strip().lower(), password),
    ).fetchone()
    if row is None:
        raise Refused({"": "Email or password is wrong."})
    return int(row[0])


def sign_up(shop: Shop, name: str, email: str, password: str, newsletter: bool) -> int:
    """Open an account; gives the customer's id.

    Raises:
        Refused: Something is missing or malformed, or the email has an account.
    """
    email = email.strip().lower()
    errors = required(name=name)
    if not EMAIL.fullmatch(email):
        errors["email"] = "Please enter a valid email address."
    elif shop.db.execute("SELECT 1 FROM customer WHERE email = ?", (email,)).fetchone():
        errors["email"] = "There is an account with this email address."
    if len(password) < _SHORTEST_PASSWORD:
        errors["password"] = f"The password needs at least {_SHORTEST_PASSWORD} characters."
    if errors:
        raise Refused(errors)
    return int(
        shop.db.execute(
            "INSERT INTO customer (email, name, password, phone, newsletter) "
            "VALUES (?, ?, ?, '', ?) RETURNING id",
            (email, name.strip(), password, newsletter),
        ).fetchone()[0]
    )


def save_profile(shop: Shop, customer: int, name: str, phone: str, newsletter: bool) -> None:
    """Change the settings.

    Raises:
        Refused: No name, or no telephone number.
    """
    errors = required(name=name)
    if phone.strip() and not _PHONE.fullmatch(phone.strip()):
        errors["phone"] = "Please enter a telephone number of 6 to 20 digits."
    if errors:
        raise Refused(errors)
    shop.db.execute(
        "UPDATE customer SET name = ?, phone = ?, newsletter = ? WHERE id = ?",
        (name.strip(), phone.strip(), newsletter, customer),
    )


def change_password(shop: Shop, customer: int, old: str, new: str, repeated: str) -> None:
    """Change the password.

    Raises:
        Refused: The old one is wrong, the new one too short or not repeated.
    """
    right = shop.db.execute("SELECT password FROM customer WHERE id = ?", (customer,)).fetchone()[0]
    errors = {}
    if old != right:
        errors["old"] = "This is not your current password."
    if len(new) < _SHORTEST_PASSWORD:
        errors["new"] = f"The password needs at least {_SHORTEST_PASSWORD} characters."
    elif new != repeated:
        errors["repeated"] = "The two new passwords differ."
    if errors:
        raise Refused(errors)
    shop.db.execute("UPDATE customer SET password = ? WHERE id = ?", (new, customer))


def enter(shop: Shop, token: str, customer: int) -> None:
    """Bind a session to a customer, whose cart takes over what the guest chose."""
    carts.take_over(shop, token, customer)
    shop.db.execute("UPDATE session SET customer = ? WHERE token = ?", (customer, token))
