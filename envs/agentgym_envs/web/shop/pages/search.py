"""Search results with filters, an order and pages."""

from __future__ import annotations

from collections.abc import Container, Mapping
from urllib.parse import urlencode

from agentgym_envs.web.shop.catalogue import Product
from agentgym_envs.web.shop.exchange import Reply, Request, whole
from agentgym_envs.web.shop.forms import check_field, choice_field, text_field
from agentgym_envs.web.shop.markup import Html, join, tag
from agentgym_envs.web.shop.money import cents_of, dollars
from agentgym_envs.web.shop.products import SORTS, Results, Search, search
from agentgym_envs.web.shop.state import Shop
from agentgym_envs.web.shop.vocabulary import BRANDS, CATEGORIES

STARS = (("", "Any"), ("3", "3 stars and up"), ("4", "4 stars and up"))


def results(shop: Shop, request: Request) -> Reply:
    """What was found, and the filters to find less."""
    wanted, errors = read(request.query)
    found = search(shop, wanted)
    shop.log.shown.update(one.id for one in found.products)
    title = f"Results for “{wanted.words}”" if wanted.words else wanted.category or "All products"
    listed = [tag("li", entry(one)) for one in found.products]
    count = f"{found.total} {'product' if found.total == 1 else 'products'} found"
    section = tag(
        "section",
        tag("p", count),
        tag("ol", listed, start=(found.page - 1) * shop.page_size + 1),
        _pages(request.query, found),
        aria_label="Results",
    )
    filters = tag("aside", _filters(wanted, request.query, errors), aria_label="Filters")
    return Reply(title, tag("div", filters, section, class_="side"))


def read(query: Mapping[str, str]) -> tuple[Search, dict[str, str]]:
    """The search that a query asks for, and what of it could not be read."""
    errors = {}
    prices = {}
    for name in ("lowest", "highest"):
        text = query.get(name, "")[:20]
        cents = cents_of(text) if text.strip() else 0
        if cents is None:
            errors[name] = "Please enter an amount such as 20 or 19.90."
        prices[name] = cents or 0
    wanted = Search(
        words=" ".join(query.get("q", "")[:100].split()),
        category=_known(query.get("category", ""), CATEGORIES),
        brand=_known(query.get("brand", ""), BRANDS),
        lowest=prices["lowest"],
        highest=prices["highest"],
        stars=whole(_known(query.get("stars", ""), dict(STARS))),
        in_stock=query.get("stock") == "1",
        sort=_known(query.get("sort", ""), SORTS) or "name",
        page=whole(query.get("page", "1")),
    )
    return wanted, errors


def entry(product: Product) -> Html:
    """A product in a list: its name as a link, price, rating, and whether it is there."""
    rated = f"{product.rating:.1f} stars ({product.reviews})" if product.reviews else "no reviews"
    stock = "" if product.stock else ", out of stock"
    return join(
        tag("a", product.name, href=f"/product/{product.id}"),
        f" {dollars(product.price)}, {rated}{stock}",
    )


def _filters(wanted: Search, query: Mapping[str, str], errors: Mapping[str, str]) -> Html:
    names = [("", "All"), *((name, name) for name in CATEGORIES)]
    brands = [("", "All"), *((name, name) for name in BRANDS)]
    words = tag("input", type="hidden", name="q", value=wanted.words) if wanted.words else None
    return tag(
        "form",
        tag("h2", "Filters"),
        words,
        choice_field("category", "Category", names, wanted.category),
        choice_field("brand", "Brand", brands, wanted.brand),
        text_field("lowest", "Price from", query.get("lowest", "")[:20], errors=errors),
        text_field("highest", "Price to", query.get("highest", "")[:20], errors=errors),
        choice_field("stars", "Rating", STARS, str(wanted.stars or "")),
        check_field("stock", "In stock only", wanted.in_stock),
        choice_field("sort", "Sort by", [(key, text) for key, (text, _) in SORTS.items()],
                     wanted.sort),
        tag("button", "Apply filters", type="submit", class_="main"),
        action="/search",
    )  # fmt: skip


def _pages(query: Mapping[str, str], found: Results) -> Html | None:
    if found.pages == 1:
        return None

    def link(text: str, page: int) -> Html:
        address = "/search?" + urlencode({**query, "page": page})
        return tag("a", text, href=address)

    return tag(
        "nav",
        f"Page {found.page} of {found.pages} ",
        link("Previous page", found.page - 1) if found.page > 1 else None,
        " ",
        link("Next page", found.page + 1) if found.page < found.pages else None,
        aria_label="Pages",
    )


def _known(value: str, allowed: Container[str]) -> str:
    return value if value in allowed else ""
