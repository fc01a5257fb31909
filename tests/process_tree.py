"""Which processes descend from one, by what /proc tells."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path


def descendants(root: int) -> dict[int, str]:
    """The name of each living descendant, by its pid."""
    below: dict[int, list[tuple[int, str]]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            name, _, rest = Path(f"/proc/{entry}/stat").read_text().rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        state, parent = rest.split()[:2]
        if state != "Z":
            below.setdefault(int(parent), []).append((int(entry), name.partition("(")[2]))
    found: dict[int, str] = {}
    parents = [root]
    while parents:
        for pid, name in below.get(parents.pop(), ()):
            found[pid] = name
            parents.append(pid)
    return found


async def until_gone(pids: set[int]) -> None:
    """Wait until none of them is alive."""
    while any(_alive(pid) for pid in pids):
        await asyncio.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def commands_below(root: int) -> dict[int, str]:
    """The command line of each living descendant, by its pid."""
    found = {}
    for pid in descendants(root):
        with suppress(OSError):  # it has ended meanwhile
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            found[pid] = line.replace(b"\0", b" ").decode()
    return found
