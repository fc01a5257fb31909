"""Which address shows which page. What is not listed here does not exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from agentgym_envs.web.shop.exchange import Reply, Request, go
from agentgym_envs.web.shop.pages import (
    account,
    addresses,
    cart,
    checkout,
    home,
    login,
    orders,
    product,
    search,
)
from agentgym_envs.web.shop.state import Shop

Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """An address, with ``{}`` for a number and ``[]`` for a step's name, and who answers it.

    ``get`` only shows; ``post`` changes. ``members``: only for who has signed in.
    """

    address: str
    get: Handler | None = None
    post: Handler | None = None
    members: bool = False


ROUTES = (
    Route("/", home.home),
    Route("/help", home.help_page),
    Route("/search", search.results),
    Route("/product/{}", product.show),
    Route("/product/{}/cart", post=product.add_to_cart),
    Route("/product/{}/wish", post=product.add_wish, members=True),
    Route("/product/{}/no-wish", post=product.drop_wish, members=True),
    Route("/product/{}/review", product.review_form, product.save_review, members=True),
    Route("/cart", cart.show),
    Route("/cart/change", post=cart.change),
    Route("/cart/remove", post=cart.remove),
    Route("/cart/empty", post=cart.empty),
    Route("/cart/coupon", post=cart.coupon),
    Route("/cart/no-coupon", post=cart.drop_coupon),
    Route("/checkout/confirm", checkout.show_confirm, checkout.place, members=True),
    Route("/checkout/[]", checkout.show_step, checkout.save_step, members=True),
    Route("/login", login.show, login.log_in),
    Route("/logout", post=login.log_out),
    Route("/register", login.show_register, login.register),
    Route("/contact", account.contact, account.save_message),
    Route("/account", account.overview, members=True),
    Route("/account/settings", account.settings, account.save_settings, members=True),
    Route("/account/password", account.password, account.save_password, members=True),
    Route("/account/wishes", account.wishes, members=True),
    Route("/account/addresses", addresses.listing, members=True),
    Route("/account/addresses/new", addresses.new, addresses.save_new, members=True),
    Route("/account/addresses/{}", addresses.edit, addresses.save, members=True),
    Route("/account/addresses/{}/delete", post=addresses.delete, members=True),
    Route("/account/orders", orders.listing, members=True),
    Route("/account/orders/{}", orders.show, members=True),
    Route("/account/orders/{}/cancel", post=orders.cancel, members=True),
    Route("/account/orders/{}/return", orders.return_form, orders.send_back, members=True),
)


def _pattern(address: str) -> re.Pattern[str]:
    steps = "|".join(checkout.STEPS)
    written = re.escape(address)
    written = written.replace(r"\{\}", "([0-9]{1,7})").replace(r"\[\]", f"({steps})")
    return re.compile(written)


_PATTERNS = [(_pattern(route.address), route) for route in ROUTES]


def answer(shop: Shop, method: str, request: Request) -> Reply:
    """The reply to a request. Whatever it changes is changed as a whole, or not at all."""
    for pattern, route in _PATTERNS:
        found = pattern.fullmatch(request.path)
        if found is None:
            continue
        handler = route.post if method == "POST" else route.get
        if handler is None:
            break
        if route.members and request.session.customer is None:
            after = urlencode({"next": request.path}) if method != "POST" else ""
            return go("/login" + (f"?{after}" if after else ""), "Please log in first.")
        arguments = [int(text) if text.isdigit() else text for text in found.groups()]
        with shop.db:
            return handler(shop, request, *arguments)
    return home.missing(shop, request)
