"""The start page, the help page, and the page that there is not."""

from __future__ import annotations

from agentgym_envs.web.shop.exchange import Reply, Request
from agentgym_envs.web.shop.markup import join, tag
from agentgym_envs.web.shop.money import dollars
from agentgym_envs.web.shop.orders import NO_SHIPPING_FROM, SHIPPING, STANDARD
from agentgym_envs.web.shop.state import Shop
from agentgym_envs.web.shop.vocabulary import CATEGORIES


def home(shop: Shop, request: Request) -> Reply:
    """The categories."""
    links = [tag("p", tag("a", name, href=f"/search?category={name}")) for name in CATEGORIES]
    main = join(
        tag("p", "Good things for outdoors and indoors."),
        tag("nav", links, aria_label="Categories"),
    )
    return Reply("Welcome", main)


def help_page(shop: Shop, request: Request) -> Reply:
    """How things are sent and taken back."""
    ways = [
        tag("li", f"{way.name}: {dollars(way.price)}, {way.days} days") for way in SHIPPING.values()
    ]
    main = join(
        tag("h2", "Delivery"),
        tag("ul", ways),
        tag("p", f"{STANDARD} delivery is free from {dollars(NO_SHIPPING_FROM)}."),
        tag("h2", "Returns"),
        tag("p", "Orders can be cancelled until they are sent, and things returned after that."),
    )
    return Reply("Delivery and returns", main)


def missing(shop: Shop, request: Request) -> Reply:
    """There is no such page."""
    return Reply("Page not found", tag("p", "There is nothing at this address."), 404)
