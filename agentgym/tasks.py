"""Where tasks come from: sets of tasks with splits that follow from their content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.episode import Task
from agentgym.errors import DataError, UnknownName, UsageError

SPLITS = ("train", "val", "test")


class TaskSet(Sequence[Task]):
    """An ordered set of tasks without duplicates, found by position or by key."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._by_key = {task.key: task for task in tasks}
        self._tasks = tuple(self._by_key.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: Any) -> Any:
        return self._tasks[index]

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    def find(self, key: str) -> Task:
        """The task with this key.

        Raises:
            UsageError: There is none.
        """
        if key not in self._by_key:
            raise UsageError(f"no task with key {key!r} among {len(self)} tasks")
        return self._by_key[key]

    def split(self, name: str) -> TaskSet:
        """The tasks of one split, or all of them for ``"all"``.

        Raises:
            UnknownName: Not a split.
            UsageError: No task falls in it.
        """
        if name == "all":
            return self
        if name not in SPLITS:
            raise UnknownName("split", name, [*SPLITS, "all"])
        chosen = TaskSet(task for task in self if task.split == name)
        if not chosen:
            raise UsageError(
                f"none of {len(self)} tasks falls in split {name!r}; splits follow from a hash of "
                "the task: give more tasks, or use split='all'"
            )
        return chosen

    def sample(self, rng: np.random.Generator) -> Task:
        """One task, uniformly."""
        return self._tasks[int(rng.integers(len(self._tasks)))]


def read_json_lines(path: Path, parse: Callable[[dict[str, Any]], Any]) -> list[Any]:
    """Parse each line of a JSON-lines file.

    Args:
        path: The file. Blank lines are skipped.
        parse: Makes an item of a line's object; raises ``KeyError``, ``TypeError`` or
            ``ValueError`` when the object is not what it should be.

    Raises:
        DataError: The file is missing, empty, or a line is bad; names file and line.
    """
    items: list[Any] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    items.append(_parse_line(line, parse, f"{path}:{number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 JSON lines ({error})") from error
    if not items:
        raise DataError(f"{path}: the file is empty; expected one JSON object a line")
    return items


def _parse_line(line: str, parse: Callable[[dict[str, Any]], Any], where: str) -> Any:
    try:
        value = json.loads(line)
        if not isinstance(value, dict):
            raise TypeError(f"expected a JSON object, got {type(value).__name__}")
        return parse(value)
    except KeyError as error:
        raise DataError(f"{where}: the field {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}") from error
