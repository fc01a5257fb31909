"""Where a stop string ends among sampled tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]

_SPARE_TOKENS = 8
"""A stop string may begin inside a token and end inside another."""


def says_stop(sampled: Sequence[int], stop: Sequence[str], decode: Decode) -> bool:
    """Whether a stop string stands in the last tokens, and so was completed by the last of them,
    if this was asked after each."""
    longest = max(len(one.encode()) for one in stop)
    tail = decode(list(sampled[-(longest + _SPARE_TOKENS) :]))
    return any(one in tail for one in stop)
