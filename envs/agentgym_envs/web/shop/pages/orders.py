"""The customer's orders, cancelling one, returning something."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from agentgym_envs.web.shop import orders
from agentgym_envs.web.shop.exchange import Reply, Request, go
from agentgym_envs.web.shop.forms import (
    button,
    choice_field,
    errors_box,
    form,
    hidden,
    small_form,
)
from agentgym_envs.web.shop.markup import Html, join, tag
from agentgym_envs.web.shop.money import dollars
from agentgym_envs.web.shop.pages.home import missing
from agentgym_envs.web.shop.state import Refused, Shop


def listing(shop: Shop, request: Request) -> Reply:
    """All orders, the newest first."""
    placed = orders.orders_of(shop, request.customer)
    shop.log.orders.update(one.number for one in placed)
    items = [
        tag(
            "li",
            tag("a", f"Order {one.number}", href=f"/account/orders/{one.number}"),
            f" of {one.day}: {one.status}, {dollars(one.total)}",
        )
        for one in placed
    ]
    if not items:
        return Reply("Your orders", tag("p", "You have not ordered anything yet."))
    return Reply("Your orders", tag("ul", items))


def show(shop: Shop, request: Request, number: int) -> Reply:
    """One order."""
    found = orders.order(shop, request.customer, number)
    if found is None:
        return missing(shop, request)
    shop.log.orders.add(number)
    facts = [
        f"Placed: {found.day}",
        f"Status: {found.status}",
        f"Address: {found.address}",
        f"Shipping: {found.shipping} ({dollars(found.delivery)})",
        f"Payment: {found.payment}",
        *([f"Coupon {found.coupon}: -{dollars(found.discount)}"] if found.coupon else []),
        f"Total: {dollars(found.total)}",
    ]
    main = join(
        tag("ul", [tag("li", fact) for fact in facts]),
        tag("h2", "Items"),
        tag("ul", [tag("li", _line(found, line)) for line in found.lines]),
        small_form(f"/account/orders/{number}/cancel", "Cancel order")
        if found.status == "Processing"
        else None,
    )
    return Reply(f"Order {number}", main)


def cancel(shop: Shop, request: Request, number: int) -> Reply:
    """Take the order back."""
    try:
        orders.cancel(shop, request.customer, number)
    except Refused as refused:
        return go("/account/orders", str(refused))
    return go(f"/account/orders/{number}", "The order was cancelled.")


def return_form(shop: Shop, request: Request, number: int) -> Reply:
    """Why something is sent back."""
    return _return_page(shop, request, number, request.query.get("line", ""), {})


def send_back(shop: Shop, request: Request, number: int) -> Reply:
    """Send it back."""
    key = request.text("line")
    try:
        orders.send_back(shop, request.customer, number, key, request.text("reason"))
    except Refused as refused:
        return _return_page(shop, request, number, key, refused.errors)
    return go(f"/account/orders/{number}", "We have received your return.")


def _line(found: orders.PlacedOrder, line: orders.OrderedLine) -> Html:
    words = f"{line.quantity} × {line.title}: {dollars(line.quantity * line.price)} "
    if line.returned:
        return join(words, tag("span", f"Returned: {line.returned}", class_="was"))
    if found.status != "Delivered":
        return join(words)
    address = f"/account/orders/{found.number}/return?" + urlencode({"line": line.key})
    return join(words, tag("a", f"Return {line.title}", href=address))


def _return_page(
    shop: Shop, request: Request, number: int, key: str, errors: Mapping[str, str]
) -> Reply:
    found = orders.order(shop, request.customer, number)
    line = next((one for one in found.lines if one.key == key), None) if found else None
    if line is None:
        return missing(shop, request)
    reasons = [("", "Please choose"), *((reason, reason) for reason in orders.REASONS)]
    main = form(
        f"/account/orders/{number}/return",
        errors_box(errors),
        hidden("line", key),
        choice_field("reason", "Reason", reasons, request.text("reason"), errors),
        button("Send return"),
    )
    return Reply(f"Return {line.title}", main, 422 if errors else 200)
