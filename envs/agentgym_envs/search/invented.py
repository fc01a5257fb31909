"""A library that does not exist: names put together anew from the parts of real ones.

Its questions have the form of the real library's, and none of its answers. A policy warm-started on
it learns to look things up and to copy what it finds, and has nothing to remember.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Sequence

import numpy as np

from agentgym_envs.search.facts import Fact

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SEED = 20_260
_MODULES = 600
_OBJECTS = 24_000


def invent(real: Sequence[Fact]) -> list[Fact]:
    """Facts of the invented library; the same for the same real facts."""
    rng = np.random.default_rng(_SEED)
    parts = sorted({p for f in real for p in _PART.findall(f.name) if 1 < len(p) < 12})
    docs = [fact.doc for fact in real if fact.doc]
    names = _Names(rng, parts)
    modules = [names.module() for _ in range(_MODULES)]
    facts: list[Fact] = []
    classes: list[Fact] = []
    while len(facts) < _OBJECTS:
        module = str(rng.choice(modules))
        doc = docs[int(rng.integers(len(docs)))]
        if rng.random() < 0.4:
            facts.append(_callable("function", names.snake(), module, "", (), doc, names))
            continue
        base = "builtins:object"
        if classes and rng.random() < 0.7:
            parent = classes[int(rng.integers(len(classes)))]
            base = f"{parent.module}:{parent.name}"
        one = _callable("class", names.camel(), module, "", (base,), doc, names)
        classes.append(one)
        facts.append(one)
        for _ in range(int(rng.integers(0, 3))):
            facts.append(_callable("method", names.snake(), module, one.name, (), doc, names))
    return facts


class _Names:
    """Fresh names: no two alike, none a real keyword."""

    def __init__(self, rng: np.random.Generator, parts: Sequence[str]) -> None:
        self.rng = rng
        self._parts = parts
        self._used: set[str] = set()

    def pick(self, count: int) -> list[str]:
        """Random parts of names."""
        return [self._parts[int(n)] for n in self.rng.integers(len(self._parts), size=count)]

    def snake(self) -> str:
        """A function's name: ``raw_decode``, ``getuser``."""
        glue = "_" if self.rng.random() < 0.75 else ""
        return self._fresh(lambda n: glue.join(part.lower() for part in self.pick(n)))

    def camel(self) -> str:
        """A class's name: ``BytesFeedParser``."""
        return self._fresh(lambda n: "".join(part[0].upper() + part[1:] for part in self.pick(n)))

    def module(self) -> str:
        """A module's name: ``email.mime.text``, ``zlib``."""
        levels = int(self.rng.choice([1, 2, 3], p=[0.5, 0.4, 0.1]))
        return self._fresh(lambda n: ".".join(part.lower() for part in self.pick(levels)))

    def _fresh(self, make: Callable[[int], str]) -> str:
        while True:
            name = make(int(self.rng.choice([1, 2, 3, 4], p=[0.2, 0.45, 0.25, 0.1])))
            usable = not keyword.iskeyword(name) and not name[0].isdigit()
            if usable and name.lower() not in self._used:
                self._used.add(name.lower())
                return name


def _callable(
    kind: str, name: str, module: str, owner: str, bases: tuple[str, ...], doc: str, names: _Names
) -> Fact:
    rng = names.rng
    parameters = {
        part.lower(): _default(rng, names) for part in names.pick(int(rng.integers(0, 4)))
    }
    defaults = {name: value for name, value in parameters.items() if value}
    ordered = sorted(parameters, key=lambda name: name in defaults)
    written = [f"{one}={defaults[one]}" if one in defaults else one for one in ordered]
    first = ["self"] if kind == "method" else []
    signature = f"({', '.join(first + written)})"
    return Fact(kind, name, module, owner, bases, signature, defaults, doc)


def _default(rng: np.random.Generator, names: _Names) -> str:
    """The value of a parameter as written, or an empty string for one without a default."""
    choice = rng.random()
    if choice < 0.4:
        return ""
    if choice < 0.6:
        return str(rng.choice(["None", "True", "False"]))
    if choice < 0.85:
        return str(int(10 ** rng.uniform(0, 4.5)) - 1)
    return repr(names.pick(1)[0].lower())
