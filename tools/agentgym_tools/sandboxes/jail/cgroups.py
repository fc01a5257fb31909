"""Control groups: the one place where memory and processes of a whole sandbox are counted.

Version 1, version 2 and both at once; as root, or where a part of the tree was delegated to the
user. Where there is none, the jail watches the processes itself (``watchdog.py``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "agentgym-"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where groups with one or more controllers can be made."""

    parent: Path
    version: int
    controllers: frozenset[str]


def hierarchies(
    membership: str, mounts: str, wanted: frozenset[str] = frozenset({"memory", "pids"})
) -> list[Hierarchy]:
    """Find, for each wanted controller, the folder where this process may have children.

    Args:
        membership: Text of ``/proc/self/cgroup``.
        mounts: Text of ``/proc/self/mounts``.
        wanted: Controllers.
    """
    own: dict[str, str] = {}
    for line in membership.splitlines():
        _number, names, path = line.split(":", 2)
        for name in names.split(","):
            own[name] = path
    found: list[Hierarchy] = []
    for line in mounts.splitlines():
        _device, point, kind, options, *_ = line.split(" ")
        if kind == "cgroup":
            here = wanted & set(options.split(","))
            if here:
                found.append(Hierarchy(_below(point, own.get(min(here), "/")), 1, here))
        elif kind == "cgroup2":
            parent = _below(point, own.get("", "/"))
            # A group with processes cannot have limited children: make them beside us instead.
            parent = parent if parent == Path(point) else parent.parent
            here = wanted & set(_read(parent / "cgroup.controllers").split())
            if here:
                found.append(Hierarchy(parent, 2, here))
    return found


def _below(point: str, path: str) -> Path:
    """Our group as this mount shows it; its root where the path belongs to another view."""
    inside = Path(point) / path.lstrip("/")
    return inside if inside.is_dir() else Path(point)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


class Groups:
    """The control groups of one jail: one folder in each hierarchy, a child for each slot."""

    def __init__(self, bases: list[tuple[Path, Hierarchy]]) -> None:
        self._bases = bases

    @classmethod
    def create(cls) -> Groups | None:
        """Make the folders. None if memory and processes cannot both be counted here."""
        membership, mounts = _read(Path("/proc/self/cgroup")), _read(Path("/proc/self/mounts"))
        name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
        bases: list[tuple[Path, Hierarchy]] = []
        counted: set[str] = set()
        for hierarchy in hierarchies(membership, mounts):
            _remove_dead(hierarchy.parent)
            base = hierarchy.parent / name
            if hierarchy.version == 2:
                _offer(hierarchy)
            try:
                base.mkdir()
            except OSError:
                continue
            bases.append((base, hierarchy))
            if hierarchy.version == 2:
                try:
                    text = " ".join(f"+{one}" for one in sorted(hierarchy.controllers))
                    (base / "cgroup.subtree_control").write_text(text)
                except OSError:
                    continue
            counted |= hierarchy.controllers
        groups = cls(bases)
        if counted >= {"memory", "pids"}:
            return groups
        groups.remove()
        return None

    @property
    def folders(self) -> list[str]:
        """The folders, for whoever removes them in the end."""
        return [str(base) for base, _hierarchy in self._bases]

    @property
    def version(self) -> str:
        """``"v1"``, ``"v2"`` or ``"v1 and v2"``."""
        return " and ".join(sorted({f"v{hierarchy.version}" for _base, hierarchy in self._bases}))

    def add(self, name: str, pid: int) -> SlotGroup:
        """Make a child group and move a process into it. Raises OSError."""
        group = SlotGroup([(base / name, hierarchy) for base, hierarchy in self._bases])
        group.enter(pid)
        return group

    def remove(self) -> None:
        """Remove folders that have no children."""
        for base, _hierarchy in self._bases:
            with contextlib.suppress(OSError):
                base.rmdir()


class SlotGroup:
    """The control group of one slot, in each hierarchy."""

    def __init__(self, folders: list[tuple[Path, Hierarchy]]) -> None:
        self._folders = folders
        self._limits: tuple[int, int] | None = None

    def enter(self, pid: int) -> None:
        """Make the folders and move a process in."""
        for folder, _hierarchy in self._folders:
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.procs").write_text(str(pid))

    def limit(self, memory_mb: int, pids: int) -> None:
        """Bound what all processes of the group use together."""
        if self._limits == (memory_mb, pids):
            return
        size = str(memory_mb * _MIB)
        for folder, hierarchy in self._folders:
            if "memory" in hierarchy.controllers and hierarchy.version == 2:
                (folder / "memory.max").write_text(size)
                with contextlib.suppress(FileNotFoundError):  # no swap on this kernel
                    (folder / "memory.swap.max").write_text("0")
            elif "memory" in hierarchy.controllers:
                _limit_memory_v1(folder, size)
            if "pids" in hierarchy.controllers:
                (folder / "pids.max").write_text(str(pids))
        self._limits = (memory_mb, pids)

    def oom_kills(self) -> int:
        """How many processes the kernel has killed here for want of memory, ever."""
        for folder, hierarchy in self._folders:
            if "memory" in hierarchy.controllers:
                name = "memory.events" if hierarchy.version == 2 else "memory.oom_control"
                for line in _read(folder / name).splitlines():
                    key, _, value = line.partition(" ")
                    if key == "oom_kill":
                        return int(value)
        return 0

    def remove(self) -> bool:
        """Remove the folders; False if processes are still leaving one."""
        for folder, _hierarchy in self._folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return not any(folder.exists() for folder, _hierarchy in self._folders)


def _offer(hierarchy: Hierarchy) -> None:
    """Let children have the controllers, where the parent has them and did not pass them on."""
    control = hierarchy.parent / "cgroup.subtree_control"
    for controller in sorted(hierarchy.controllers - set(_read(control).split())):
        with contextlib.suppress(OSError):  # not ours to change, or it has processes of its own
            control.write_text(f"+{controller}")


def _limit_memory_v1(folder: Path, size: str) -> None:
    memory, with_swap = folder / "memory.limit_in_bytes", folder / "memory.memsw.limit_in_bytes"
    try:
        memory.write_text(size)
    except OSError:  # memory may not exceed memory plus swap: raise that first
        with_swap.write_text(size)
        memory.write_text(size)
    if with_swap.exists():
        with_swap.write_text(size)


def _remove_dead(parent: Path) -> None:
    """Remove what trainers left that were killed together with their keepers."""
    for base in parent.glob(f"{_PREFIX}*"):
        pid = base.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                for child in base.iterdir():
                    if child.is_dir():
                        child.rmdir()
                base.rmdir()
