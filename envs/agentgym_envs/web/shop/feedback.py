"""What customers write: reviews of products, and messages to the shop."""

from __future__ import annotations

from agentgym_envs.web.shop.accounts import EMAIL, profile
from agentgym_envs.web.shop.products import require_product
from agentgym_envs.web.shop.state import Refused, Shop, required

TOPICS = ("Order", "Delivery", "Return", "Product", "Other")
_SHORTEST_MESSAGE = 10


def write_review(
    shop: Shop, customer: int, product: int, stars: int, title: str, body: str
) -> None:
    """Say what one thinks of a product, once.

    Raises:
        Refused: Something is missing, or there is a review of the customer's.
    """
    require_product(shop, product)
    errors = required(title=title)
    if not 1 <= stars <= 5:
        errors["stars"] = "Please choose one to five stars."
    if shop.db.execute(
        "SELECT 1 FROM review WHERE customer = ? AND product = ?", (customer, product)
    ).fetchone():
        errors[""] = "You have already reviewed this product."
    if errors:
        raise Refused(errors)
    author = profile(shop, customer).name.split()[0]
    shop.db.execute(
        "INSERT INTO review (product, customer, author, stars, title, body, day) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (product, customer, author, stars, title.strip(), body.strip(), shop.today.isoformat()),
    )


def send_message(shop: Shop, email: str, topic: str, body: str) -> None:
    """Write to the shop.

    Raises:
        Refused: Something is missing, malformed or too short.
    """
    errors = {}
    if not EMAIL.fullmatch(email.strip()):
        errors["email"] = "Please enter a valid email address."
    if topic not in TOPICS:
        errors["topic"] = "Please choose a topic."
    if len(body.strip()) < _SHORTEST_MESSAGE:
        errors["body"] = f"Please write at least {_SHORTEST_MESSAGE} characters."
    if errors:
        raise Refused(errors)
    shop.db.execute(
        "INSERT INTO message (email, topic, body) VALUES (?, ?, ?)",
        (email.strip().lower(), topic, " ".join(body.split())),
    )
