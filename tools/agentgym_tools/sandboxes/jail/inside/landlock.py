"""Landlock rules: which files may be touched, and that nothing outside can be signalled.

Inside the namespaces it is a second wall behind the read-only root. Without namespaces it is the
only one for files.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from agentgym_tools.sandboxes.jail.inside.linux import (
    LANDLOCK_ADD_RULE,
    LANDLOCK_CREATE,
    LANDLOCK_RESTRICT,
    call,
)

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEV, _REFER = 1 << 14, 1 << 15, 1 << 13
_ALL_V1 = (1 << 13) - 1
READ = EXECUTE | READ_FILE | READ_DIR
_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
_PATH_BENEATH = 1


def version() -> int:
    """The kernel's Landlock version; 0 if it has none."""
    try:
        return call(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def ruleset(readable: Iterable[str], writable: Iterable[str]) -> int:
    """A ruleset's descriptor: paths to read and execute, and paths where all is allowed."""
    abi = version()
    files = _ALL_V1
    files |= _REFER if abi >= 2 else 0
    files |= _TRUNCATE if abi >= 3 else 0
    files |= _IOCTL_DEV if abi >= 5 else 0
    network = _BIND_TCP | _CONNECT_TCP if abi >= 4 else 0
    scoped = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if abi >= 6 else 0
    attributes = struct.pack("QQQ", files, network, scoped)
    attributes = attributes[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = call(LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for paths, access in ((readable, READ), (writable, files)):
        for path in paths:
            _add(rules, path, access)
    return rules


def _add(rules: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            access &= _ON_FILES
        attributes = struct.pack("=Qi", access, fd)
        call(
            LANDLOCK_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(_PATH_BENEATH), attributes,
            ctypes.c_uint32(0),
        )  # fmt: skip
    finally:
        os.close(fd)


def restrict(rules: int) -> None:
    """Apply a ruleset to this process and everything it starts. Needs no_new_privs."""
    call(LANDLOCK_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0))
