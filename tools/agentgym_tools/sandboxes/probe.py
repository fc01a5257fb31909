"""Finding out what a sandbox stops, by attacking it.

Decoys are set up on the host: sockets that listen, a file, a folder anybody may write to, a
process with a secret in its environment. Programs in the sandbox then try to reach them and to
exceed their limits. What they reach is a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentgym.sandbox import (
    ExecStatus,
    Gap,
    Guarantees,
    Limits,
    Promise,
    Sandbox,
    SandboxUnavailable,
)

Lease = Callable[[Limits], Awaitable[Sandbox]]
LIMITS = Limits(
    wall_s=5, memory_mb=128, pids=24, nofile=128, file_mb=8, disk_mb=8, inodes=256, output_kb=4
)
_BEAT_S = 0.1
_CHILD_MB = 48
_CHILDREN = 8
_UNFINISHED = "the attack did not finish, so nothing is known"


@dataclass(frozen=True, slots=True)
class Decoys:
    """What an attacker may look for on the host."""

    port: int
    abstract_socket: str
    path_socket: str
    file: str
    folder: str
    process: int
    secret: str
    own_file: str
    """It belongs to whoever probes, and so perhaps to the sandbox's user."""
    process_gone: Callable[[], bool]
    file_changed: Callable[[], bool]


@contextlib.contextmanager
def decoys() -> Iterator[Decoys]:
    """Set up the decoys, and take them down."""
    secret = secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="agentgym-decoy-"))
        os.chmod(folder, 0o777)
        file = Path(folder, "secret.txt")
        file.write_text(secret)
        file.chmod(0o644)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = stack.enter_context(_listening("\0agentgym-" + secret))
        by_path = stack.enter_context(_listening(str(Path(folder, "socket"))))
        os.chmod(by_path.getsockname(), 0o777)
        process = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)", secret],
            env={"AGENTGYM_DECOY": secret},
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        own = Path(folder, "own.txt")
        own.write_text(secret)
        yield Decoys(
            tcp.getsockname()[1],
            abstract.getsockname().decode(),
            by_path.getsockname(),
            str(file),
            folder,
            process.pid,
            secret,
            str(own),
            lambda: process.poll() is not None,
            lambda: own.read_text() != secret,
        )


