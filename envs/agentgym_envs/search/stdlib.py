"""The embedded corpus and its questions: the running interpreter's own standard library.

Built once per Python version in a fresh interpreter, and kept as two JSON-lines files in the user's
cache, in the format of any other corpus.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from agentgym.errors import EnvError
from agentgym_envs.search.corpus import Passage, SearchIndex
from agentgym_envs.search.scoring import normalize

_SCRIPT = Path(__file__).with_name("inspect_stdlib.py")
_DOC_CHARS = 1_200
_GUESSABLE = {"None", "True", "False"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One object of the standard library, as ``inspect`` describes it."""

    kind: str
    name: str
    module: str
    owner: str
    bases: tuple[str, ...]
    signature: str
    defaults: dict[str, str]
    doc: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer and the names to look up, in order, to find it."""

    question: str
    answer: str
    path: tuple[str, ...]
    hint: str


@lru_cache(maxsize=1)
def stdlib_files() -> tuple[Path, Path]:
    """The corpus and the questions as files, built if this Python has none yet.

    Raises:
        EnvError: The interpreter that reads the library failed.
    """
    sources = b"".join(path.read_bytes() for path in sorted(_SCRIPT.parent.glob("*.py")))
    version = "{}.{}.{}".format(*sys.version_info)
    folder = _cache_root() / f"stdlib-{version}-{hashlib.sha256(sources).hexdigest()[:12]}"
    if not folder.exists():
        _build(folder)
    return folder / "corpus.jsonl", folder / "questions.jsonl"


def _cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(base) / "agentgym"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return root
    except OSError:  # read-only home: this process keeps its own copy
        return Path(tempfile.mkdtemp(prefix="agentgym-"))


def _build(folder: Path) -> None:
    facts = _inspect()
    passages = [Passage(str(number), _title(f), _text(f)) for number, f in enumerate(facts)]
    questions = _answerable(_questions(facts), passages)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        partial = Path(scratch) / "whole"
        partial.mkdir()
        _write(
            partial / "corpus.jsonl",
            ({"id": p.id, "title": p.title, "text": p.text} for p in passages),
        )
        _write(partial / "questions.jsonl", (_question_line(q) for q in questions))
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster, with the same content
                raise


def _inspect() -> list[Fact]:
    command = [sys.executable, "-S", "-s", "-P", str(_SCRIPT)]
    environment = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise EnvError("stdlib_corpus", f"reading the standard library failed: {last}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [Fact(**{**line, "bases": tuple(line["bases"])}) for line in lines]


def _title(fact: Fact) -> str:
    return f"{fact.owner}.{fact.name}" if fact.owner else fact.name


def _text(fact: Fact) -> str:
    head = {
        "module": f"module `{fact.name}`.",
        "class": f"class `{fact.name}` defined in `{fact.module}`, base {_bases(fact)}.",
        "function": f"function `{fact.name}` defined in `{fact.module}`.",
        "method": f"method `{fact.name}` of class `{fact.owner}`.",
    }[fact.kind]
    signature = f" Signature: {fact.name}{fact.signature}." if fact.signature else ""
    doc = " ".join(fact.doc[:_DOC_CHARS].split())
    return f"{head}{signature} {doc}".strip()


def _bases(fact: Fact) -> str:
    return ", ".join(f"`{base.rpartition(':')[2]}`" for base in fact.bases) or "`object`"


def _questions(facts: list[Fact]) -> Iterator[Question]:
    """Questions whose names are unique in the corpus, so that each has one answer."""
    count = Counter(fact.name.lower() for fact in facts if fact.kind != "module")
    unique = [f for f in facts if f.kind != "module" and count[f.name.lower()] == 1]
    class_of = {fact.name: fact for fact in unique if fact.kind == "class"}
    for fact in unique:
        if fact.kind == "method":
            owner = class_of.get(fact.owner)
            if owner:
                yield from _about_method(fact, owner)
        else:
            yield _module_of(fact)
        if fact.kind == "class" and len(fact.bases) == 1:
            base = class_of.get(fact.bases[0].rpartition(":")[2])
            if base and fact.bases[0] == f"{base.module}:{base.name}":
                yield from _about_base(fact, base)
        yield from _defaults(fact)


def _module_of(fact: Fact) -> Question:
    return Question(
        f"Which module defines the {fact.kind} `{fact.name}`?",
        fact.module,
        (fact.name,),
        f"Search for {fact.name}; the passage says where it is defined.",
    )


def _defaults(fact: Fact) -> Iterator[Question]:
    for parameter, value in fact.defaults.items():
        if value in _GUESSABLE or value.startswith("-") or len(value) > 40:
            continue  # a guess would do, or normalisation would blur it
        yield Question(
            f"What is the default of `{parameter}` in the {fact.kind} `{fact.name}`?",
            value,
            (fact.name,),
            f"Search for {fact.name} and read its signature.",
        )


def _about_base(fact: Fact, base: Fact) -> Iterator[Question]:
    if base.module in (fact.module, "builtins"):
        return  # the first passage, or a guess, would give the answer away
    yield Question(
        f"Which module defines the base class of `{fact.name}`?",
        base.module,
        (fact.name, base.name),
        f"Search for {fact.name}, then for the base class that its passage names.",
    )


def _about_method(fact: Fact, owner: Fact) -> Iterator[Question]:
    hint = f"Search for {fact.name}, then for the class that its passage names."
    path = (fact.name, owner.name)
    yield Question(
        f"Which module defines the class that has the method `{fact.name}`?",
        owner.module,
        path,
        hint,
    )
    base = owner.bases[0].rpartition(":")[2]
    if len(owner.bases) == 1 and base != "object":
        question = f"What is the base class of the class that has the method `{fact.name}`?"
        yield Question(question, base, path, hint)


def _answerable(questions: Iterable[Question], passages: list[Passage]) -> list[Question]:
    """Those whose every look-up has its passage as the first hit, and whose answer is gradable."""
    index = SearchIndex(passages)

    @cache
    def found(name: str) -> bool:
        hits = index.search(name, 1)
        return bool(hits) and hits[0].title.rpartition(".")[2] == name

    return [q for q in questions if normalize(q.answer) and all(map(found, q.path))]


def _question_line(question: Question) -> dict[str, Any]:
    return {
        "question": question.question,
        "answers": [question.answer],
        "hint": question.hint,
        "path": list(question.path),
    }


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
