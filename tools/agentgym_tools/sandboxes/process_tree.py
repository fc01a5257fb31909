"""Finding and killing every process that a program started, by reading ``/proc``.

Standard library only, Python 3.8 or later: it is sent by content into boxes that hold no agentgym.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

_PATIENCE_S = 2.0


def parents() -> dict[int, tuple[int, str]]:
    """Parent and state (``"Z"``: ended) of every process; empty where there is no ``/proc``."""
    found = {}
    try:
        entries = os.listdir("/proc")
    except OSError:
        return {}
    for entry in entries:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    # The command may hold spaces and brackets; nothing after it does.
                    state, parent = stat.read().rpartition(b")")[2].split()[:2]
            except (OSError, ValueError):
                continue  # it ended while we looked
            found[int(entry)] = int(parent), state.decode()
    return found


def descendants(root: int) -> set[int]:
    """The living processes below ``root``. Those that gave up their parent are not seen, unless
    ``root`` is a child subreaper."""
    table = parents()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    below: set[int] = set()
    frontier = [root]
    while frontier:
        for pid in children.get(frontier.pop(), ()):
            if pid not in below:
                below.add(pid)
                frontier.append(pid)
    return {pid for pid in below if table[pid][1] != "Z"}


def marked(mark: bytes) -> set[int]:
    """The living processes that started with ``mark`` in their environment."""
    found = set()
    for pid, (_, state) in parents().items():
        if state != "Z" and pid != os.getpid():
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ:
                    if mark in environ.read():
                        found.add(pid)
            except OSError:
                continue  # it ended, or is another user's
    return found


def kill_all(find: Callable[[], set[int]]) -> bool:
    """SIGKILL what ``find`` finds until it finds nothing. False if some still live after 2 s."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        found = find()
        if not found:
            return True
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue  # it ended by itself
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