def _listening(address: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    return server


# Each attack prints one JSON object: {promise: what it reached}; empty means that it held.
REACH = """
import contextlib, ctypes, glob, json, os, signal, socket, sys
d = json.loads({decoys!r})
found = {{}}
def reached(promise, what):
    found.setdefault(promise, what)
def attempt():
    return contextlib.suppress(OSError, ValueError)
with attempt():
    socket.create_connection(("127.0.0.1", d["port"]), 1)
    reached("network", "connected to a port of the host")
for family, kind in ((40, 1), (16, 3), (17, 3), (10, 1), (2, 2)):
    with attempt(), socket.socket(family, kind) as s:
        if family == 10:
            s.connect(("::1", d["port"]))
        if family == 2:
            s.connect(("192.0.2.1", 9))
        reached("network", f"opened a socket of family {{family}}")
for address in ("\\0" + d["abstract_socket"][1:], d["path_socket"]):
    with attempt():
        socket.socket(socket.AF_UNIX).connect(address)
        kind = "abstract" if address[0] == "\\0" else "path"
        reached("host_sockets", f"connected to a Unix socket of the host ({{kind}})")
for path in (d["file"], "/etc/shadow", "/proc/1/root/etc/shadow", "/root/.ssh", "/home"):
    with attempt():
        listed = os.listdir(path) if os.path.isdir(path) else open(path).read()
        if listed:
            reached("host_files", f"read {{path}}")
for path in (d["folder"] + "/escaped", "/etc/escaped", "/usr/escaped", "/escaped",
             "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/escaped"):
    with attempt():
        open(path, "w").close()
        reached("host_files", f"wrote {{path}}")
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    with attempt():
        if d["secret"].encode() in open(path, "rb").read():
            reached("secrets", f"read {{os.path.basename(path)}} of a process of the host")
for fd in range(3, 256):
    with attempt():
        os.fstat(fd)
        target = os.readlink(f"/proc/self/fd/{{fd}}")
        if not target.startswith(("/proc/", "pipe:", "/dev/null", "/work")):
            reached("secrets", f"inherited descriptor {{fd}} ({{target}})")
with attempt():
    os.truncate(d["own_file"], 0)
if d["process"] != os.getpid():
    with attempt():
        os.kill(d["process"], signal.SIGUSR1)  # the host looks whether it arrived
libc = ctypes.CDLL(None, use_errno=True)
x86 = os.uname().machine == "x86_64"
calls = {{
    "unshare a user namespace": lambda: libc.unshare(0x10000000),
    "mount": lambda: libc.mount(b"x", b"/tmp", b"tmpfs", 0, b""),
    "bpf": lambda: libc.syscall(321 if x86 else 280, 0, 0, 0),
    "io_uring": lambda: libc.syscall(425, 1, ctypes.create_string_buffer(256)),
    "userfaultfd": lambda: libc.syscall(323 if x86 else 282, 1),
    "keyctl": lambda: libc.syscall(250 if x86 else 219, 0, -3, 0),
    "perf": lambda: libc.syscall(298 if x86 else 241, bytes(128), 0, -1, -1, 0),
    "ptrace": lambda: libc.ptrace(0, 0, 0, 0),
    "chroot": lambda: libc.chroot(b"/tmp"),
}}
for name, call in calls.items():
    if call() >= 0:
        reached("kernel_surface", name)
print(json.dumps(found))
"""

MEMORY = """
import os, time
pids = []
for _ in range({children}):
    pid = os.fork()
    if pid == 0:
        data = bytearray({child_mb} << 20)
        for i in range(0, len(data), 4096):
            data[i] = 1
        time.sleep(0.3)
        os._exit(0)
    pids.append(pid)
alive = sum(os.waitpid(pid, 0)[1] == 0 for pid in pids)
print(alive)
raise SystemExit(0 if alive == {children} else 1)
"""

FORKS = """
import os, time
count = 0
try:
    while count < {limit} * 3:
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
        count += 1
except OSError:
    pass
print(count)
"""

DISK = """
size = 0
try:
    for i in range({disk_mb} * 3):
        with open(f"fill{{i}}", "wb") as file:
            size += file.write(bytes(1 << 20))
except OSError:
    pass
files = 0
try:
    for i in range({inodes} * 3):
        open(f"small{{i}}", "w").close()
        files += 1
except OSError:
    pass
print(size >> 20, files)
"""

FLOOD = """
import os
while True:
    os.write(1, b"x" * 65536)
"""

DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (1, 2, 3, 13, 15):
            signal.signal(number, signal.SIG_IGN)
        while True:
            with open("beat", "a") as file:
                file.write("x")
            time.sleep(0.02)
    os._exit(0)
while not os.path.exists("beat"):
    time.sleep(0.01)
time.sleep(0.05)
"""


async def probe(
    backend: str, form: str, lease: Lease, *, fix: Callable[[Promise], str] = lambda promise: ""
) -> Guarantees:
    """Attack sandboxes of one backend.

    Args:
        backend: Its name.
        form: How it isolates here, in words.
        lease: Makes a sandbox with given limits, whatever it holds.
        fix: What would close a gap, for the message.

    Raises:
        SandboxUnavailable: Not even harmless code runs in it.
    """
    found: dict[Promise, str] = {}
    box = await lease(LIMITS)
    try:
        hello = await box.run_python("print('hello')")
        if hello.stdout.strip() != b"hello":
            raise SandboxUnavailable(
                f"sandbox {backend!r} ({form}) ran no Python: {hello.status}, "
                f"{hello.stderr.decode(errors='replace').strip()[-300:]}"
            )
        found.update(await _reach(box))
        for promise, attack in _ATTACKS.items():
            if gap := await attack(box):
                found[promise] = gap
            await box.reset()
    finally:
        await box.aclose()
    gaps = {promise: Gap(reason, fix(promise)) for promise, reason in found.items()}
    return Guarantees(backend, form, gaps)


_TOLD = (
    "port",
    "abstract_socket",
    "path_socket",
    "file",
    "folder",
    "process",
    "secret",
    "own_file",
)


async def _reach(box: Sandbox) -> dict[Promise, str]:
    with decoys() as targets:
        values = {name: getattr(targets, name) for name in _TOLD}
        result = await box.run_python(REACH.format(decoys=json.dumps(values)))
        await asyncio.sleep(0.05)
        killed, emptied = targets.process_gone(), targets.file_changed()
    try:
        found = json.loads(result.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise SandboxUnavailable(
            "the probe's attack did not finish: "
            f"{result.status}, {result.stderr.decode(errors='replace').strip()[-300:]}"
        ) from None
    if emptied:
        found["host_files"] = "emptied a file of the host"
    if killed:
        found["other_processes"] = "killed a process of the host"
    return {Promise(name): what for name, what in found.items()}


async def _memory(box: Sandbox) -> str | None:
    result = await box.run_python(MEMORY.format(children=_CHILDREN, child_mb=_CHILD_MB))
    if result.ok:
        return f"{_CHILDREN} processes used {_CHILDREN * _CHILD_MB} MB of {LIMITS.memory_mb}"
    return _UNFINISHED if result.status is ExecStatus.TIMEOUT else None


async def _forks(box: Sandbox) -> str | None:
    result = await box.run_python(FORKS.format(limit=LIMITS.pids))
    if not result.stdout.strip().isdigit():
        # Stopped for its number, or by the memory that the number took, is stopped.
        held = result.status in (ExecStatus.KILLED, ExecStatus.OOM)
        return None if held else _UNFINISHED
    count = int(result.stdout)
    return f"{count} processes, where {LIMITS.pids} are allowed" if count > LIMITS.pids else None


async def _disk(box: Sandbox) -> str | None:
    result = await box.run_python(DISK.format(disk_mb=LIMITS.disk_mb, inodes=LIMITS.inodes))
    numbers = result.stdout.split()
    if len(numbers) != 2:
        return _UNFINISHED
    size, files = map(int, numbers)
    if size > LIMITS.disk_mb or files > LIMITS.inodes:
        return f"wrote {size} MB of {LIMITS.disk_mb} and {files} files of {LIMITS.inodes}"
    return None


async def _flood(box: Sandbox) -> str | None:
    result = await box.run_python(FLOOD)
    held = result.status is ExecStatus.OUTPUT_LIMIT and len(result.stdout) < 1 << 20
    return None if held else f"endless output ended as {result.status}"


async def _daemon(box: Sandbox) -> str | None:
    await box.run_python(DAEMON)
    try:
        before = len(await box.read_file("beat"))
        await asyncio.sleep(_BEAT_S)
        grew = len(await box.read_file("beat")) > before
    except OSError:
        return _UNFINISHED
    return "a daemon outlived its call" if grew else None


_ATTACKS: dict[Promise, Callable[[Sandbox], Awaitable[str | None]]] = {
    Promise.MEMORY: _memory,
    Promise.PROCESS_COUNT: _forks,
    Promise.DISK: _disk,
    Promise.OUTPUT: _flood,
    Promise.LEFTOVERS: _daemon,
}
