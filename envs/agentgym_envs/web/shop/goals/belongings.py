"""Goals about what customers keep: addresses and the wish list."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentgym_envs.web.shop import addresses, wishes
from agentgym_envs.web.shop.catalogue import products
from agentgym_envs.web.shop.goals.finding import product_of, towards
from agentgym_envs.web.shop.goals.goal import Goal, Moment, Rule
from agentgym_envs.web.shop.moves import Field, Move, Sight
from agentgym_envs.web.shop.people import Address

_COUNT = "SELECT COUNT(*) FROM address WHERE customer = ? AND label = ?"


@dataclass(frozen=True, slots=True)
class AddAddress(Goal):
    """Keep one more address."""

    label: str
    street: str
    postcode: str
    city: str

    def words(self, rng: random.Random) -> str:
        where = f"{self.street}, {self.postcode} {self.city}"
        verb = rng.choice(("add the address", "save the new address"))
        return f'{verb} "{where}" with the label {self.label}'

    def rules(self) -> Sequence[Rule]:
        return (Rule("address added", self._saved),)

    def apply(self, moment: Moment) -> None:
        addresses.save_address(moment.shop, moment.customer, self._address())

    def move(self, sight: Sight) -> Move:
        there = sight.visit("/account/addresses/new", "Account", "Addresses", "Add an address")
        return there or sight.submit(address_fields(self._address()), "Save address")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, postcode=self.postcode[::-1])

    def _address(self) -> Address:
        return Address(self.label, self.street, self.postcode, self.city)

    def _saved(self, now: Moment) -> bool:
        query = (
            "SELECT 1 FROM address "
            "WHERE (customer, label, street, postcode, city) = (?, ?, ?, ?, ?)"
        )
        values = (self.label, self.street, self.postcode, self.city)
        return now.one(query, now.customer, *values) is not None


@dataclass(frozen=True, slots=True)
class MoveStreet(Goal):
    """Correct the street of an address."""

    label: str
    street: str

    def words(self, rng: random.Random) -> str:
        return rng.choice(
            (
                f'change the street of the address {self.label} to "{self.street}"',
                f'correct the street of the address {self.label}: it is "{self.street}"',
            )
        )

    def rules(self) -> Sequence[Rule]:
        query = "SELECT street FROM address WHERE customer = ? AND label = ?"
        return (
            Rule(
                "street changed",
                lambda now: now.one(query, now.customer, self.label) == self.street,
            ),
        )

    def apply(self, moment: Moment) -> None:
        saved = _labelled(moment, self.label)
        changed = replace(saved.address, street=self.street)
        addresses.save_address(moment.shop, moment.customer, changed, saved.id)

    def move(self, sight: Sight) -> Move:
        path = sight.path.removeprefix("/account/addresses/")
        if path.isdigit():
            return sight.submit([Field("text", "Street", self.street)], "Save address")
        there = sight.visit("/account/addresses", "Account", "Addresses")
        return there or sight.press("link", f"Edit {self.label}")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, label="Work" if self.label == "Home" else "Home")


@dataclass(frozen=True, slots=True)
class DeleteAddress(Goal):
    """Forget an address."""

    label: str

    def words(self, rng: random.Random) -> str:
        return f"delete the address {self.label}"

    def rules(self) -> Sequence[Rule]:
        return (Rule("address deleted", lambda now: not now.one(_COUNT, now.customer, self.label)),)

    def apply(self, moment: Moment) -> None:
        number = _labelled(moment, self.label).id
        addresses.delete_address(moment.shop, moment.customer, number)

    def move(self, sight: Sight) -> Move:
        there = sight.visit("/account/addresses", "Account", "Addresses")
        return there or sight.press("button", f"Delete {self.label}")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, label="Work" if self.label == "Home" else "Home")


@dataclass(frozen=True, slots=True)
class Wish(Goal):
    """Put a product on the wish list."""

    product: int

    def words(self, rng: random.Random) -> str:
        name = product_of(self.product).name
        return rng.choice((f"add the {name} to the wish list", f"put the {name} on the wish list"))

    def rules(self) -> Sequence[Rule]:
        return (
            Rule("product opened", lambda now: self.product in now.shop.log.opened),
            Rule("on the wish list", lambda now: _wished(now, self.product)),
        )

    def apply(self, moment: Moment) -> None:
        wishes.wish(moment.shop, moment.customer, self.product)

    def move(self, sight: Sight) -> Move:
        return towards(sight, self.product) or sight.press("button", "Add to wish list")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, product=int(rng.integers(len(products()))) + 1)


@dataclass(frozen=True, slots=True)
class Unwish(Goal):
    """Take a product off the wish list."""

    product: int

    def words(self, rng: random.Random) -> str:
        name = product_of(self.product).name
        return rng.choice(
            (f"remove the {name} from the wish list", f"take the {name} off the wish list")
        )

    def rules(self) -> Sequence[Rule]:
        return (Rule("off the wish list", lambda now: not _wished(now, self.product)),)

    def apply(self, moment: Moment) -> None:
        wishes.unwish(moment.shop, moment.customer, self.product)

    def move(self, sight: Sight) -> Move:
        name = product_of(self.product).name
        there = sight.visit("/account/wishes", "Wish list")
        return there or sight.press("button", f"Remove {name}")


def address_fields(address: Address) -> list[Field]:
    """What the form of an address should hold."""
    return [
        Field("text", "Label", address.label),
        Field("text", "Street", address.street),
        Field("text", "Postcode", address.postcode),
        Field("text", "City", address.city),
    ]


def _labelled(moment: Moment, label: str) -> addresses.SavedAddress:
    saved = addresses.addresses_of(moment.shop, moment.customer)
    return next(one for one in saved if one.address.label == label)


def _wished(now: Moment, product: int) -> bool:
    query = "SELECT 1 FROM wish WHERE customer = ? AND product = ?"
    return now.one(query, now.customer, product) is not None
