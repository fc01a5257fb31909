"""Scoring short answers as SQuAD does (arXiv:1606.05250): normalise, then compare."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(answer: str) -> str:
    """Lower case, without punctuation, articles and extra white space."""
    text = answer.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact_match(answer: str, accepted: Iterable[str]) -> float:
    """1 if the normalised answer equals one of the accepted ones; an empty answer never does."""
    given = normalize(answer)
    return float(bool(given) and any(given == normalize(one) for one in accepted))


def f1(answer: str, accepted: Iterable[str]) -> float:
    """The best harmonic mean of word precision and recall over the accepted answers."""
    return max(
        (_f1(normalize(answer).split(), normalize(one).split()) for one in accepted), default=0.0
    )


def _f1(given: list[str], wanted: list[str]) -> float:
    overlap = sum((Counter(given) & Counter(wanted)).values())
    if overlap == 0:
        return 0.0
    precision, recall = overlap / len(given), overlap / len(wanted)
    return 2 * precision * recall / (precision + recall)
