"""What a sandbox is: where the model's code runs, and what each backend promises to stop.

    async with agentgym.open_sandbox("jail", limits=Limits(wall_s=5)) as box:
        result = await box.run_python("print(6 * 7)")
        result.stdout                     # b"42\\n"

What the code does (a non-zero exit, a time-out, running out of memory) is data in
:class:`ExecResult`. Only the sandbox's own failures raise, as :class:`SandboxError`.
Backends are plugins (group ``agentgym.sandboxes``); the bundled ones live in ``agentgym_tools``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from agentgym.errors import EnvError, UnknownName, UsageError
from agentgym.plugins import load_plugin


class SandboxError(EnvError):
    """The sandbox failed, not the code in it: the episode is masked, never scored 0."""


class SandboxDied(SandboxError):
    """A sandbox that was running is gone: its process, its engine, its server or its lease."""

    def __init__(self, message: str) -> None:
        super().__init__("sandbox_died", message)


class SandboxUnavailable(SandboxError):
    """No sandbox can be had: too weak here, none free in time, or its engine is missing."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__("sandbox_unavailable", message, retryable=retryable)


class NotSupported(UsageError):
    """This backend cannot do what was asked; the message says which can."""


class Promise(StrEnum):
    """One thing that a backend may stop. Each is attacked by ``probe()`` and by the tests."""

    NETWORK = "network"
    """No TCP, UDP, VSOCK, netlink or packet socket reaches anything, not even the host itself."""
    HOST_SOCKETS = "host_sockets"
    """No Unix socket of the host, abstract or by path, can be reached."""
    HOST_FILES = "host_files"
    """No file of the host but interpreter and system libraries can be read; none can be written."""
    SECRETS = "secrets"
    """No environment, command line or descriptor of a process outside can be seen."""
    OTHER_PROCESSES = "other_processes"
    """No process outside can be signalled or traced, neighbouring sandboxes included."""
    KERNEL_SURFACE = "kernel_surface"
    """Mount, namespaces, bpf, io_uring, userfaultfd, keyctl, perf, ptrace are closed."""
    MEMORY = "memory"
    """Memory of all processes together stays under ``memory_mb`` (plus ``disk_mb``)."""
    PROCESS_COUNT = "process_count"
    """A fork bomb ends at ``pids``, and costs no other sandbox its processes."""
    DISK = "disk"
    """All files together stay under ``disk_mb`` and ``inodes``."""
    OUTPUT = "output"
    """Endless output is cut off; the parent's memory stays bounded."""
    LEFTOVERS = "leftovers"
    """Nothing that a call started outlives it: daemons, ignored signals and stopped processes."""


ALL_PROMISES = frozenset(Promise)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sandbox may use. The defaults suit a code answer; :meth:`swe` suits a repository."""

    wall_s: float = 10.0
    """Seconds of real time for one call."""
    cpu_s: float = 10.0
    """Seconds of processor time, for each process of a call."""
    memory_mb: int = 512
    """MiB for all processes together."""
    pids: int = 64
    """Processes and threads at once."""
    nofile: int = 256
    """Open files, for each process."""
    file_mb: int = 32
    """MiB of the largest single file."""
    disk_mb: int = 64
    """MiB of all files together: /work, /tmp and /dev/shm share it."""
    inodes: int = 4096
    """Files and folders together."""
    output_kb: int = 64
    """KiB of each of stdout and stderr that are kept, half from the head and half from the tail.
    A call that writes more than eight times this is killed."""
    network: Literal["none"] = "none"
    """No sandbox has a network; the ``http`` tool fetches from allowed hosts instead."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if limit.name == "network":
                if value != "none":
                    raise UsageError(f"network={value!r} is not offered; sandboxes have 'none'")
                continue
            seconds = limit.name in ("wall_s", "cpu_s")
            kinds = (int, float) if seconds else int
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < inf:
                what = "a number" if seconds else "a whole number"
                raise UsageError(f"Limits.{limit.name} must be {what} above 0, got {value!r}")

    @classmethod
    def swe(cls) -> Self:
        """Limits for working on a whole repository."""
        return cls(
            wall_s=300,
            cpu_s=300,
            memory_mb=4096,
            pids=512,
            nofile=1024,
            file_mb=512,
            disk_mb=2048,
            inodes=200_000,
        )

    @property
    def output_bytes(self) -> int:
        """Bytes kept of each stream."""
        return self.output_kb * 1024


