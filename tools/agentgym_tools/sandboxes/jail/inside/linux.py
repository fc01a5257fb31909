"""The Linux system calls that the jail needs and Python does not have, by ctypes.

Everything in this folder runs in a fresh, isolated interpreter with nothing but the standard
library, on the far side of the sandbox's wall.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import resource
import signal
from collections.abc import Mapping
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_NEWTIME = 0x00000080

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_IDMAP = 0x00100000

# Numbers of the generic table; those below 424 differ by machine.
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446
_BY_MACHINE = {
    "x86_64": {"clone": 56, "pivot_root": 155, "seccomp": 317, "capset": 126},
    "aarch64": {"clone": 220, "pivot_root": 41, "seccomp": 277, "capset": 91},
}
MACHINE = platform.machine()
NUMBERS = _BY_MACHINE.get(MACHINE, {})

_CAPABILITY_VERSION_3 = (ctypes.c_uint32 * 2)(0x20080522, 0)
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()

# PyDLL keeps the interpreter lock: after a raw clone there is no other thread to wait for.
_libc = ctypes.PyDLL(None, use_errno=True)


def call(number: int, *arguments: Any) -> int:
    """A raw system call. Raises OSError."""
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _checked(result: int, *path: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), *path)


def clone(flags: int) -> int:
    """Fork into new namespaces: 0 in the child, its process id in the parent."""
    none = ctypes.c_long(0)
    return call(NUMBERS["clone"], ctypes.c_long(flags | signal.SIGCHLD), none, none, none, none)


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    _checked(
        _libc.mount(
            source.encode(), os.fsencode(target), kind.encode(),
            ctypes.c_ulong(flags), data.encode(),
        ),
        target,
    )  # fmt: skip


def bind(source: str, target: str, flags: int = MS_RDONLY | MS_NOSUID | MS_NODEV) -> None:
    """Show ``source`` at ``target``, with everything mounted below it under the same flags."""
    mount(source, target, "", MS_BIND | MS_REC)
    attributes = _MountAttributes(flags, 0, 0, 0)  # the low MOUNT_ATTR bits equal the MS bits
    try:
        _set_mount_attributes(AT_FDCWD, os.fsencode(target), AT_RECURSIVE, attributes)
    except OSError as error:
        if error.errno != errno.ENOSYS:  # before Linux 5.12: the topmost mount alone
            raise
        kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("none", target, "", MS_BIND | MS_REMOUNT | flags | kept)


def umount(target: str) -> None:
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH), target)


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    _checked(
        _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(third), zero, zero)
    )


def pivot_root(new_root: str) -> None:
    """Make ``new_root`` the root of this mount namespace, with nothing of the old one left."""
    os.chdir(new_root)
    call(NUMBERS["pivot_root"], b".", b".")
    umount(".")
    os.chdir("/")


def drop_capability_bounds() -> None:
    """Make sure that no program started later can gain a capability."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def clear_capability_sets() -> None:
    """Give up every capability of this process."""
    call(NUMBERS["capset"], _CAPABILITY_VERSION_3, _NO_CAPABILITIES)


def set_limits(limits: Mapping[str, float]) -> None:
    """Resource limits of the processes that run the model's code."""
    mib = 1 << 20
    _limit(resource.RLIMIT_AS, limits["address_mb"] * mib)
    _limit(resource.RLIMIT_FSIZE, limits["file_mb"] * mib)
    _limit(resource.RLIMIT_NOFILE, limits["nofile"])
    _limit(resource.RLIMIT_MEMLOCK, mib)
    for kind in (
        resource.RLIMIT_CORE,
        resource.RLIMIT_MSGQUEUE,
        resource.RLIMIT_NICE,
        resource.RLIMIT_RTPRIO,
    ):
        _limit(kind, 0)


def limit_processes(number: float) -> None:
    """Bound the processes of this process's user, in its user namespace."""
    _limit(resource.RLIMIT_NPROC, number)


def limit_processor_time(seconds: float) -> None:
    """Bound this process's own time. Not for sessions: they live through many calls.

    A second lies between the signal, which tells what happened, and the certain end.
    """
    soft = max(1, math.ceil(seconds))
    _limit(resource.RLIMIT_CPU, soft + 1)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit(kind: int, value: float) -> None:
    _soft, hard = resource.getrlimit(kind)
    value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
    resource.setrlimit(kind, (value, value))


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns_fd")]


def _set_mount_attributes(
    folder: int, path: bytes, flags: int, attributes: _MountAttributes
) -> None:
    call(
        MOUNT_SETATTR, ctypes.c_int(folder), path, ctypes.c_uint(flags),
        ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)),
    )  # fmt: skip


def set_mount_idmap(tree: int, user_namespace: int) -> None:
    """Show the ids of files on a detached mount as a user namespace maps them."""
    attributes = _MountAttributes(MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
    _set_mount_attributes(tree, b"", AT_EMPTY_PATH, attributes)


def seal_tree(tree: int) -> None:
    """Make a detached mount read-only, its devices dead and its set-uid bits without effect."""
    attributes = _MountAttributes(MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    _set_mount_attributes(tree, b"", AT_EMPTY_PATH, attributes)


def attach_tree(tree: int, target: str) -> None:
    """Mount a detached tree at a folder."""
    call(
        MOVE_MOUNT, ctypes.c_int(tree), b"", ctypes.c_int(AT_FDCWD), os.fsencode(target),
        ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH),
    )  # fmt: skip
