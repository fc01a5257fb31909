"""Templates that ask for three to six things."""

from __future__ import annotations

import random

from agentgym_envs.web.shop.feedback import TOPICS
from agentgym_envs.web.shop.goals.aftersales import CancelOrder, WriteMessage
from agentgym_envs.web.shop.goals.belongings import AddAddress, DeleteAddress, Unwish
from agentgym_envs.web.shop.goals.finding import product_of
from agentgym_envs.web.shop.goals.members import SetNewsletter, SetPhone
from agentgym_envs.web.shop.goals.shopping import AddToCart, RemoveLine
from agentgym_envs.web.shop.people import Customer, some_address, some_phone
from agentgym_envs.web.shop.templates.one import BODIES, cheapest_of
from agentgym_envs.web.shop.templates.template import (
    Plan,
    Template,
    adding,
    buying,
    coupon,
    item,
    log_in,
    order_in,
    some_product,
    some_products,
)
from agentgym_envs.web.shop.vocabulary import BRANDS, CATEGORIES


def add_and_buy_fully(rng: random.Random, who: Customer) -> Plan:
    """Buy some of a product, with two choices on the way."""
    add = adding(rng, some_product(rng), rng.randint(1, 3))
    return Plan((add, buying(rng, who, "shipping", "payment")))


def buy_the_rest(rng: random.Random, who: Customer) -> Plan:
    """Buy what is in the cart but for one thing."""
    there = [adding(rng, one, rng.randint(1, 2)) for one in some_products(rng, 2)]
    gone = there[0]
    out = RemoveLine(gone.product, gone.size, gone.colour)
    return Plan((out, buying(rng, who, "address", "payment")), tuple(map(item, there)))


def buy_cheapest(rng: random.Random, who: Customer) -> Plan | None:
    """Buy what only a filter tells, with all three choices."""
    category, brand = rng.choice(CATEGORIES), rng.choice(("", *BRANDS))
    stars = rng.choice((0, 3, 4))
    found = cheapest_of(category, brand, stars, in_stock=True)
    if found is None:
        return None
    plain = adding(rng, product_of(found))
    add = AddToCart(found, plain.size, plain.colour, 1, category, brand, stars)
    return Plan((add, buying(rng, who, "address", "shipping", "payment")))


def buy_two_with_coupon(rng: random.Random, who: Customer) -> Plan:
    """Buy two things with a coupon."""
    adds = [adding(rng, one) for one in some_products(rng, 2)]
    return Plan((*adds, coupon(rng, *adds), buying(rng, who, "shipping")))


def replace_order(rng: random.Random, who: Customer) -> Plan | None:
    """Cancel an order and buy something else instead."""
    order = order_in(rng, who, "Processing")
    if order is None:
        return None
    add = adding(rng, some_product(rng))
    goals = (CancelOrder(order.number), add, coupon(rng, add))
    return Plan((*goals, buying(rng, who, "shipping", "payment")))


def log_in_and_buy(rng: random.Random, who: Customer) -> Plan:
    """Sign in and buy, with all three choices."""
    add = adding(rng, some_product(rng), rng.randint(1, 2))
    goals = (log_in(who), add, buying(rng, who, "address", "shipping", "payment"))
    return Plan(goals, signed_in=False)


def buy_everything(rng: random.Random, who: Customer) -> Plan:
    """Sign in and buy two things with a coupon and two choices."""
    (plain,) = some_products(rng, 1, plain=True)
    second = rng.choice([one for one in some_products(rng, 2) if one != plain])
    adds = [adding(rng, plain), adding(rng, second, 2)]
    goals = (log_in(who), *adds, coupon(rng, *adds), buying(rng, who, "address", "shipping"))
    return Plan(goals, signed_in=False)


def tidy_account(rng: random.Random, who: Customer) -> Plan:
    """Six changes all over the account."""
    taken = {one.label for one in who.addresses}
    label = next(name for name in ("Cabin", "Studio") if name not in taken)
    new = some_address(rng, label)
    return Plan(
        (
            SetNewsletter(not who.newsletter),
            SetPhone(some_phone(rng)),
            AddAddress(new.label, new.street, new.postcode, new.city),
            DeleteAddress(rng.choice(who.addresses).label),
            Unwish(rng.choice(who.wishes).id),
            WriteMessage(rng.choice(TOPICS), rng.choice(BODIES)),
        )
    )


TEMPLATES = (
    Template("add_and_buy_fully", 3, add_and_buy_fully),
    Template("buy_the_rest", 3, buy_the_rest),
    Template("buy_cheapest", 4, buy_cheapest),
    Template("buy_two_with_coupon", 4, buy_two_with_coupon),
    Template("replace_order", 5, replace_order),
    Template("log_in_and_buy", 5, log_in_and_buy),
    Template("buy_everything", 6, buy_everything),
    Template("tidy_account", 6, tidy_account),
)