class ExecStatus(StrEnum):
    """How a call ended."""

    OK = "ok"
    NONZERO = "nonzero"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    OOM = "oom"
    OUTPUT_LIMIT = "output_limit"
    DISK_FULL = "disk_full"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What one call did.

    ``stdout`` and ``stderr`` hold everything up to ``Limits.output_kb``; beyond that the head and
    the tail, with a line between them that says how many bytes were left out.
    """

    status: ExecStatus
    exit_code: int | None = None
    """None if the program did not exit by itself."""
    signal: int | None = None
    """The signal that ended the program."""
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_total: int = 0
    """Bytes written, those left out included."""
    stderr_total: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Processor seconds of the call's processes, as far as the backend can tell; else 0."""
    max_rss_kb: int = 0
    """KiB of the largest process, as far as the backend can tell; else 0."""
    state_kept: bool | None = None
    """For a call in a session: whether its variables, or its shell, are still there."""

    @property
    def ok(self) -> bool:
        """Whether the program ended by itself with exit code 0."""
        return self.status is ExecStatus.OK


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One entry of a folder."""

    name: str
    """Undecodable bytes appear as surrogates, as everywhere in Python (``os.fsdecode``)."""
    kind: Literal["file", "folder", "link", "other"]
    size: int
    """Bytes; 0 for everything but files."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a sandbox at one moment: what differs from ``SandboxSpec.base``.

    Processes, sessions and /tmp are not part of it. It can be restored into any sandbox of the
    same backend kind and base.
    """

    backend: str
    base: str | None
    archive: bytes = field(repr=False)
    """A tar archive of the changed files."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What to ask a backend for."""

    limits: Limits = field(default_factory=Limits)
    min_guarantees: frozenset[Promise] = ALL_PROMISES
    """Promises that must hold; a backend that is weaker refuses, and says why."""
    base: Path | None = None
    """A folder whose files are there at the start of /work. It is never written to."""
    image: str | None = None
    """Container image, for backends that run images."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A promise that does not hold here: why, and what would fix it."""

    reason: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What a backend stops on this machine, found out by attacking it."""

    backend: str
    form: str
    """How it isolates here, for example ``"namespaces, cgroup v1"``."""
    gaps: Mapping[Promise, Gap] = field(default_factory=dict)

    @property
    def held(self) -> frozenset[Promise]:
        """The promises that hold."""
        return ALL_PROMISES - frozenset(self.gaps)

    def require(self, wanted: frozenset[Promise]) -> None:
        """Refuse to go on with less than what is wanted.

        Raises:
            SandboxUnavailable: Names each missing promise, its reason and its remedy.
        """
        missing = sorted(wanted & frozenset(self.gaps))
        if not missing:
            return
        lines = []
        for promise in missing:
            gap = self.gaps[Promise(promise)]
            lines.append(f"{promise} ({gap.reason}" + (f"; fix: {gap.fix})" if gap.fix else ")"))
        raise SandboxUnavailable(
            f"sandbox {self.backend!r} ({self.form}) does not hold here: {', '.join(lines)}; "
            "to go on all the same, ask for less with SandboxSpec.min_guarantees"
        )


@dataclass(frozen=True, slots=True)
class SandboxStats:
    """What a backend is doing at this moment."""

    leased: int = 0
    waiting: int = 0
    running: int = 0
    calls: int = 0
    died: int = 0


class Sandbox(Protocol):
    """One sandbox, leased for one episode. Paths are relative to /work, or absolute in it.

    Every method but :meth:`aclose` may raise SandboxDied.
    """

    id: str
    limits: Limits

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = ".",
        timeout_s: float | None = None,
    ) -> ExecResult:
        """Run a program to its end; everything it started ends with it."""
        ...

    async def run_python(
        self,
        code: str,
        *,
        session: str | None = None,
        stdin: bytes = b"",
        timeout_s: float | None = None,
    ) -> ExecResult:
        """Run Python code: in a fresh interpreter, or in the named one that keeps its variables.

        In a session the value of a last expression is printed, as at the prompt, and ``stdin``
        is empty.
        """
        ...

    async def run_bash(
        self, command: str, *, session: str, timeout_s: float | None = None
    ) -> ExecResult:
        """Run a command in the named shell, which keeps its folder, variables and jobs."""
        ...

    async def read_file(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """The content of a regular file, at most ``max_bytes`` of it.

        Raises:
            OSError: As ``open`` does; PermissionError if the path leads out of /work.
        """
        ...

    async def write_file(self, path: str, data: bytes) -> None:
        """Write a file whole or not at all, making its folders.

        Raises:
            OSError: As ``open`` does; PermissionError if the path leads out of /work.
        """
        ...

    async def list_dir(self, path: str = ".") -> list[FileInfo]:
        """The entries of a folder, sorted by name.

        Raises:
            OSError: As ``os.listdir`` does; PermissionError if the path leads out of /work.
        """
        ...

    async def snapshot(self) -> Snapshot:
        """Keep the files of /work. Raises NotSupported where that cannot be done."""
        ...

    async def reset(self, snapshot: Snapshot | None = None) -> None:
        """End everything that runs, and go back to a snapshot, or to the start."""
        ...

    async def fork(self) -> Sandbox:
        """Another sandbox, with a copy of the files of this one. The caller closes it."""
        ...

    async def health(self) -> None:
        """Return if the sandbox would answer a call now. Raises SandboxDied otherwise."""
        ...

    async def aclose(self) -> None:
        """Give the sandbox back. May be called twice; raises nothing."""
        ...


class SandboxBackend(Protocol):
    """Where sandboxes come from. Constructors have no side effects."""

    async def start(self) -> None:
        """Make ready. May be called twice. Raises SandboxUnavailable."""
        ...

    async def probe(self) -> Guarantees:
        """Attack a sandbox of this backend and tell what held. Done once, then remembered."""
        ...

    async def acquire(
        self,
        spec: SandboxSpec | None = None,
        *,
        episode_id: str = "",
        deadline_s: float = 60.0,
        ttl_s: float = 3600.0,
    ) -> Sandbox:
        """Lease a fresh sandbox, first come, first served.

        Args:
            spec: What to ask for; by default all promises and the default limits.
            episode_id: For labels and messages.
            deadline_s: Seconds to wait for a free one.
            ttl_s: Seconds without a call after which the lease ends.

        Raises:
            SandboxUnavailable: Weaker than ``spec.min_guarantees``, or none free in time.
        """
        ...

    def stats(self) -> SandboxStats:
        """What is leased, waiting and running."""
        ...

    async def aclose(self) -> None:
        """End every sandbox and everything in it. May be called twice."""
        ...


def make_backend(name: str, **options: Any) -> SandboxBackend:
    """A sandbox backend by its plugin name; ``options`` go to its constructor.

    Raises:
        UnknownName: No plugin has this name.
        UsageError: The backend has no such option.
    """
    factory = load_plugin("agentgym.sandboxes", name)
    try:
        backend: SandboxBackend = factory(**options)
    except TypeError as error:
        raise UsageError(f"sandbox {name!r}: {error}") from error
    return backend


@dataclass(slots=True)
class _Shared:
    """A backend in use by several callers of one event loop; the last to leave closes it."""

    backend: SandboxBackend
    users: int = 0


_shared: dict[tuple[int, str, str], _Shared] = {}


@asynccontextmanager
async def shared_backend(name: str, **options: Any) -> AsyncIterator[SandboxBackend]:
    """A backend that all callers on this event loop with the same options have in common."""
    key = (id(asyncio.get_running_loop()), name, repr(sorted(options.items())))
    entry = _shared.get(key)
    if entry is None:
        entry = _shared[key] = _Shared(make_backend(name, **options))
    entry.users += 1
    try:
        await entry.backend.start()
        yield entry.backend
    finally:
        entry.users -= 1
        if entry.users == 0:
            _shared.pop(key, None)
            await entry.backend.aclose()


@asynccontextmanager
async def open_sandbox(
    name: str = "jail",
    *,
    limits: Limits | None = None,
    spec: SandboxSpec | None = None,
    **options: Any,
) -> AsyncIterator[Sandbox]:
    """One sandbox, ready to use, closed at the end.

    Args:
        name: Backend: ``jail``, ``docker``, ``remote``, ``process``, or a plugin's.
        limits: What it may use. Replaces those of ``spec``.
        spec: What to ask the backend for.
        **options: For the backend's constructor, for example ``allow_unsafe=True``.

    Raises:
        SandboxUnavailable: The backend cannot run here, or is weaker than asked for.
    """
    wanted = spec or SandboxSpec()
    if limits is not None:
        wanted = replace(wanted, limits=limits)
    async with shared_backend(name, **options) as backend:
        box = await backend.acquire(wanted)
        try:
            yield box
        finally:
            await box.aclose()


def limits_from(values: Mapping[str, Any]) -> Limits:
    """Limits from a mapping, as they come from a configuration or over a wire.

    Raises:
        UnknownName: A key is not a limit.
    """
    known = asdict(Limits())
    for key in values:
        if key not in known:
            raise UnknownName("limit", key, known)
    return Limits(**values)
