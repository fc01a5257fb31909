"""Which server an episode goes to, and which it falls back on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def preference(servers: Iterable[str], episode_id: str) -> list[str]:
    """The servers in this episode's own order: rendezvous hashing.

    Every client computes the same order, and a server that is lost moves only its own episodes.
    """
    return sorted(
        servers,
        key=lambda server: hashlib.sha256(
            f"{server}\0{episode_id}".encode("utf-8", "surrogatepass")
        ).digest(),
    )
