"""Amounts: whole cents inside, dollars where people read and write them."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"\$?\s?([0-9]{1,7})(?:\.([0-9]{1,2}))?")


def dollars(cents: int) -> str:
    """An amount as the shop writes it: ``$12.90``."""
    return f"${cents // 100}.{cents % 100:02}"


def cents_of(text: str) -> int | None:
    """The cents of ``12.90``, ``$12.9`` or ``12``; ``None`` if it is no amount."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        return None
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
