"""Goals about the account: signing in and up, settings, the password."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentgym_envs.web.shop import accounts
from agentgym_envs.web.shop.goals.goal import Goal, Moment, Rule
from agentgym_envs.web.shop.moves import Field, Move, Sight


@dataclass(frozen=True, slots=True)
class LogIn(Goal):
    """Sign in."""

    email: str
    password: str

    def words(self, rng: random.Random) -> str:
        return rng.choice(
            (
                f"log in as {self.email} with the password {self.password}",
                f"sign in with the email {self.email} and the password {self.password}",
            )
        )

    def rules(self) -> Sequence[Rule]:
        return (Rule("logged in", self._inside, needed=True),)

    def move(self, sight: Sight) -> Move:
        fields = [
            Field("text", "Email", self.email),
            Field("text", "Password", self.password, secret=True),
        ]
        return sight.visit("/login", "Log in") or sight.submit(fields, "Log in to your account")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, password=self.password[:-1])

    def _inside(self, now: Moment) -> bool:
        query = "SELECT 1 FROM session WHERE customer = ?"
        return now.one(query, now.customer) is not None


@dataclass(frozen=True, slots=True)
class Register(Goal):
    """Open an account."""

    name: str
    email: str
    password: str
    newsletter: bool

    def words(self, rng: random.Random) -> str:
        news = "with" if self.newsletter else "without"
        verb = rng.choice(("open an account", "register"))
        return (
            f"{verb} for {self.name} with the email {self.email} and the password "
            f"{self.password}, {news} the newsletter"
        )

    def rules(self) -> Sequence[Rule]:
        query = "SELECT 1 FROM customer WHERE email = ?"
        return (Rule("registered", lambda now: now.one(query, self.email) is not None),)

    def apply(self, moment: Moment) -> None:
        moment.customer = accounts.sign_up(
            moment.shop, self.name, self.email, self.password, self.newsletter
        )

    def move(self, sight: Sight) -> Move:
        fields = [
            Field("text", "Name", self.name),
            Field("text", "Email", self.email),
            Field("text", "Password", self.password, secret=True),
            Field("check", "Send me the newsletter", "on" if self.newsletter else "off"),
        ]
        return sight.visit("/register", "Register") or sight.submit(fields, "Create account")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, newsletter=not self.newsletter)


@dataclass(frozen=True, slots=True)
class SetNewsletter(Goal):
    """Take the newsletter, or leave it."""

    on: bool

    def words(self, rng: random.Random) -> str:
        if self.on:
            return rng.choice(("subscribe to the newsletter", "turn the newsletter on"))
        return rng.choice(("unsubscribe from the newsletter", "turn the newsletter off"))

    def rules(self) -> Sequence[Rule]:
        query = "SELECT newsletter FROM customer WHERE id = ?"
        return (Rule("newsletter", lambda now: bool(now.one(query, now.customer)) == self.on),)

    def apply(self, moment: Moment) -> None:
        who = accounts.profile(moment.shop, moment.customer)
        accounts.save_profile(moment.shop, moment.customer, who.name, who.phone, self.on)

    def move(self, sight: Sight) -> Move:
        field = Field("check", "Send me the newsletter", "on" if self.on else "off")
        return to_settings(sight) or sight.submit([field], "Save settings")


@dataclass(frozen=True, slots=True)
class SetPhone(Goal):
    """Have another telephone number."""

    phone: str

    def words(self, rng: random.Random) -> str:
        return rng.choice(
            (
                f"change your telephone number to {self.phone}",
                f"enter {self.phone} as your telephone number in the settings",
            )
        )

    def rules(self) -> Sequence[Rule]:
        query = "SELECT phone FROM customer WHERE id = ?"
        return (Rule("telephone", lambda now: now.one(query, now.customer) == self.phone),)

    def apply(self, moment: Moment) -> None:
        who = accounts.profile(moment.shop, moment.customer)
        accounts.save_profile(moment.shop, moment.customer, who.name, self.phone, who.newsletter)

    def move(self, sight: Sight) -> Move:
        field = Field("text", "Telephone", self.phone)
        return to_settings(sight) or sight.submit([field], "Save settings")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, phone=self.phone[:-1] + str((int(self.phone[-1]) + 1) % 10))


@dataclass(frozen=True, slots=True)
class SetPassword(Goal):
    """Have another password."""

    old: str
    new: str

    def words(self, rng: random.Random) -> str:
        return f"change your password from {self.old} to {self.new}"

    def rules(self) -> Sequence[Rule]:
        query = "SELECT password FROM customer WHERE id = ?"
        return (Rule("password", lambda now: now.one(query, now.customer) == self.new),)

    def apply(self, moment: Moment) -> None:
        accounts.change_password(moment.shop, moment.customer, self.old, self.new, self.new)

    def move(self, sight: Sight) -> Move:
        fields = [
            Field("text", "Current password", self.old, secret=True),
            Field("text", "New password", self.new, secret=True),
            Field("text", "Repeat new password", self.new, secret=True),
        ]
        there = sight.visit("/account/password", "Account", "Change password")
        return there or sight.submit(fields, "Save password")

    def mistaken(self, rng: np.random.Generator) -> Goal:
        return replace(self, new=self.new[:-1])


def to_settings(sight: Sight) -> Move | None:
    """Towards the settings; ``None`` if they are shown."""
    return sight.visit("/account/settings", "Account", "Settings")
