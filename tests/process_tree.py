"""What a process has started, and what those have started."""

import os
from pathlib import Path


def started_by(pid: int | None = None) -> dict[int, str]:
    """Command lines of all processes beneath one, by default beneath this one; dead ones too."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found: set[int] = {pid or os.getpid()}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {one: _command(one) for one in found - {pid or os.getpid()}}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
