"""Which processes descend from one, by what /proc tells."""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process. Its number alone would not do: another may get it, and numbers start again."""

    pid: int
    started: int
    name: str
    parent: int

    @property
    def alive(self) -> bool:
        """Whether it runs, whoever its parent is by now."""
        now = _seen(self.pid)
        return now is not None and now.started == self.started


def descendants(root: int) -> set[Process]:
    """The living descendants of a process."""
    below: dict[int, list[Process]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if seen := _seen(int(entry)):
            below.setdefault(seen.parent, []).append(seen)
    found: set[Process] = set()
    parents = [root]
    while parents:
        children = below.get(parents.pop(), ())
        found.update(children)
        parents += [one.pid for one in children]
    return found


def topmost(processes: set[Process], name: str) -> Process:
    """The one whose name begins so, and whose parent is not one of them."""
    named = {one.pid: one for one in processes if one.name.startswith(name)}
    (found,) = (one for one in named.values() if one.parent not in named)
    return found


async def until_gone(processes: set[Process]) -> None:
    """Wait until none of them is alive."""
    while any(one.alive for one in processes):
        await asyncio.sleep(0.05)


def commands_below(root: int) -> dict[int, str]:
    """The command line of each living descendant, by its pid."""
    found = {}
    for one in descendants(root):
        with suppress(OSError):  # it has ended meanwhile
            line = Path(f"/proc/{one.pid}/cmdline").read_bytes()
            found[one.pid] = line.replace(b"\0", b" ").decode()
    return found


def _seen(pid: int) -> Process | None:
    """The process, unless it has ended."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    state, parent, *more = rest.split()
    if state == "Z":
        return None
    return Process(pid, int(more[17]), name.partition("(")[2], int(parent))
