"""Templates that ask for one thing."""

from __future__ import annotations

import random

from agentgym_envs.web.shop.catalogue import products, reviews
from agentgym_envs.web.shop.feedback import TOPICS
from agentgym_envs.web.shop.goals.aftersales import CancelOrder, WriteMessage
from agentgym_envs.web.shop.goals.belongings import Unwish, Wish
from agentgym_envs.web.shop.goals.goal import Goal
from agentgym_envs.web.shop.goals.members import SetNewsletter, SetPhone
from agentgym_envs.web.shop.goals.questions import (
    AskCheapest,
    AskCount,
    AskOrder,
    AskProduct,
)
from agentgym_envs.web.shop.goals.shopping import RemoveLine
from agentgym_envs.web.shop.money import dollars
from agentgym_envs.web.shop.people import Customer, some_phone
from agentgym_envs.web.shop.templates.template import (
    Plan,
    Template,
    adding,
    item,
    order_in,
    some_products,
)
from agentgym_envs.web.shop.vocabulary import BRANDS, CATEGORIES

BODIES = (
    "Please call me back tomorrow",
    "The parcel was left at the wrong door",
    "Do you also repair older models?",
    "I would like a printed invoice",
    "When will it be in stock again?",
    "One of the buttons came off",
    "Can I change the colour afterwards?",
    "Thank you for the quick delivery",
)


def add_to_cart(rng: random.Random, who: Customer) -> Plan:
    """A product without options, by its name."""
    (product,) = some_products(rng, 1, plain=True)
    return Plan((adding(rng, product),))


def product_fact(rng: random.Random, who: Customer) -> Plan:
    """Price, stock or number of reviews of a product."""
    product = rng.choice(products())
    fact = rng.choice(("price", "price", "stock", "reviews"))
    written = sum(one.product == product.id for one in reviews())
    answers = {
        "price": dollars(product.price),
        "stock": str(product.stock),
        "reviews": str(written),
    }
    if answers[fact] == "0":
        fact = "price"
    return Plan((AskProduct(product.id, fact, answers[fact]),))


def wish(rng: random.Random, who: Customer) -> Plan:
    """Something new on the wish list."""
    product = rng.choice([one for one in products() if one not in who.wishes])
    return Plan((Wish(product.id),))


def unwish(rng: random.Random, who: Customer) -> Plan:
    """Something off the wish list."""
    return Plan((Unwish(rng.choice(who.wishes).id),))


def newsletter(rng: random.Random, who: Customer) -> Plan:
    """The newsletter on or off."""
    return Plan((SetNewsletter(not who.newsletter),))


def phone(rng: random.Random, who: Customer) -> Plan:
    """Another telephone number."""
    return Plan((SetPhone(some_phone(rng)),))


def order_fact(rng: random.Random, who: Customer) -> Plan:
    """Status or total of an order."""
    order = rng.choice(who.orders)
    if rng.random() < 0.5:
        return Plan((AskOrder(order.number, "status", order.status),))
    return Plan((AskOrder(order.number, "total", dollars(order.total)),))


def message(rng: random.Random, who: Customer) -> Plan:
    """A message to the shop."""
    return Plan((WriteMessage(rng.choice(TOPICS), rng.choice(BODIES)),))


def cancel_order(rng: random.Random, who: Customer) -> Plan | None:
    """An order that was not sent yet."""
    order = order_in(rng, who, "Processing")
    return Plan((CancelOrder(order.number),)) if order else None


def remove_from_cart(rng: random.Random, who: Customer) -> Plan:
    """One of three things out of the cart."""
    there = [adding(rng, one, rng.randint(1, 3)) for one in some_products(rng, 3)]
    gone = rng.choice(there)
    goal: Goal = RemoveLine(gone.product, gone.size, gone.colour)
    return Plan((goal,), tuple(map(item, there)))


def brand_count(rng: random.Random, who: Customer) -> Plan | None:
    """How many products of a brand there are in a category."""
    category, brand = rng.choice(CATEGORIES), rng.choice(BRANDS)
    fitting = [one for one in products() if (one.category, one.brand) == (category, brand)]
    if not fitting:
        return None
    example = min(fitting, key=lambda one: one.name)
    return Plan((AskCount(category, brand, example.id, str(len(fitting))),))


def cheapest(rng: random.Random, who: Customer) -> Plan | None:
    """The cheapest well-rated product of a category."""
    category, stars = rng.choice(CATEGORIES), rng.choice((3, 4))
    found = cheapest_of(category, "", stars, in_stock=False)
    if found is None:
        return None
    name = products()[found - 1].name
    return Plan((AskCheapest(category, stars, found, name),))


def cheapest_of(category: str, brand: str, stars: int, *, in_stock: bool) -> int | None:
    """The id of the cheapest product that fits, if only one costs so little."""
    given: dict[int, list[int]] = {}
    for one in reviews():
        given.setdefault(one.product, []).append(one.stars)
    fitting = sorted(
        (one.price, one.id)
        for one in products()
        if one.category == category
        and brand in ("", one.brand)
        and (one.stock or not in_stock)
        and (not stars or _mean(given.get(one.id, [])) >= stars)
    )
    if not fitting or (len(fitting) > 1 and fitting[0][0] == fitting[1][0]):
        return None
    return fitting[0][1]


def _mean(stars: list[int]) -> float:
    return sum(stars) / len(stars) if stars else 0.0


TEMPLATES = tuple(
    Template(make.__name__, 1, make)
    for make in (
        add_to_cart,
        product_fact,
        wish,
        unwish,
        newsletter,
        phone,
        order_fact,
        message,
        cancel_order,
        remove_from_cart,
        brand_count,
        cheapest,
    )
)
