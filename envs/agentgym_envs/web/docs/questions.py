"""Questions whose answers stand in the documentation and cannot be read off the question.

Four kinds: which parameter a version brought, what a parameter's default is, when something came
and when it last changed, and what is described next to what. An answer that many questions of a
kind share would pay a guess, so only the first few of them are asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from agentgym_envs.web.docs.entries import Entry, page_entries

_MOST_ALIKE = 4
_PARAMETER_ADDED = re.compile(
    r"(?:Added |Add )?(?:the |The )?(?:optional )?(\w+) (?:optional )?(?:keyword[- ]only )?"
    r"(?:keyword )?(?:argument|parameter)(?: was added)?(?=\.|$)"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question about what ``subject`` is documented to be; ``page`` says where."""

    kind: str
    text: str
    answers: tuple[str, ...]
    subject: str
    page: str


@lru_cache
def questions_of(folder: Path) -> tuple[Question, ...]:
    """All questions about the library reference below ``folder``, in a fixed order."""
    pages = sorted((folder / "library").glob("[!_]*.html"))
    entries = [
        page_entries(f"library/{path.name}", path.read_text(encoding="utf-8")) for path in pages
    ]
    return tuple(questions_about(entries))


def questions_about(pages: Iterable[list[Entry]]) -> list[Question]:
    """The questions about the entries of some pages, few of the guessable."""
    listed = list(pages)
    asked = [question for page in listed for question in _asked(page)]
    names = Counter(entry.name for page in listed for entry in page)
    clear = [one for one in asked if names[one.subject] == 1 and not _gives_itself_away(one)]
    return list(_unguessable(_once_each(clear)))


def _asked(page: list[Entry]) -> Iterator[Question]:
    for entry in page:
        if entry.shared:
            continue
        yield from _new_parameters(entry)
        yield from _default_values(entry)
        yield from _two_versions(entry)
    yield from _neighbours(page)


def _new_parameters(entry: Entry) -> Iterator[Question]:
    versions = Counter(note.version for note in entry.notes)
    for note in entry.notes:
        found = _PARAMETER_ADDED.match(note.text)
        says_so = "added" in note.text.lower() or note.text.startswith("Add ")
        if found and says_so and versions[note.version] == 1:
            text = f"Which parameter of {entry.name} came with Python {note.version}?"
            yield Question("parameter", text, (found[1],), entry.name, entry.page)


def _default_values(entry: Entry) -> Iterator[Question]:
    for parameter, value in entry.defaults.items():
        text = f"What is the default value of the parameter {parameter!r} of {entry.name}?"
        yield Question("default", text, (value,), entry.name, entry.page)


def _two_versions(entry: Entry) -> Iterator[Question]:
    added = [note.version for note in entry.notes if note.added and not note.text]
    changed = [note.version for note in entry.notes if not note.added]
    if len(added) == 1 and changed:
        text = (
            f"In which version of Python was {entry.name} added, and in which was it last changed? "
            "Answer with both, as in: 2.0, 2.5"
        )
        last = max(changed, key=_as_numbers)
        yield Question("versions", text, (f"{added[0]}, {last}",), entry.name, entry.page)


def _neighbours(page: list[Entry]) -> Iterator[Question]:
    """A third of the functions: all of them would be more than all other questions together."""
    functions = [entry for entry in page if entry.top and entry.kind == "function"]
    for entry, after in list(pairwise(functions))[::3]:
        if entry.shared or after.shared:
            continue
        text = (
            f"Which function is the next to be described after {entry.name} "
            "on the same page of the library reference?"
        )
        answers = (after.name, after.name.rpartition(".")[2])
        yield Question("next", text, tuple(dict.fromkeys(answers)), entry.name, entry.page)


def _gives_itself_away(question: Question) -> bool:
    words = set(re.findall(r"\w+", question.text.lower()))
    return question.answers[-1].lower().strip("'\"") in words


def _once_each(questions: list[Question]) -> list[Question]:
    times = Counter(one.text for one in questions)
    return [one for one in questions if times[one.text] == 1]


def _unguessable(questions: list[Question]) -> Iterator[Question]:
    asked: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for one in questions:
        asked[one.kind, one.answers] += 1
        if asked[one.kind, one.answers] <= _MOST_ALIKE:
            yield one


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
