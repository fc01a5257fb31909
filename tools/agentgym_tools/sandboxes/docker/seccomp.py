"""The system calls that a container's processes may not make.

Engines bring a profile of their own, but it leaves open what ``jail`` closes: tracing, sockets
for netlink and virtual machines, on older engines io_uring. This one denies what opens kernel
machinery that an honest program has no business with; all capabilities but one are gone besides.
"""

from __future__ import annotations

import json
from typing import Any

_DENIED = """
    ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd
    unshare setns chroot pivot_root mount umount umount2 move_mount open_tree open_tree_attr
    fsopen fsconfig fsmount fspick mount_setattr statmount listmount
    bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
    keyctl add_key request_key fanotify_init name_to_handle_at open_by_handle_at
    init_module finit_module delete_module create_module query_module get_kernel_syms
    kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd
    syslog vhangup sethostname setdomainname
    settimeofday stime clock_settime clock_settime64 clock_adjtime clock_adjtime64 adjtimex
    iopl ioperm modify_ldt vm86 vm86old uselib ustat sysfs _sysctl nfsservctl lookup_dcookie
    memfd_secret move_pages migrate_pages mbind set_mempolicy set_mempolicy_home_node vmsplice
    lsm_set_self_attr
"""
_NO_SUCH_CALL = 38
# time, mount, cgroup, uts, ipc, user, pid, network
_NEW_NAMESPACES = (1 << 7, 1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30)
_LAST_FAMILY_BELOW_IPV6 = 9
# Unix, IPv4 and IPv6 stay: a program may serve itself on the container's own loopback.
_FAMILIES_BETWEEN = range(3, _LAST_FAMILY_BELOW_IPV6 + 1)


def profile() -> str:
    """The profile as JSON, for the security option ``seccomp``."""
    rules = [_deny(_DENIED.split())]
    # C libraries take this answer for an old kernel, and use clone, whose flags can be read.
    rules.append(_deny(["clone3"]) | {"errnoRet": _NO_SUCH_CALL})
    for flag in _NEW_NAMESPACES:
        rules.append(_deny(["clone"], op="MASKED_EQ", value=flag, value_two=flag))
    for family in _FAMILIES_BETWEEN:
        rules.append(_deny(["socket"], op="EQ", value=family))
    rules.append(_deny(["socket"], op="GT", value=_LAST_FAMILY_BELOW_IPV6 + 1))
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})


def _deny(names: list[str], *, op: str = "", value: int = 0, value_two: int = 0) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ERRNO"}
    if op:
        condition = {"index": 0, "value": value, "valueTwo": value_two, "op": f"SCMP_CMP_{op}"}
        rule["args"] = [condition]
    return rule
