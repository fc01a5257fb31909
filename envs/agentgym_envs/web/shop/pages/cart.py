"""The cart's page and what can be done on it."""

from __future__ import annotations

from collections.abc import Mapping

from agentgym_envs.web.shop import cart as carts
from agentgym_envs.web.shop.exchange import Reply, Request, go
from agentgym_envs.web.shop.forms import button, errors_box, form, hidden, small_form, text_field
from agentgym_envs.web.shop.markup import Html, join, tag
from agentgym_envs.web.shop.money import dollars
from agentgym_envs.web.shop.state import Refused, Shop


def show(shop: Shop, request: Request) -> Reply:
    """What is in the cart."""
    return _page(shop, request, {})


def change(shop: Shop, request: Request) -> Reply:
    """Set a line's quantity."""
    try:
        carts.change(shop, request.session.owner, request.text("line"), request.number("quantity"))
    except Refused as refused:
        return _page(shop, request, refused.errors)
    return go("/cart", "The quantity was changed.")


def remove(shop: Shop, request: Request) -> Reply:
    """Take a line out."""
    try:
        carts.remove(shop, request.session.owner, request.text("line"))
    except Refused as refused:
        return _page(shop, request, refused.errors)
    return go("/cart", "It was taken out of your cart.")


def empty(shop: Shop, request: Request) -> Reply:
    """Take everything out."""
    carts.empty(shop, request.session.owner)
    return go("/cart", "Your cart was emptied.")


def coupon(shop: Shop, request: Request) -> Reply:
    """Use a coupon."""
    try:
        carts.apply_coupon(
            shop, request.session.owner, request.text("code"), request.session.customer
        )
    except Refused as refused:
        return _page(shop, request, refused.errors)
    return go("/cart", "The coupon was applied.")


def drop_coupon(shop: Shop, request: Request) -> Reply:
    """Go without."""
    carts.drop_coupon(shop, request.session.owner)
    return go("/cart", "The coupon was taken off.")


def totals(cart: carts.Cart, delivery: int | None = None) -> Html:
    """What it costs, line by line of a sum."""
    parts = [f"Goods: {dollars(cart.goods)}"]
    if cart.coupon:
        parts.append(f"Coupon {cart.coupon}: -{dollars(cart.discount)}")
    if delivery is not None:
        parts.append(f"Shipping: {dollars(delivery)}")
    parts.append(f"Total: {dollars(cart.goods - cart.discount + (delivery or 0))}")
    return tag("ul", [tag("li", part) for part in parts])


def _page(shop: Shop, request: Request, errors: Mapping[str, str]) -> Reply:
    cart = carts.cart_of(shop, request.session.owner)
    if not cart.lines:
        return Reply("Your cart", join(errors_box(errors), tag("p", "Your cart is empty.")))
    coupon_form = form(
        "/cart/coupon", text_field("code", "Coupon", request.text("code"), errors=errors),
        button("Apply coupon", kind="plain"),
    )  # fmt: skip
    if cart.coupon:
        coupon_form = small_form("/cart/no-coupon", "Remove coupon")
    main = join(
        errors_box(errors),
        tag("ul", [tag("li", _line(line)) for line in cart.lines]),
        coupon_form,
        totals(cart),
        tag("p", tag("a", "Go to checkout", href="/checkout/address")),
        form("/cart/empty", button("Empty cart", kind="plain"), data_ask="Remove everything?"),
    )
    return Reply("Your cart", main, 422 if errors else 200)


def _line(line: carts.Line) -> Html:
    field = tag(
        "input", type="number", name="quantity", value=line.quantity, min=1, max=carts.MOST,
        aria_label=f"Quantity of {line.title}",
    )  # fmt: skip
    update = form(
        "/cart/change", hidden("line", line.key), field,
        button("Update", label=f"Update {line.title}", kind="plain"), class_="inline",
    )  # fmt: skip
    remove_it = small_form("/cart/remove", "Remove", f"Remove {line.title}", line=line.key)
    title = tag("a", line.title, href=f"/product/{line.product.id}")
    return join(title, f" {dollars(line.price)} ", update, remove_it)
