"""The state of one episode: its database, its day, and what its pages have shown so far."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

PAGE_SIZE = 8


@dataclass(slots=True)
class VisitLog:
    """What was served: products in lists, products on their pages, orders.

    Progress and questions ask it, since an answer is only worth something to who has looked.
    """

    shown: set[int] = field(default_factory=set)
    opened: set[int] = field(default_factory=set)
    orders: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything a page is made from. No two episodes share one."""

    db: sqlite3.Connection
    today: date
    page_size: int = PAGE_SIZE
    log: VisitLog = field(default_factory=VisitLog)


class Refused(Exception):
    """The shop says no to its customer, and the page says why.

    Args:
        errors: What is wrong by field; the empty name is the form as a whole.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


def required(**fields: str) -> dict[str, str]:
    """The errors of fields that are empty, by name."""
    return {
        name: f"Please fill in the {name}." for name, value in fields.items() if not value.strip()
    }
