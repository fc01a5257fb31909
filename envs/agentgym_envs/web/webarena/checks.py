"""WebArena's checks of an answer, an address and a page, as pure functions.

Source: WebArena (arXiv:2307.13854), its ``evaluation_harness``. Departures: a reference of one
character is looked for among the answer's words by a pattern of our own instead of NLTK's
tokeniser, and an empty reference is included in nothing.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

OR = " |OR| "
_WORD = re.compile(r"\w+(?:[.,]\d+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a text must be, or hold: each of ``include`` is a phrase or several joined by OR."""

    exact: str | None = None
    include: tuple[str, ...] = ()

    def fit(self, text: str) -> bool:
        """Whether the text of a page, or the HTML of one, holds what it must."""
        text = html.unescape(text)
        if self.exact is not None:
            return clean(text) == clean(self.exact)
        return all(any(includes(text, one) for one in each.split(OR)) for each in self.include)


def clean(answer: str) -> str:
    """Lower case, without white space around it or one pair of quotes."""
    text = answer.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return text.lower()


def includes(text: str, phrase: str, *, as_word: bool = False) -> bool:
    """Whether a phrase is in a text; ``as_word``: one character must be a word of its own."""
    wanted, given = clean(phrase), clean(text)
    if as_word and len(wanted) == 1:
        return wanted in _WORD.findall(given)
    return bool(wanted) and wanted in given


def answer_includes(answer: str, phrases: Sequence[str]) -> bool:
    """Whether an answer includes every phrase."""
    return all(includes(answer, one, as_word=len(phrases) == 1) for one in phrases)


def url_matches(url: str, references: Iterable[str]) -> bool:
    """Whether host and path hold a reference's, and its query has the references' values.

    Of several references, one must fit by its path; a parameter may have the value of any.
    """
    place, query = _address(url)
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    places = []
    for reference in references:
        base, parameters = _address(reference)
        places.append(base)
        for name, values in parameters.items():
            wanted[name].update(values)
    return any(base in place for base in places) and all(
        values.intersection(query.get(name, ())) for name, values in wanted.items()
    )


def _address(url: str) -> tuple[str, Mapping[str, list[str]]]:
    parts = urlsplit(url.rstrip("/"))
    return (parts.netloc + parts.path).rstrip("/"), parse_qs(parts.query)
