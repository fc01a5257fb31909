"""One running container: calls in it, and the end of what they started. Everything here blocks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from agentgym.sandbox import ExecResult, ExecStatus, Limits, SandboxDied
from agentgym_tools.sandboxes.docker import hardening, scripts
from agentgym_tools.sandboxes.docker.engine import client_library, is_gone
from agentgym_tools.sandboxes.docker.stream import End, Exec
from agentgym_tools.sandboxes.output import HeadTail

SCRIPT_S = 60.0
"""Seconds that a script of ours may take."""
_OUTER_GRACE_S = 0.5
_KILLED_BY_TIMEOUT = (124, 137)
_KILL_S = 2.0
_MOST_SWEPT = 16
"""With more processes left than this it is a fork bomb, which a sweep would only race."""
_NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class HostProcess:
    """A session host: its process number as the container sees it, and as the engine does."""

    inner: int
    outer: int


class Container:
    """A started container that nobody but its lease uses.

    Args:
        api: The client.
        container_id: Which.
        image: For messages.
        limits: What it was made with.
    """

    def __init__(self, api: Any, container_id: str, image: str, limits: Limits) -> None:
        self._api = api
        self.id = container_id
        self.image = image
        self.limits = limits
        self.inside = hardening.Inside({})
        """What its image has."""
        self.session_hosts: list[HostProcess] = []
        """Processes that outlive a call, with everything below them."""
        self._oom_kills = 0
        self.init_pid = 0
        """Of its process 1, by the engine's numbers."""

    def run(
        self,
        argv: Sequence[str],
        stdin: bytes,
        env: Mapping[str, str],
        folder: str,
        wall_s: float,
        stop: threading.Event,
    ) -> ExecResult:
        """Run a program to its end and kill what it leaves; ``folder`` as ``quoted_path`` gives it.

        Raises:
            SandboxDied: The container is gone, or holds a process that cannot be killed.
        """
        cap = self.limits.output_bytes
        out, err = HeadTail(cap), HeadTail(cap)

        def feed(from_stdout: bool, piece: bytes) -> bool:
            kept = out if from_stdout else err
            kept.feed(piece)
            return not kept.overflown

        cpu, keep = str(math.ceil(self.limits.cpu_s)), self._kept()
        command = scripts.shell(scripts.RUN, f"{wall_s:g}", cpu, keep, folder, *argv)
        began = time.monotonic()
        with self.engine_errors():
            process = Exec(self._api, self.id, command, env)
            try:
                deadline = time.monotonic() + wall_s + _OUTER_GRACE_S
                end = process.communicate(stdin, feed, deadline, stop)
                code = process.exit_code() if end is End.EXITED else None
            finally:
                self.finish(process)
        wall = time.monotonic() - began
        status, exit_code, signal = self._how_it_ended(end, code, wall >= wall_s)
        return ExecResult(
            status, exit_code, signal, out.data(), err.data(), out.total, err.total, wall
        )

    def _how_it_ended(
        self, end: End, code: int | None, late: bool
    ) -> tuple[ExecStatus, int | None, int | None]:
        if end is End.OVERFLOWN:
            return ExecStatus.OUTPUT_LIMIT, None, None
        if end is End.TIMED_OUT or (late and code in _KILLED_BY_TIMEOUT):
            return ExecStatus.TIMEOUT, None, None
        if end is End.CANCELLED or code is None:
            return ExecStatus.KILLED, None, None
        if code == 0:
            return ExecStatus.OK, 0, None
        reason = self.post_mortem()
        # Shells and engines report signal n as exit code 128 + n; we cannot tell more.
        signal = code - 128 if 128 < code <= 128 + 64 else None
        exit_code = None if signal else code
        return (
            reason or (ExecStatus.SIGNAL if signal else ExecStatus.NONZERO),
            exit_code,
            signal,
        )

    def post_mortem(self) -> ExecStatus | None:
        """Why a call failed, if it was for want of memory or of space."""
        _, text = self.script(scripts.shell(scripts.POST_MORTEM))
        lines = [line.split() for line in text.decode().splitlines()]
        kills = sum(int(line[1]) for line in lines if len(line) == 2 and line[0] == "oom_kill")
        grown, self._oom_kills = kills > self._oom_kills, kills
        if grown:
            return ExecStatus.OOM
        return ExecStatus.DISK_FULL if ["free", "0"] in lines else None

    def script(
        self,
        command: Sequence[str],
        stdin: bytes = b"",
        *,
        at_most: int = 1 << 20,
        within_s: float = SCRIPT_S,
        stop: threading.Event = _NEVER,
    ) -> tuple[int, bytes]:
        """Run a script of ours: its exit code, and its stdout, up to ``at_most`` bytes.

        Raises:
            SandboxDied: The container is gone, or the script did not end.
        """
        data = bytearray()

        def feed(from_stdout: bool, piece: bytes) -> bool:
            if from_stdout:
                data.extend(piece)
            return len(data) <= at_most

        with self.engine_errors():
            process = Exec(self._api, self.id, command)
            try:
                end = process.communicate(stdin, feed, time.monotonic() + within_s, stop)
                code = process.exit_code() if end is End.EXITED else None
            finally:
                if stop.is_set():
                    self.finish(process)
                else:
                    process.close()
        if code is None:
            raise SandboxDied(
                f"container {self.id[:12]}: a script of ours did not end ({end.name})"
            )
        return code, bytes(data)

    def finish(self, process: Exec) -> None:
        """Drop an exec, and kill what it started.

        Raises:
            SandboxDied: Something cannot be killed; the container is removed.
        """
        with self.engine_errors():
            started = process.await_start()
            process.close()
        if not started:
            self.remove()
            raise SandboxDied(f"container {self.id[:12]}: the engine does not start a process")
        self.clean()

    def clean(self) -> None:
        """Kill everything but session hosts and what is below them.

        If that is not enough, as with a fork bomb, sessions too.

        Raises:
            SandboxDied: Something cannot be killed; the container is removed.
        """
        with self.engine_errors():
            if self.session_hosts and 0 < len(self.leftovers()) <= _MOST_SWEPT:
                sweep = scripts.shell(scripts.SWEEP, *self._kept().split())
                with suppress(SandboxDied):
                    self.script(sweep, within_s=_KILL_S)
            if not self.leftovers():
                return
            self._api.kill(self.id, hardening.KILL_SIGNAL)
            deadline = time.monotonic() + _KILL_S
            while self.leftovers():
                if time.monotonic() > deadline:
                    self.remove()
                    raise SandboxDied(f"container {self.id[:12]}: a process could not be killed")
                time.sleep(0.02)

    def kill_all(self) -> None:
        """Kill every process of the model's code."""
        self.session_hosts.clear()
        self.clean()

    def leftovers(self) -> set[int]:
        """Processes, by the engine's numbers, that are neither ours nor a session's.

        Raises:
            Exception: The client's, if the container is gone.
        """
        table = self._api.top(self.id, ps_args="-eo pid,ppid,uid,stat")["Processes"] or []
        parents = {int(row[0]): int(row[1]) for row in table}
        users = {int(row[0]): row[2] for row in table}
        ours = users.get(self.init_pid)
        found = {int(row[0]) for row in table if row[2] != ours and not row[3].startswith("Z")}
        hosts = {process.outer for process in self.session_hosts}
        return {pid for pid in found if not hosts & set(_with_ancestors(pid, parents))}

    def alive(self) -> bool:
        """Whether it runs."""
        try:
            return bool(self._api.inspect_container(self.id)["State"]["Running"])
        except Exception:  # gone, or the engine is
            return False

    def remove(self) -> None:
        """Remove it with all that runs in it; a container that is gone already is well."""
        with suppress(Exception):  # the reaper of the next start gets what stays behind
            self._api.remove_container(self.id, force=True, v=True)

    def _kept(self) -> str:
        return scripts.kept([process.inner for process in self.session_hosts])

    @contextmanager
    def engine_errors(self) -> Iterator[None]:
        """Turn the client's errors into SandboxDied."""
        try:
            yield
        except (OSError, client_library().errors.DockerException) as error:
            what = "is gone" if is_gone(error) else "does not answer"
            raise SandboxDied(f"container {self.id[:12]} {what}: {error}") from error


def _with_ancestors(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    current: int | None = pid
    while current is not None:
        yield current
        current = parents.get(current)
