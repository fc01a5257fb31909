"""The way to an order: address, shipping, payment, and a last look at it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from agentgym_envs.web.shop import orders
from agentgym_envs.web.shop.addresses import addresses_of
from agentgym_envs.web.shop.cart import Cart, cart_of
from agentgym_envs.web.shop.exchange import Reply, Request, go
from agentgym_envs.web.shop.forms import button, check_field, errors_box, form, radio_fields
from agentgym_envs.web.shop.markup import Html, join, tag
from agentgym_envs.web.shop.money import dollars
from agentgym_envs.web.shop.pages.cart import totals
from agentgym_envs.web.shop.state import Refused, Shop


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way: what is chosen, under which heading, and what comes next."""

    name: str
    title: str
    legend: str
    options: Callable[[Shop, int, Cart], list[tuple[str, str]]]
    next: str


def _address_options(shop: Shop, customer: int, cart: Cart) -> list[tuple[str, str]]:
    return [(str(one.id), str(one.address)) for one in addresses_of(shop, customer)]


def _shipping_options(shop: Shop, customer: int, cart: Cart) -> list[tuple[str, str]]:
    return [
        (way.name, f"{way.name} ({dollars(way.cost(cart.goods))})")
        for way in orders.SHIPPING.values()
    ]


def _payment_options(shop: Shop, customer: int, cart: Cart) -> list[tuple[str, str]]:
    return [(name, name) for name in orders.PAYMENTS]


STEPS: Mapping[str, Step] = {
    step.name: step
    for step in (
        Step("address", "Checkout: address", "Where should we send it?", _address_options,
             "shipping"),
        Step("shipping", "Checkout: shipping", "How should we ship it?", _shipping_options,
             "payment"),
        Step("payment", "Checkout: payment", "How do you want to pay?", _payment_options,
             "confirm"),
    )
}  # fmt: skip


def show_step(shop: Shop, request: Request, name: str) -> Reply:
    """A step's options."""
    return _step_page(shop, request, STEPS[name], {})


def save_step(shop: Shop, request: Request, name: str) -> Reply:
    """Note the choice, and on to the next step."""
    step = STEPS[name]
    value = request.number(name) if name == "address" else request.text(name)
    try:
        orders.choose(shop, request.customer, name, value)
    except Refused as refused:
        return _step_page(shop, request, step, refused.errors)
    return go(f"/checkout/{step.next}")


def show_confirm(shop: Shop, request: Request) -> Reply:
    """Everything once more."""
    return _confirm_page(shop, request, {})


def place(shop: Shop, request: Request) -> Reply:
    """Order it."""
    if request.text("terms") != "1":
        return _confirm_page(shop, request, {"terms": "Please accept the terms."})
    try:
        number = orders.place(shop, request.customer)
    except Refused as refused:
        return go("/cart", str(refused))
    return go(f"/account/orders/{number}", f"Thank you! Your order {number} was placed.")


def _step_page(shop: Shop, request: Request, step: Step, errors: Mapping[str, str]) -> Reply:
    cart = cart_of(shop, request.session.owner)
    if not cart.lines:
        return go("/cart", "Your cart is empty.")
    chosen = getattr(orders.choices_of(shop, request.customer), step.name)
    options = step.options(shop, request.customer, cart)
    if not chosen and options:
        chosen = options[0][0]
    main = form(
        f"/checkout/{step.name}",
        errors_box(errors),
        radio_fields(step.name, step.legend, options, str(chosen or ""), errors),
        button("Continue"),
        tag("p", tag("a", "New address", href="/account/addresses/new"))
        if step.name == "address"
        else None,
    )  # fmt: skip
    return Reply(step.title, main, 422 if errors else 200)


def _confirm_page(shop: Shop, request: Request, errors: Mapping[str, str]) -> Reply:
    cart, chosen = cart_of(shop, request.session.owner), orders.choices_of(shop, request.customer)
    addresses = {one.id: one.address for one in addresses_of(shop, request.customer)}
    if not cart.lines:
        return go("/cart", "Your cart is empty.")
    if chosen.address not in addresses or not chosen.shipping or not chosen.payment:
        return go("/checkout/address", "Please choose address, shipping and payment first.")
    way = orders.SHIPPING[chosen.shipping]
    arrives = shop.today + timedelta(days=way.days)
    lines = [tag("li", f"{one.quantity} × {one.title}: {dollars(one.price)}") for one in cart.lines]
    main = join(
        errors_box(errors),
        tag("ul", lines),
        tag("p", f"Address: {addresses[chosen.address]}"),
        tag("p", f"Shipping: {way.name}, with you on {arrives.isoformat()}"),
        tag("p", f"Payment: {chosen.payment}"),
        totals(cart, way.cost(cart.goods)),
        _confirm_form(errors),
    )
    return Reply("Checkout: confirm", main, 422 if errors else 200)


def _confirm_form(errors: Mapping[str, str]) -> Html:
    return form(
        "/checkout/confirm",
        check_field("terms", "I accept the terms", False, errors),
        button("Place order"),
    )
