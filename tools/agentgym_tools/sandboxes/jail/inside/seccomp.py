"""The system calls that the model's code may not make, as a seccomp filter.

A deny list: everything an honest program needs stays, everything that opens kernel machinery a
sandboxed program has no business with is answered EPERM. Calls of another architecture kill.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from agentgym_tools.sandboxes.jail.inside.linux import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MACHINE,
    NUMBERS,
    call,
)

# name: (x86_64, aarch64); None where the machine has no such call.
_DENIED: dict[str, tuple[int, int | None]] = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41),
    "mount": (165, 40), "umount2": (166, 39), "move_mount": (429, 429), "open_tree": (428, 428),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "syslog": (103, 116),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "vhangup": (153, 58),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "memfd_secret": (447, 447),
    "shmget": (29, 194), "msgget": (68, 186),  # memory that is nobody's
    "migrate_pages": (256, 238), "move_pages": (279, 239), "vmsplice": (278, 75),
}  # fmt: skip
_TRUNCATE, _LANDLOCK_WITH_TRUNCATE = (76, 45), 3
_MEMFD_CREATE = (319, 279)
_OF_THE_HOST: tuple[tuple[int, int | None], ...] = (
    (30, 196), (31, 195), (64, 190), (65, 193), (66, 191), (69, 189), (70, 188), (71, 187),
    (240, 180), (241, 181),  # shmat to msgctl, mq_open, mq_unlink
    (254, 27), (141, 140), (144, 119), (142, 118), (314, 274), (203, 122), (251, 30),
    # inotify_add_watch, setpriority, sched_set*, ioprio_set
    (188, 5), (189, 6), (190, 7), (92, None), (93, 55), (94, None), (260, 54),  # setxattr, chown
)  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_IOCTL, _FCNTL, _PRLIMIT, _MMAP = (16, 29), (72, 25), (302, 261), (9, 222)
_F_SETLEASE, _SOCK_DGRAM = 1024, 2
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # typing into, or pasting from, somebody's terminal
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_NEW_NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC
    | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME
)  # fmt: skip
_AF_UNIX = 1

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENT_0, _ARGUMENT_1, _ARGUMENT_3 = (
    0,
    4,
    16,
    24,
    40,
)  # offsets in struct seccomp_data


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _deny(code: int) -> bytes:
    return _op(_RETURN, _ERRNO | code)


def _when(number: int | None, *rule: bytes) -> bytes:
    """A rule for one call; it must end in a return, or put the call's number back."""
    return _op(_EQUAL, number, 0, len(rule)) + b"".join(rule) if number is not None else b""


def build(*, namespaces: bool, landlock: int, counted: bool) -> bytes:
    """The filter's program.

    Args:
        namespaces: Whether we are in namespaces. Without them, Unix sockets, System V objects and
            other processes would be the host's.
        landlock: The kernel's Landlock version, which says what is left for us to close.
        counted: Whether a control group counts memory. Without one, it may not be kept where no
            process is seen to have it.
    """
    column = 0 if MACHINE == "x86_64" else 1
    program = _architecture()
    for pair in [*_DENIED.values(), *(() if namespaces else _OF_THE_HOST)]:
        program += _when(pair[column], _deny(errno.EPERM))
    # clone3 hides its flags behind a pointer; without it the C library falls back to clone.
    program += _when(_CLONE3[column], _deny(errno.ENOSYS))
    program += _sockets(column, namespaces)
    if not namespaces and landlock < _LANDLOCK_WITH_TRUNCATE:
        program += _when(_TRUNCATE[column], _deny(errno.EPERM))
    if not counted:
        program += _hidden_memory(column)
    program += _arguments(column)
    return program + _op(_RETURN, _ALLOW)


def _architecture() -> bytes:
    """Kill calls of another architecture, whose numbers mean something else."""
    return (
        _op(_LOAD, _ARCH)
        + _op(_EQUAL, _ARCHITECTURE[MACHINE], 1, 0)
        + _op(_RETURN, _KILL)
        + _op(_LOAD, _NUMBER)
        + _op(_AT_LEAST, _X32_BIT, 0, 1)
        + _op(_RETURN, _KILL)
    )


def _sockets(column: int, namespaces: bool) -> bytes:
    """Unix sockets only, and without namespaces only pairs that cannot send to a path."""
    load, allow, refuse = _op(_LOAD, _ARGUMENT_0), _op(_RETURN, _ALLOW), _deny(errno.EAFNOSUPPORT)
    is_unix = _op(_EQUAL, _AF_UNIX, 0, 1)
    socket, pair = _SOCKET[column], _SOCKETPAIR[column]
    if namespaces:
        return _when(socket, load, is_unix, allow, refuse) + _when(
            pair, load, is_unix, allow, refuse
        )
    kind = (_op(_LOAD, _ARGUMENT_1), _op(_AND, 0xF), _op(_EQUAL, _SOCK_DGRAM, 0, 1))
    return _when(socket, refuse) + _when(
        pair, load, _op(_EQUAL, _AF_UNIX, 1, 0), refuse, *kind, refuse, allow
    )


def _hidden_memory(column: int) -> bytes:
    """Memory that a watchdog does not see: anonymous files, and shared pages given back."""
    both = _MAP_SHARED | _MAP_ANONYMOUS
    return _when(_MEMFD_CREATE[column], _deny(errno.ENOSYS)) + _when(
        _MMAP[column],
        _op(_LOAD, _ARGUMENT_3),
        _op(_AND, both),
        _op(_EQUAL, both, 0, 1),
        _deny(errno.ENOMEM),
        _op(_RETURN, _ALLOW),
    )


def _arguments(column: int) -> bytes:
    """Calls that are refused for some of their arguments."""
    allow, refuse = _op(_RETURN, _ALLOW), _deny(errno.EPERM)
    first, second = _op(_LOAD, _ARGUMENT_0), _op(_LOAD, _ARGUMENT_1)
    return (
        _when(_CLONE[column], first, _op(_ANY_BIT, _NEW_NAMESPACES, 0, 1), refuse, allow)
        # Another process's limits, and leases on files that others will open.
        + _when(_PRLIMIT[column], first, _op(_EQUAL, 0, 0, 1), allow, refuse)
        + _when(_FCNTL[column], second, _op(_EQUAL, _F_SETLEASE, 0, 1), refuse, allow)
        + _when(
            _IOCTL[column],
            second,
            _op(_EQUAL, _TIOCSTI, 1, 0),
            _op(_EQUAL, _TIOCLINUX, 0, 1),
            refuse,
            allow,
        )
    )


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install(program: bytes) -> None:
    """Apply a built filter to this process and everything it starts, for good."""
    described = _Program(len(program) // 8, program)
    set_mode_filter = ctypes.c_ulong(1)
    call(NUMBERS["seccomp"], set_mode_filter, ctypes.c_ulong(0), ctypes.byref(described))
