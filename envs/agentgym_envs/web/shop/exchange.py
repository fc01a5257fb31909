"""What comes in and what goes out, apart from any web server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentgym_envs.web.shop.cart import guest, owner_of
from agentgym_envs.web.shop.markup import Html

LONGEST = 500
"""Characters of one field; what is longer is cut."""


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session, and the customer who has signed in with it."""

    token: str
    customer: int | None = None

    @property
    def owner(self) -> str:
        """Whose cart it is."""
        return guest(self.token) if self.customer is None else owner_of(self.customer)


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one page. Of a field that is given twice, the first value counts."""

    session: Session
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def customer(self) -> int:
        """Who has signed in; for pages that only they can reach."""
        if self.session.customer is None:
            raise RuntimeError(f"{self.path} was reached without signing in")
        return self.session.customer

    def text(self, name: str) -> str:
        """A field of the form, empty where it is missing."""
        return self.form.get(name, "")[:LONGEST]

    def number(self, name: str) -> int:
        """A field of the form as a number; 0 where it is none."""
        return whole(self.form.get(name, ""))


@dataclass(frozen=True, slots=True)
class Reply:
    """A page, or the address to go on to with a note to show there."""

    title: str = ""
    main: Html | None = None
    status: int = 200
    location: str = ""
    note: str = ""


def whole(text: str) -> int:
    """A number of up to seven digits with a sign, or 0."""
    text = text.strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 8 else 0


def go(location: str, note: str = "") -> Reply:
    """On to another page, as after every change."""
    return Reply(status=303, location=location, note=note)
