"""Ways to a product's page: by its name in the search box, or by category and filters."""

from __future__ import annotations

from dataclasses import dataclass

from agentgym_envs.web.shop.catalogue import Product, products
from agentgym_envs.web.shop.moves import Field, Move, Sight
from agentgym_envs.web.shop.pages.search import STARS
from agentgym_envs.web.shop.products import SORTS


def product_of(number: int) -> Product:
    """The product of an id."""
    return products()[number - 1]


def towards(sight: Sight, number: int) -> Move | None:
    """To a product's page by searching for its name; ``None`` if it is shown."""
    if sight.path == f"/product/{number}":
        return None
    name = product_of(number).name
    if sight.find("link", name) is not None:
        return sight.press("link", name)
    if sight.path == "/search" and sight.query.get("q", "") == name:
        return sight.press("link", name)
    return sight.submit([Field("text", "Search products", name)], "Search")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of products is narrowed down to; the empty ones let everything through."""

    category: str
    brand: str = ""
    stars: int = 0
    in_stock: bool = False
    sort: str = "name"

    def fields(self) -> list[Field]:
        """What the form of filters should hold."""
        return [
            Field("choice", "Brand", self.brand or "All"),
            Field("choice", "Rating", dict(STARS)[str(self.stars or "")]),
            Field("check", "In stock only", "on" if self.in_stock else "off"),
            Field("choice", "Sort by", SORTS[self.sort][0]),
        ]

    def shown(self, sight: Sight) -> bool:
        """Whether the page shown is that list."""
        query = sight.query
        return (
            sight.path == "/search"
            and all(
                query.get(name, "") == value
                for name, value in (
                    ("category", self.category),
                    ("brand", self.brand),
                    ("stars", str(self.stars or "")),
                    ("stock", "1" if self.in_stock else ""),
                    ("q", ""),
                )
            )
            and query.get("sort", "name") == self.sort
        )

    def narrow(self, sight: Sight) -> Move | None:
        """Towards the list; ``None`` if it is shown."""
        if self.shown(sight):
            return None
        if sight.path != "/search" or sight.query.get("category") != self.category:
            return sight.press("link", self.category if sight.path == "/" else "Home")
        return sight.submit(self.fields(), "Apply filters")
