"""What a container may do: its options, and whether the engine has put them in force."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.sandbox import Limits
from agentgym_tools.sandboxes.docker import seccomp
from agentgym_tools.sandboxes.docker.engine import client_library

USER = "1000:1000"
"""Whom the model's code runs as."""
OWNER_LABEL = "agentgym.owner"
EPISODE_LABEL = "agentgym.episode"
CREATED_LABEL = "agentgym.created"
PROCESS_OVERHEAD = 4
"""Processes of ours in a container: init, keeper, and the two around a call."""

# Our keeper. The model's code is another user and can neither kill nor trace it. On SIGUSR1,
# which only the engine can send, it kills every process but itself and the engine's init above
# it, in one system call that no fork bomb outruns. For that it is root with one capability,
# KILL, within its PID namespace. It waits on a FIFO, since with a fork bomb it could not start a
# program to wait for; the engine's init reaps the dead.
KEEPER = """
trap 'kill -9 -1' USR1
mkfifo /tmp/.keeper && exec 3<>/tmp/.keeper && rm /tmp/.keeper
while :; do read -r _ <&3; done
"""
# For engines without an init: it reaps by itself, but a fork bomb may end it, and the container.
LONE_KEEPER = """
trap 'kill -9 -1' USR1
while :; do sleep 3600 & wait $!; done
"""
KILL_SIGNAL = "SIGUSR1"


def container_options(limits: Limits, cpus: float, init: bool) -> dict[str, Any]:
    """Arguments for the client's ``create_host_config``.

    One tmpfs cannot be in three places, so ``disk_mb`` is divided: three quarters are /work, an
    eighth each are /tmp and /dev/shm. Their pages count as memory.
    """
    ulimit = client_library().types.Ulimit
    memory = (limits.memory_mb + limits.disk_mb) << 20
    eighth = max(1, (limits.disk_mb << 20) // 8)
    nodes = max(8, limits.inodes // 8)
    owned = "uid=1000,gid=1000,mode=755,nosuid,nodev"
    shared = f"size={eighth},nr_inodes={nodes},mode=1777,nosuid,nodev"
    return {
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "cap_add": ["KILL"],
        "security_opt": ["no-new-privileges", f"seccomp={seccomp.profile()}"],
        "read_only": True,
        "privileged": False,
        "init": init,
        "ipc_mode": "private",
        "tmpfs": {
            "/work": f"size={6 * eighth},nr_inodes={limits.inodes - 2 * nodes},{owned},exec",
            "/tmp": f"{shared},exec",
            "/dev/shm": f"{shared},noexec",
        },
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": int(limits.pids) + PROCESS_OVERHEAD,
        "nano_cpus": int(cpus * 1e9),
        "ulimits": [
            ulimit(name="nofile", soft=int(limits.nofile), hard=int(limits.nofile)),
            ulimit(name="fsize", soft=limits.file_mb << 20, hard=limits.file_mb << 20),
            ulimit(name="core", soft=0, hard=0),
        ],
    }


def labels(episode_id: str) -> dict[str, str]:
    """Whose a container is, for the reaper and for ``docker ps``."""
    return {
        OWNER_LABEL: owner(os.getpid()),
        EPISODE_LABEL: episode_id,
        CREATED_LABEL: f"{time.time():.0f}",
    }


def owner(pid: int) -> str:
    """``<host>:<pid>:<start time>``; a number that has become another process's differs."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        started = ""
    return f"{os.uname().nodename}:{pid}:{started}"


@dataclass(frozen=True, slots=True)
class Inside:
    """What a container says of itself, and which programs its image has."""

    facts: Mapping[str, str]

    def has(self, program: str) -> bool:
        """Whether the image has a program."""
        return bool(self.facts.get(f"has_{program}"))


# Each line is "key value". Cgroup files are those of version 1, then those of version 2.
INSPECTION = r"""
for limit in memory/memory.limit_in_bytes pids/pids.max memory.max pids.max; do
  [ -r /sys/fs/cgroup/$limit ] && read -r value < /sys/fs/cgroup/$limit && echo "$limit $value"
done
while read -r key value; do
  case $key in CapEff:|NoNewPrivs:|Seccomp:|Uid:) echo "${key%:} $value";; esac
done < /proc/self/status
for program in python3 bash tar timeout; do
  found=$(command -v $program) && echo "has_$program $found"
done
exit 0
"""


def parse_inspection(text: str) -> Inside:
    """What :data:`INSPECTION` printed."""
    return Inside(dict(line.partition(" ")[::2] for line in text.splitlines()))


def missing_limits(
    inspect: Mapping[str, Any], inside: Inside, wanted: Mapping[str, Any]
) -> list[str]:
    """Each limit that is not in force, with what was found; empty if all hold.

    Rootless engines on cgroup version 1 accept limits and ignore them, with only a warning.
    """
    host = inspect["HostConfig"]
    problems = []
    for setting, key in (("Memory", "mem_limit"), ("PidsLimit", "pids_limit")):
        if host.get(setting) != wanted[key]:
            problems.append(f"engine has {setting}={host.get(setting)}, asked for {wanted[key]}")
    for names, key in (
        (("memory/memory.limit_in_bytes", "memory.max"), "mem_limit"),
        (("pids/pids.max", "pids.max"), "pids_limit"),
    ):
        values = [inside.facts[name].strip() for name in names if name in inside.facts]
        if not any(value.isdigit() and int(value) <= wanted[key] for value in values):
            problems.append(f"cgroup {names[-1]} is {values[0] if values else 'not there'}")
    for key, good in (("NoNewPrivs", "1"), ("Seccomp", "2")):
        if inside.facts.get(key, "").strip() != good:
            problems.append(f"{key} is {inside.facts.get(key, 'not there')}, not {good}")
    if inside.facts.get("CapEff", "").strip("0 \t"):
        problems.append(f"capabilities are left: {inside.facts['CapEff']}")
    if not inside.facts.get("Uid", "").startswith("1000"):
        problems.append(f"the code runs as user {inside.facts.get('Uid', 'unknown')}")
    return problems
