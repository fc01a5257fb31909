"""A slot as the trainer sees it: open it for a sandbox, start runners in it, close it."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.sandbox import ExecStatus, Limits, SandboxDied
from agentgym_tools.sandboxes.files import Files
from agentgym_tools.sandboxes.jail import wire
from agentgym_tools.sandboxes.jail.cgroups import SlotGroup
from agentgym_tools.sandboxes.jail.channel import Channel
from agentgym_tools.sandboxes.jail.inside.changes import pack

if TYPE_CHECKING:
    from agentgym_tools.sandboxes.jail.jail import Jail

MOST_SESSIONS = 8
OWN_PROCESSES = 2 * (MOST_SESSIONS + 1) + 4
"""Room in a slot's control group for the slot, its runners and their waiting children. The model's
processes cannot take it: they are limited as their user's."""
_OWN_MEMORY_MB = 32
_UNPACK_S = 120.0
_NO_IDS_TO_MAP = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What the kernel says for a base on a file system whose ids it cannot map: then it is copied."""


Outcome = dict[str, Any] | ExecStatus
"""What a call is waiting for: the runner's answer, or the reason to stop it."""


class Runner:
    """One runner: where to send calls, and a handle to kill it and all it started."""

    def __init__(self, sock: socket.socket, pid: int, handle: int, *, single: bool) -> None:
        sock.setblocking(False)
        self._single = single
        self._sock = sock
        self.pid = pid
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[Outcome] | None = None
        self._early: Outcome | None = None
        self.alive = True
        self._loop.add_reader(sock, self._readable)

    def send(self, message: dict[str, Any], fds: list[int]) -> None:
        """Hand a program to the waiting child. Raises SandboxDied."""
        try:
            wire.send(self._sock, message, fds)
        except OSError as error:
            raise SandboxDied(f"the sandbox's runner is gone ({error.strerror})") from None

    async def outcome(self, wall_s: float, future: asyncio.Future[Outcome]) -> Outcome:
        """The answer, whatever else settles ``future`` first, or TIMEOUT after ``wall_s``."""
        self._outcome = future
        if self._early is not None:
            settle(future, self._early)
        timer = self._loop.call_later(wall_s, settle, future, ExecStatus.TIMEOUT)
        try:
            return await future
        finally:
            timer.cancel()
            self._outcome = None

    def _readable(self) -> None:
        answer: Outcome
        try:
            answer, _fds = wire.receive(self._sock)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._loop.remove_reader(self._sock)
            self.alive = False
            answer = ExecStatus.KILLED
        if self._outcome is not None:
            settle(self._outcome, answer)
        elif self._single:
            self.kill()  # its waiting child is gone, and nobody had called: not worth keeping
        else:
            self._early = answer  # a session that ended; its next call is told

    def stop(self, why: ExecStatus) -> None:
        """End the call that runs, with this status."""
        if self._outcome is not None:
            settle(self._outcome, why)

    def interrupt(self) -> None:
        """Ask it to interrupt its session's current call."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        """Kill it; the kernel takes everything in its process namespace with it."""
        self.alive = False
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def close(self) -> None:
        """Close the descriptors. May be called twice. Whoever waits for an outcome gets KILLED."""
        self.alive = False
        if self._outcome is not None:
            settle(self._outcome, ExecStatus.KILLED)
        if self._handle >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            os.close(self._handle)
            self._handle = -1


def pid_of(handle: int) -> int:
    """The process id behind a handle, as this process sees it."""
    with open(f"/proc/self/fdinfo/{handle}") as file:
        for line in file:
            if line.startswith("Pid:"):
                return int(line.split()[1])
    raise ProcessLookupError(f"descriptor {handle} is no process")


def _archive_of(folder: Path, disk_mb: int) -> bytes:
    target = io.BytesIO()
    pack(str(folder), target, whole=True, alone=False, most=disk_mb << 20)
    return target.getvalue()


def _read_whole(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return file.read()


def settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    """Give a future its result unless it has one."""
    if not future.done():
        future.set_result(outcome)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a killed runner and everything in it used."""

    cpu_s: float
    max_rss_kb: int


