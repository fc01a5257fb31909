"""Templates that ask for two things."""

from __future__ import annotations

import random

from agentgym_envs.web.shop.catalogue import products
from agentgym_envs.web.shop.feedback import TOPICS
from agentgym_envs.web.shop.goals.aftersales import ReturnItem, WriteMessage, WriteReview
from agentgym_envs.web.shop.goals.belongings import DeleteAddress, MoveStreet, Wish
from agentgym_envs.web.shop.goals.members import Register, SetPassword, SetPhone
from agentgym_envs.web.shop.goals.questions import AskOrder
from agentgym_envs.web.shop.goals.shopping import ChangeQuantity, RemoveLine
from agentgym_envs.web.shop.money import dollars
from agentgym_envs.web.shop.orders import REASONS
from agentgym_envs.web.shop.people import Customer, some_password, some_phone
from agentgym_envs.web.shop.templates.one import BODIES
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
from agentgym_envs.web.shop.vocabulary import FIRST_NAMES, LAST_NAMES, STREETS, VERDICTS


def two_products(rng: random.Random, who: Customer) -> Plan:
    """One of a product, several of another."""
    first, second = some_products(rng, 2)
    return Plan((adding(rng, first), adding(rng, second, rng.randint(2, 4))))


def change_and_remove(rng: random.Random, who: Customer) -> Plan:
    """More of one thing in the cart, another one out of it."""
    there = [adding(rng, one, rng.randint(1, 3)) for one in some_products(rng, 3)]
    kept, gone = rng.sample(there, 2)
    goals = (
        ChangeQuantity(kept.product, kept.size, kept.colour, kept.quantity + rng.randint(1, 4)),
        RemoveLine(gone.product, gone.size, gone.colour),
    )
    return Plan(goals, tuple(map(item, there)))


def add_and_coupon(rng: random.Random, who: Customer) -> Plan:
    """Something in the cart and a coupon."""
    add = adding(rng, some_product(rng), rng.randint(1, 3))
    return Plan((add, coupon(rng, add)))


def add_and_buy(rng: random.Random, who: Customer) -> Plan:
    """Buy something, with one choice on the way."""
    add = adding(rng, some_product(rng))
    return Plan((add, buying(rng, who, rng.choice(("address", "shipping", "payment")))))


def log_in_and_ask(rng: random.Random, who: Customer) -> Plan:
    """The total of an order, after signing in."""
    order = rng.choice(who.orders)
    asked = AskOrder(order.number, "total", dollars(order.total))
    return Plan((log_in(who), asked), signed_in=False)


def register_and_wish(rng: random.Random, who: Customer) -> Plan:
    """A new account and a first wish."""
    name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
    email = f"{name.replace(' ', '.').lower()}{rng.randint(10, 99)}@post.test"
    account = Register(name, email, some_password(rng), rng.random() < 0.5)
    return Plan((account, Wish(rng.choice(products()).id)), signed_in=False)


def tidy_addresses(rng: random.Random, who: Customer) -> Plan:
    """One address corrected, another deleted."""
    kept, gone = rng.sample([one.label for one in who.addresses], 2)
    street = f"{rng.randint(100, 199)} {rng.choice(STREETS)}"
    return Plan((MoveStreet(kept, street), DeleteAddress(gone)))


def return_and_write(rng: random.Random, who: Customer) -> Plan | None:
    """Something sent back, and a message."""
    order = order_in(rng, who, "Delivered")
    if order is None:
        return None
    line = rng.choice(order.lines)
    back = ReturnItem(order.number, line.product.id, line.size, line.colour, rng.choice(REASONS))
    return Plan((back, WriteMessage(rng.choice(TOPICS), rng.choice(BODIES))))


def review_and_wish(rng: random.Random, who: Customer) -> Plan:
    """A review, and something else on the wish list."""
    reviewed = rng.choice(products())
    wished = rng.choice([one for one in products() if one not in who.wishes])
    stars = rng.randint(1, 5)
    return Plan((WriteReview(reviewed.id, stars, VERDICTS[stars][0]), Wish(wished.id)))


def phone_and_password(rng: random.Random, who: Customer) -> Plan:
    """Another telephone number, another password."""
    return Plan((SetPhone(some_phone(rng)), SetPassword(who.password, some_password(rng))))


TEMPLATES = tuple(
    Template(make.__name__, 2, make)
    for make in (
        two_products,
        change_and_remove,
        add_and_coupon,
        add_and_buy,
        log_in_and_ask,
        register_and_wish,
        tidy_addresses,
        return_and_write,
        review_and_wish,
        phone_and_password,
    )
)
