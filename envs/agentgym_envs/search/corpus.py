"""A corpus of passages and its BM25 index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.errors import DataError
from agentgym.tasks import read_json_lines

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Passage:
    """One document: its id, title and text."""

    id: str
    title: str
    text: str


def words(text: str) -> list[str]:
    """Lower-case words; identifiers count whole and by their parts (``raw_decode``, ``raw`` …)."""
    found: list[str] = []
    for word in _WORD.findall(text):
        found += [word.lower(), *_parts(word)]
    return found


def _titles(title: str) -> set[str]:
    """Terms that only a query for this very title has: whole, and its last part after a dot."""
    return {_exact_title(title), _exact_title(title.rpartition(".")[2])}


def _exact_title(title: str) -> str:
    return "title:" + title.lower()


def _parts(word: str) -> list[str]:
    parts = [part.lower() for part in _PART.findall(word)]
    return [part for part in parts if part != word.lower()]


class SearchIndex:
    """BM25 (Lucene's variant, by ``bm25s``) over passages; ties go to the earlier passage."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        import bm25s

        self.passages = tuple(passages)
        self._position = {passage.id: index for index, passage in enumerate(self.passages)}
        documents = [[*_titles(p.title), *words(p.title), *words(p.text)] for p in self.passages]
        self._scorer = bm25s.BM25(method="lucene")
        self._scorer.index(documents, show_progress=False)

    def search(self, query: str, top_k: int) -> list[Passage]:
        """The best passages, best first; none for a query without a known word."""
        vocabulary = self._scorer.vocab_dict
        known = [t for t in map(_exact_title, query.split()) if t in vocabulary]
        for word in _WORD.findall(query):
            whole = [word.lower()] if word.lower() in vocabulary else []
            known += whole or [part for part in _parts(word) if part in vocabulary]
        if not known:
            return []
        scores = np.asarray(self._scorer.get_scores(known))
        top_k = min(top_k, len(scores))
        threshold = np.partition(scores, -top_k)[-top_k]
        candidates = np.flatnonzero(scores >= max(threshold, np.finfo(np.float32).tiny))
        best = candidates[np.argsort(-scores[candidates], kind="stable")[:top_k]]
        return [self.passages[int(index)] for index in best]

    def find(self, passage_id: str) -> Passage | None:
        """The passage with this id."""
        position = self._position.get(passage_id)
        return None if position is None else self.passages[position]


def read_corpus(path: Path) -> list[Passage]:
    """Passages from JSON lines ``{id, title, text}``.

    Raises:
        DataError: A bad line or a repeated id; names file and line.
    """
    seen: set[str] = set()

    def parse(line: dict[str, Any]) -> Passage:
        passage = Passage(str(line["id"]), _text(line, "title"), _text(line, "text"))
        if passage.id in seen:
            raise ValueError(f"the id {passage.id!r} appears twice")
        seen.add(passage.id)
        return passage

    return read_json_lines(path, parse)


@lru_cache(maxsize=8)
def open_index(path: Path, modified_ns: int) -> SearchIndex:
    """The index of a corpus file, shared by all environments of the process."""
    passages = read_corpus(path)
    if not any(words(passage.title + passage.text) for passage in passages):
        raise DataError(f"{path}: no passage has a word to search for")
    return SearchIndex(passages)


def _text(line: dict[str, Any], field: str) -> str:
    value = line[field]
    if not isinstance(value, str):
        raise TypeError(f"{field!r} must be a string, got {type(value).__name__}")
    return value