class Slot:
    """One slot of a jail; it serves many sandboxes, one after another."""

    def __init__(
        self,
        jail: Jail,
        channel: Channel,
        pid: int,
        group: SlotGroup | None,
        owner: tuple[int, int],
    ) -> None:
        self.pid = pid
        self._jail = jail
        self._channel = channel
        self.group = group
        self._owner = owner
        self.opened_for: Limits | None = None
        self.calls = 0
        self._work_fd = -1
        self._oom_seen = 0

    @property
    def files(self) -> Files:
        """The files of the sandbox that is open."""
        return Files(self._work_fd, self._owner)

    async def open(self, limits: Limits, base: Path | None = None) -> None:
        """Make fresh files, empty or a base folder's.

        Raises:
            SandboxDied: The slot is gone.
            OSError: The base folder cannot be shown.
        """
        self.opened_for = None
        self._close_work()
        if self.group is not None:
            memory = limits.memory_mb + limits.disk_mb + _OWN_MEMORY_MB
            self.group.limit(memory, limits.pids + OWN_PROCESSES)
        request: dict[str, Any] = {"do": "open", "disk_mb": limits.disk_mb}
        request["inodes"] = limits.inodes + 8  # our own folders count too
        fds: list[int] = []
        archive = b""
        if base is not None and self._jail.options.form == "landlock":
            request["base"] = str(base.resolve())
        elif base is not None:
            owner = self._owner[0] if self._jail.options.form == "root" else None
            try:
                fds = [await self._jail.open_tree(base, owner)]
            except OSError as error:
                if error.errno not in _NO_IDS_TO_MAP:
                    raise
                archive = await asyncio.to_thread(_archive_of, base, limits.disk_mb)
        try:
            _answer, opened = await self._channel.request(request, fds, timeout_s=_UNPACK_S)
        finally:
            for fd in fds:
                os.close(fd)
        self._work_fd = opened[0]
        self.opened_for = limits if base is None else None
        if self.group is not None:
            self._oom_seen = self.group.oom_kills()
        if archive:
            await self.unpack(archive)

    async def start_runner(
        self, limits: Limits, session: str | None = None, fds: list[int] | None = None
    ) -> Runner:
        """Start a runner for single calls, or for one session.

        Raises:
            SandboxDied: The slot is gone, or could not.
        """
        ours, theirs = wire.pair()
        values: dict[str, Any] = {
            "memory_mb": limits.memory_mb,
            "address_mb": max(4 * limits.memory_mb, limits.memory_mb + 3072),
            "file_mb": limits.file_mb,
            "nofile": limits.nofile,
            "user_pids": limits.pids + self._jail.strangers(),
            "cpu_s": limits.cpu_s,
        }
        request = {"do": "runner", "limits": values, "session": session}
        try:
            answer, handles = await self._channel.request(request, [theirs.fileno(), *(fds or ())])
        except OSError as error:
            ours.close()
            raise SandboxDied(f"the sandbox could not start a runner: {error}") from None
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return Runner(ours, answer["pid"], handles[0], single=session is None)

    async def end(self, runner: Runner) -> Usage:
        """Kill a runner and wait until nothing that it started is left."""
        runner.kill()
        runner.close()
        answer, _fds = await self._channel.request({"do": "ended", "pid": runner.pid})
        return Usage(answer["cpu_s"], answer["max_rss_kb"])

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed for want of memory since the last time this was asked."""
        if self.group is None:
            return False
        kills = self.group.oom_kills()
        grown = kills > self._oom_seen
        self._oom_seen = kills
        return grown

    @property
    def packs_alone(self) -> bool:
        """Whether packing the files ends all that runs in the sandbox."""
        return self._jail.options.form == "landlock"

    async def pack(self, disk_mb: int) -> bytes:
        """The changed files as an archive.

        Raises:
            OSError: They are larger than ``disk_mb`` MiB, or one of them cannot be read.
        """
        fd = os.memfd_create("archive", os.MFD_CLOEXEC)
        try:
            request = {"do": "pack", "disk_mb": disk_mb}
            await self._channel.request(request, [fd], timeout_s=_UNPACK_S)
            return await asyncio.to_thread(_read_whole, fd)
        finally:
            os.close(fd)

    async def unpack(self, archive: bytes) -> None:
        """Put an archive's files into fresh ones."""
        fd = os.memfd_create("archive", os.MFD_CLOEXEC)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(archive)
            os.lseek(fd, 0, os.SEEK_SET)
            await self._channel.request({"do": "unpack"}, [fd], timeout_s=_UNPACK_S)
        finally:
            os.close(fd)

    def disk_is_full(self) -> bool:
        """Whether no more can be written."""
        space = os.fstatvfs(self._work_fd)
        return space.f_bavail == 0 or (space.f_files > 0 and space.f_favail == 0)

    async def ping(self) -> None:
        """Return if the slot answers. Raises SandboxDied."""
        await self._channel.request({"do": "ping"}, timeout_s=5.0)

    async def clear(self) -> None:
        """End everything in it and drop its files."""
        self.opened_for = None
        self._close_work()
        await self._channel.request({"do": "close"})

    def discard(self) -> None:
        """Let go of the slot: its process ends when it sees that, and everything in it too."""
        self._close_work()
        self._channel.close()
        if self.group is not None:
            self._jail.remove_later(self.group)

    def _close_work(self) -> None:
        if self._work_fd >= 0:
            os.close(self._work_fd)
            self._work_fd = -1
