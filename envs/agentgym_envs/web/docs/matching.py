"""When an answer is the right one."""

from __future__ import annotations

import re
from collections.abc import Iterable

_QUOTES = "\"'`‘’“”"


def is_answer(given: str, accepted: Iterable[str]) -> bool:
    """Whether ``given`` is one of the accepted answers, alone, apart from how it is written.

    Case, spaces, quotes around it, a pair of parentheses after a name and a full stop at the end
    do not matter. Nothing is looked for inside a longer text, so a list of guesses is wrong, and
    ``-1`` is not ``1``. An answer with nothing in it but quotes is an empty string, not no answer.
    """
    return bool(given.strip()) and any(_written(given) == _written(one) for one in accepted)


def _written(answer: str) -> str:
    text = answer.strip().removesuffix(".").casefold()
    while len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        text = text[1:-1].strip()
    text = re.sub(r"(?<=\w)\(\)$", "", text)
    return re.sub(r"\s*([,=()\[\]{}])\s*", r"\1", " ".join(text.split()))
