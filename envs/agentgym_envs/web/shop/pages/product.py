"""A product's page: options, cart, wish list, reviews; and writing a review."""

from __future__ import annotations

from collections.abc import Mapping

from agentgym_envs.web.shop import cart as carts
from agentgym_envs.web.shop.catalogue import Product
from agentgym_envs.web.shop.exchange import Reply, Request, go
from agentgym_envs.web.shop.feedback import write_review
from agentgym_envs.web.shop.forms import (
    button,
    choice_field,
    errors_box,
    form,
    long_field,
    number_field,
    radio_fields,
    small_form,
    text_field,
)
from agentgym_envs.web.shop.markup import Html, join, tag
from agentgym_envs.web.shop.money import dollars
from agentgym_envs.web.shop.pages.home import missing
from agentgym_envs.web.shop.products import product, reviews_of
from agentgym_envs.web.shop.state import Refused, Shop
from agentgym_envs.web.shop.wishes import unwish, wish, wishes_of

_STARS = [(str(count), f"{count} {'star' if count == 1 else 'stars'}") for count in range(5, 0, -1)]


def show(shop: Shop, request: Request, number: int) -> Reply:
    """Everything about a product."""
    return _page(shop, request, number, {})


def add_to_cart(shop: Shop, request: Request, number: int) -> Reply:
    """Put it in the cart, with the options chosen."""
    size, colour = request.text("size"), request.text("colour")
    try:
        carts.add(shop, request.session.owner, number, size, colour, request.number("quantity"))
    except Refused as refused:
        return _page(shop, request, number, refused.errors)
    found = product(shop, number)
    name = carts.titled(found.name, size, colour) if found else ""
    return go("/cart", f"Added to your cart: {name}.")


def add_wish(shop: Shop, request: Request, number: int) -> Reply:
    """Put it on the wish list."""
    try:
        wish(shop, request.customer, number)
    except Refused:
        return missing(shop, request)
    return go(f"/product/{number}", "It is on your wish list now.")


def drop_wish(shop: Shop, request: Request, number: int) -> Reply:
    """Take it off the wish list, wherever that was asked for."""
    unwish(shop, request.customer, number)
    return go("/account/wishes", "It was taken off your wish list.")


def review_form(shop: Shop, request: Request, number: int) -> Reply:
    """The form for a review."""
    return _review_page(shop, request, number, {})


def save_review(shop: Shop, request: Request, number: int) -> Reply:
    """Publish a review."""
    stars, title, body = request.number("stars"), request.text("title"), request.text("body")
    try:
        write_review(shop, request.customer, number, stars, title, body)
    except Refused as refused:
        return _review_page(shop, request, number, refused.errors)
    return go(f"/product/{number}", "Thank you for your review.")


def _page(shop: Shop, request: Request, number: int, errors: Mapping[str, str]) -> Reply:
    found = product(shop, number)
    if found is None:
        return missing(shop, request)
    shop.log.shown.add(number)
    shop.log.opened.add(number)
    main = join(
        errors_box(errors),
        tag("p", found.about),
        tag("p", f"Price: {dollars(found.price)}"),
        tag("p", f"In stock: {found.stock}" if found.stock else "Out of stock"),
        _buy_form(found, request),
        _wish_form(shop, request, number),
        _reviews(shop, found),
    )
    return Reply(found.name, main, 422 if errors else 200)


def _buy_form(found: Product, request: Request) -> Html | None:
    if not found.stock:
        return None
    options = [
        choice_field(name, label, [("", "Please choose"), *((one, one) for one in listed)],
                     request.text(name))
        for name, label, listed in (
            ("size", "Size", found.sizes), ("colour", "Colour", found.colours)
        )
        if listed
    ]  # fmt: skip
    quantity = request.number("quantity") if request.form else 1
    return form(
        f"/product/{found.id}/cart",
        options,
        number_field("quantity", "Quantity", quantity, 1, carts.MOST),
        button("Add to cart"),
    )


def _wish_form(shop: Shop, request: Request, number: int) -> Html | None:
    if request.session.customer is None:
        return None
    if number in wishes_of(shop, request.session.customer):
        return tag("p", "This is on your ", tag("a", "wish list", href="/account/wishes"), ".")
    return small_form(f"/product/{number}/wish", "Add to wish list")


def _reviews(shop: Shop, found: Product) -> Html:
    written = reviews_of(shop, found.id)
    heading = (
        f"{found.reviews} {'review' if found.reviews == 1 else 'reviews'}, {found.rating:.1f} stars"
        if written
        else "No reviews yet"
    )
    listed = [
        tag("li", tag("strong", one.title), f" ({one.stars}/5, {one.author}, {one.day}) {one.body}")
        for one in written
    ]
    return tag(
        "section",
        tag("h2", heading),
        tag("ul", listed) if listed else None,
        tag("p", tag("a", "Write a review", href=f"/product/{found.id}/review")),
        aria_label="Reviews",
    )


def _review_page(shop: Shop, request: Request, number: int, errors: Mapping[str, str]) -> Reply:
    found = product(shop, number)
    if found is None:
        return missing(shop, request)
    main = form(
        f"/product/{number}/review",
        errors_box(errors),
        radio_fields("stars", "Stars", _STARS, request.text("stars"), errors),
        text_field("title", "Title", request.text("title"), errors=errors),
        long_field("body", "Your review", request.text("body"), errors),
        button("Send review"),
    )
    return Reply(f"Review of {found.name}", main, 422 if errors else 200)
