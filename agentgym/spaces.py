"""The space of observations and actions: any text up to a length.

Not a subclass of ``spaces.Text``: gymnasium 1.4's ``AsyncVectorEnv`` hands Text observations of
custom alphabets back as ``'0000…'`` without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_char
from typing import Any, SupportsIndex

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import (
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

_SAMPLE_ALPHABET = list("abcdefghijklmnopqrstuvwxyz ABCXYZ0123456789.,?!-äßλ中🙂\n")
_SAMPLE_MAX = 64
_HEADER = 8
_BYTES_PER_CHAR = 4


class Unicode(gym.Space[str]):
    """Every Python string of at most ``max_chars`` characters.

    Args:
        max_chars: Upper bound of the length, in Unicode code points.
        seed: Seed of :meth:`sample`.
    """

    def __init__(
        self, max_chars: int = 200_000, seed: int | np.random.Generator | None = None
    ) -> None:
        if max_chars < 1:
            raise ValueError(f"max_chars must be at least 1, got {max_chars}")
        self.max_chars = int(max_chars)
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no fixed-size array form."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short random text; masks are not supported."""
        if mask is not None or probability is not None:
            raise ValueError("Unicode.sample takes neither mask nor probability")
        length = int(self.np_random.integers(0, min(self.max_chars, _SAMPLE_MAX) + 1))
        picks = self.np_random.integers(0, len(_SAMPLE_ALPHABET), size=length)
        return "".join(_SAMPLE_ALPHABET[pick] for pick in picks)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_chars

    def __repr__(self) -> str:
        return f"Unicode({self.max_chars})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unicode) and other.max_chars == self.max_chars

    __hash__ = None  # type: ignore[assignment]  # mutable generator inside, as in other spaces


# Shared memory of one batch: n blocks of [length in bytes: 8 bytes][UTF-8 text]. Pages that no
# text reaches are never touched, so the generous bound costs address space and no memory.


def _block(space: Unicode) -> int:
    return _HEADER + _BYTES_PER_CHAR * space.max_chars


@create_shared_memory.register(Unicode)
def _create(space: Unicode, n: int = 1, ctx: Any = None) -> Any:
    import multiprocessing

    return (ctx or multiprocessing).RawArray(c_char, n * _block(space))


@write_to_shared_memory.register(Unicode)
def _write(space: Unicode, index: SupportsIndex, value: str, shared_memory: Any) -> None:
    data = value.encode("utf-8", "surrogatepass")
    start = int(index) * _block(space)
    view = memoryview(shared_memory).cast("B")
    if len(data) > _block(space) - _HEADER:
        raise ValueError(f"text of {len(value)} characters does not fit {space}")
    view[start : start + _HEADER] = len(data).to_bytes(_HEADER, "little")
    view[start + _HEADER : start + _HEADER + len(data)] = data


class _SharedTexts(Sequence[str]):
    """The texts that lie in shared memory now.

    ``AsyncVectorEnv`` reads the memory once, when it is made, and expects what it got to change
    with every step, as array views do; it hands out deep copies.
    """

    def __init__(self, space: Unicode, shared_memory: Any, n: int) -> None:
        self._block = _block(space)
        self._view = memoryview(shared_memory).cast("B")
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        if not -self._n <= index < self._n:
            raise IndexError(index)
        start = (index % self._n) * self._block
        length = int.from_bytes(self._view[start : start + _HEADER], "little")
        body = self._view[start + _HEADER : start + _HEADER + length]
        return bytes(body).decode("utf-8", "surrogatepass")

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)


@read_from_shared_memory.register(Unicode)
def _read(space: Unicode, shared_memory: Any, n: int = 1) -> Sequence[str]:
    return _SharedTexts(space, shared_memory, n)
