"""What can be asked about a long list: how it is written, what to note of it, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
NAMES = tuple(one + two for one in _SYLLABLES for two in _SYLLABLES)
_KEYS = (
    "red blue gold green black white pink gray sun moon star rain snow wind fire leaf "
    "rose lion bear wolf fox owl fish frog bell ring drum coin boat door lamp book"
)
KEYS = tuple(_KEYS.split())
KEY = "key "


@dataclass(frozen=True, slots=True)
class Size:
    """How much is written: ``entries`` in all, of which ``keys`` are keys; numbers to ``largest``.

    ``last`` is where the last page begins, ``words`` how many names and keys a chain draws from.
    """

    entries: int
    last: int
    keys: int
    largest: int
    words: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of question.

    Args:
        question: What is asked; ``{target}`` stands for the number that :attr:`write` gives.
        write: Makes the entries in reading order, and the target (0 where there is none).
        facts: What one has to remember of the entries read so far, as entries: the same answer
            follows from these as from all of them.
        title: The word before them in a note.
        answer: The answer to entries and target; empty where those do not tell it yet.
        early: Whether a part of the entries can be enough.
    """

    question: str
    write: Callable[[np.random.Generator, Size], tuple[list[str], int]]
    title: str
    facts: Callable[[Sequence[str]], list[str]]
    answer: Callable[[Sequence[str], int], str]
    early: bool = False

    def note(self, entries: Sequence[str]) -> str:
        """The facts in a line."""
        return " ".join([self.title, ", ".join(self.facts(entries))]).rstrip()


def _numbers(rng: np.random.Generator, size: Size) -> tuple[list[str], int]:
    return [str(number) for number in rng.integers(1, size.largest + 1, size.entries)], 0


def _total(entries: Sequence[str], target: int = 0) -> str:
    return str(sum(map(int, entries)))


def _some_names(rng: np.random.Generator, count: int) -> list[str]:
    return [NAMES[int(number)] for number in rng.permutation(len(NAMES))[:count]]


def _names_again(rng: np.random.Generator, size: Size) -> tuple[list[str], int]:
    """Any number of different names from an eighth of the entries up is equally likely."""
    different = int(rng.integers(max(1, size.entries // 8), size.entries, endpoint=True))
    names = _some_names(rng, different)
    again = [names[int(number)] for number in rng.integers(different, size=size.entries)]
    chosen = [*names, *again[different:]]
    return [chosen[int(number)] for number in rng.permutation(size.entries)], 0


def _different(entries: Sequence[str], target: int = 0) -> str:
    return str(len(set(entries)))


def _one_name_twice(rng: np.random.Generator, size: Size) -> tuple[list[str], int]:
    names = _some_names(rng, size.entries - 1)
    first, second = sorted(int(place) for place in rng.permutation(size.entries)[:2])
    names.insert(second, names[first])
    return names, 0


def _name_seen_twice(entries: Sequence[str], target: int = 0) -> str:
    seen: set[str] = set()
    for name in entries:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _names_with_numbers(rng: np.random.Generator, size: Size) -> tuple[list[str], int]:
    """Of two numbers that add up to the target only one is used, but for one pair of entries."""
    target = 2 * int(rng.integers(size.largest // 4, size.largest // 2, endpoint=True)) + 1
    sides = rng.integers(2, size=target // 2 + 1)
    allowed = [low if sides[low] else target - low for low in range(1, target // 2 + 1)]
    one = allowed.pop(int(rng.integers(len(allowed))))
    numbers = [allowed[int(n)] for n in rng.integers(len(allowed), size=size.entries)]
    first, second = (int(place) for place in rng.permutation(size.entries)[:2])
    numbers[first], numbers[second] = one, target - one
    names = _some_names(rng, size.entries)
    return [f"{name} {number}" for name, number in zip(names, numbers, strict=True)], target


def _pair(entries: Sequence[str], target: int) -> str:
    seen: dict[int, str] = {}
    for entry in entries:
        name, number = entry.split()
        if other := seen.get(target - int(number)):
            return f"{other} {name}"
        seen[int(number)] = name
    return ""


def _first_of_each_number(entries: Sequence[str]) -> list[str]:
    first: dict[str, str] = {}
    for entry in entries:
        first.setdefault(entry.split()[1], entry)
    return list(first.values())


def _keys_among_names(rng: np.random.Generator, size: Size) -> tuple[list[str], int]:
    """The last page holds a key, so that one has to go all the way."""
    names = [NAMES[int(number)] for number in _draws(rng, size.entries, size.words)]
    places = [int(place) for place in rng.permutation(size.last)[: size.keys - 1]]
    for place in (*places, int(rng.integers(size.last, size.entries))):
        names[place] = KEY + KEYS[int(rng.integers(min(size.words, len(KEYS))))]
    return names, 0


def _draws(rng: np.random.Generator, count: int, words: int) -> list[int]:
    """Different numbers of names, as long as there are enough."""
    if count <= words:
        return [int(number) for number in rng.permutation(words)[:count]]
    return [int(number) for number in rng.integers(words, size=count)]


def _key_entries(entries: Sequence[str]) -> list[str]:
    return [entry for entry in entries if entry.startswith(KEY)]


def _keys(entries: Sequence[str], target: int = 0) -> str:
    return ", ".join(_key_entries(entries))


def _once_each(entries: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(entries))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        # One number is remembered, however long the list.
        "total": Kind(
            "What do all numbers add up to?", _numbers, "sum", lambda read: [_total(read)], _total
        ),
        # All names so far.
        "distinct": Kind(
            "How many different names are there?", _names_again, "seen", _once_each, _different
        ),
        # All names so far.
        "repeat": Kind(
            "Which name comes twice?", _one_name_twice, "seen", list, _name_seen_twice, early=True
        ),
        # An entry for each number so far, so at most half of the target.
        "pair": Kind(
            "Which two names have numbers that add up to {target}?",
            _names_with_numbers,
            "seen",
            _first_of_each_number,
            _pair,
            early=True,
        ),
        # The keys so far.
        "chain": Kind(
            "Which keys are on the way, in order?", _keys_among_names, "found", _key_entries, _keys
        ),
    }
)
"""``total`` adds, ``distinct`` and ``repeat`` compare names, ``pair`` looks for two numbers, and in
``chain`` each page names the next."""
