"""Why the strong form of the jail cannot run here, and what would let it."""

from __future__ import annotations

import os
from pathlib import Path

from agentgym.sandbox import Gap, Promise
from agentgym_tools.sandboxes.jail.settings import Form

_SWITCHES = (
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu 23.10 and later
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "1"),  # older Debian
    ("/proc/sys/user/max_user_namespaces", "0", "15000"),  # RHEL 7, hardened systems
)


def advice(root: Path = Path("/")) -> str:
    """What to do so that the jail can make its namespaces.

    Args:
        root: Where the file system starts; another one in tests.
    """
    for path, closed, opened in _SWITCHES:
        switch = root / path.lstrip("/")
        if switch.is_file() and switch.read_text().strip() == closed:
            name = path.removeprefix("/proc/sys/").replace("/", ".")
            return f"sudo sysctl -w {name}={opened} opens user namespaces"
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return (
            "start the container with --cap-add SYS_ADMIN --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined, "
            "or use the remote backend on a host that can"
        )
    if os.getuid() != 0:
        return "run on a kernel that allows user namespaces, or use the docker or remote backend"
    return "run with CAP_SYS_ADMIN, or use the docker or remote backend"


def known_gaps(form: Form) -> dict[Promise, Gap]:
    """What a form cannot hold by its nature, though no attack of the probe may show it."""
    if form != "landlock":
        return {}
    gaps = {Promise.DISK: Gap("files lie on the host's disk, with a limit for each file only")}
    if os.getuid() != 0:
        gaps[Promise.PROCESS_COUNT] = Gap("the kernel counts all processes of this user together")
        gaps[Promise.HOST_FILES] = Gap(
            "names, sizes, modes and times of this user's files can be seen, and modes and times "
            "changed; contents neither"
        )
    return gaps
