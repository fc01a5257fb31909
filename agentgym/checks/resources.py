"""What a process holds: children, descriptors, threads, tasks, temporary files, memory."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentgym.loop import run_sync

PROC = Path("/proc/self")
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
"""Gives free pages back to the system, in glibc."""
_SETTLE_S = 3.0
_QUIET_S = 0.5
_POOL = ("asyncio_", "ThreadPoolExecutor")
"""Threads of the event loop's pool: it grows to a bound, and keeps them for the next call."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What is held now, by name. Without ``/proc``, processes and descriptors are not seen.

    ``processes`` holds those too that have ended and that nobody has waited for.
    """

    running_processes: tuple[str, ...]
    processes: tuple[str, ...]
    descriptors: tuple[str, ...]
    temporary_files: tuple[str, ...]
    threads: tuple[str, ...]
    asyncio_tasks: tuple[str, ...]

    @classmethod
    def now(cls) -> Resources:
        """What this process and its event loop hold."""
        descendants = list(_descendants(os.getpid()))
        return cls(
            tuple(name for name, ended in descendants if not ended),
            tuple(name for name, _ in descendants),
            tuple(_descriptors()),
            tuple(sorted(os.listdir(tempfile.gettempdir()))),
            tuple(t.name for t in threading.enumerate() if not t.name.startswith(_POOL)),
            tuple(run_sync(_tasks())),
        )

    @classmethod
    def settled(cls) -> Resources:
        """What is held once nothing comes or goes any more: a pool may be making something ready.

        After a few seconds of change, what is held then.
        """
        give_up, seen = time.monotonic() + _SETTLE_S, cls.now()
        while time.monotonic() < give_up:
            time.sleep(_QUIET_S)
            seen, before = cls.now(), seen
            if seen == before:
                break
        return seen

    def growth(self, later: Resources) -> list[str]:
        """What there is more of later, kind by kind: ``2 more of running processes (sleep, sh)``.

        One that is gone makes up for a new one, as where a pool replaces what it holds; a process
        that had ended before makes up for none that runs.
        """
        found = {}
        for kind in self.__dataclass_fields__:
            before, after = getattr(self, kind), list(getattr(later, kind))
            more = len(after) - len(before)
            for name in before:
                if name in after:
                    after.remove(name)
            if more > 0:
                named = ", ".join(sorted({*after})[:3])
                found[kind] = f"{more} more of {kind.replace('_', ' ')} ({named})"
        if "running_processes" in found:
            found.pop("processes", None)  # says the same again
        return list(found.values())


def growth_since(before: Resources) -> list[str]:
    """What there is more of than before, after everything had a few seconds to end."""
    give_up = time.monotonic() + _SETTLE_S
    while True:
        gc.collect()
        found = before.growth(Resources.now())
        if not found or time.monotonic() > give_up:
            return found
        time.sleep(0.05)


def resident_bytes() -> int | None:
    """Memory that this process holds, or ``None`` where ``/proc`` does not say."""
    gc.collect()
    if _malloc_trim is not None:  # what was freed earlier would hide what is taken next
        _malloc_trim(0)
    try:
        pages = int((PROC / "statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def private_temporary_folder() -> Iterator[None]:
    """Let temporary files of this process lie where nobody else writes."""
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="agentgym-check-") as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
            os.environ.pop("TMPDIR")
            if variable is not None:
                os.environ["TMPDIR"] = variable


def _descendants(root: int) -> Iterator[tuple[str, bool]]:
    """The name of each descendant, and whether it has ended and nobody has waited for it."""
    below: dict[int, list[tuple[int, str, bool]]] = {}
    for entry in filter(str.isdigit, _listed(Path("/proc"))):
        name, _, rest = _read(Path("/proc") / entry / "stat").rpartition(")")
        if rest:
            state, parent = rest.split()[:2]
            below.setdefault(int(parent), []).append((int(entry), name.split("(")[1], state == "Z"))
    parents = [root]
    while parents:
        for number, name, ended in below.get(parents.pop(), ()):
            parents.append(number)
            yield name, ended


def _descriptors() -> Iterator[str]:
    for number in _listed(PROC / "fd"):
        try:
            yield os.readlink(PROC / "fd" / number)
        except OSError:
            continue  # the one that listed the folder


async def _tasks() -> list[str]:
    current = asyncio.current_task()
    return [_task_name(task) for task in asyncio.all_tasks() if task is not current]


def _task_name(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", task.get_name())


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
