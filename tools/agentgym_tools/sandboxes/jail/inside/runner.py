"""A runner: process 1 of a process namespace, which starts the model's code and tells how it ended.

It keeps one child ready that has already given up everything; that child takes the next request
itself. The runner only waits, ends what is left over, and reports on a socket that the model's
code does not have. To the kernel it is untouchable from inside: process 1, not dumpable, and
outside the child's Landlock domain.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from agentgym_tools.sandboxes.jail import wire
from agentgym_tools.sandboxes.jail.inside import landlock, linux, seccomp, worker
from agentgym_tools.sandboxes.jail.settings import Common

_NICE = 10
"""Where only the trainer stops a fork bomb, it must get its turn."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a runner works: the sandbox's folders and user."""

    box: str
    work: str
    user: int


def run_forever(common: Common, place: Place, request: dict[str, Any], fds: list[int]) -> NoReturn:
    """Serve one sandbox's calls of one kind: single calls, or one session. Never returns."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        # Process 1 gets only signals that it handles, and Python handles this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if common.namespaces:
            flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
            linux.mount("proc", "/proc", "proc", flags)
        else:
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        sock = socket.socket(fileno=fds[0])
        Runner(common, place, request, sock).serve(fds[1:])
    except EOFError:
        os._exit(0)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"runner: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


class Runner:
    """Waits for children, and ends what they leave."""

    def __init__(
        self, common: Common, place: Place, request: dict[str, Any], sock: socket.socket
    ) -> None:
        self.common = common
        self.place = place
        self.limits = request["limits"]
        self.session: str | None = request["session"]
        self.sock = sock
        readable, folders = ["/"], ["/work", "/tmp", "/dev/shm"]
        if not common.namespaces:
            readable, folders = common.readable, [place.work, f"{place.box}/tmp"]
        writable = [*folders, "/dev/null", "/dev/full", "/dev/zero"]
        self.rules = landlock.ruleset(readable, writable) if common.landlock else None
        self._give_up_what_it_can()

    def _give_up_what_it_can(self) -> None:
        """What the runner itself can do without is given up here, once for all its children."""
        linux.set_limits(self.limits)
        if self.common.namespaces:
            linux.drop_capability_bounds()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        os.umask(0o022)
        os.environ.clear()
        os.environ.update(_environment(self.common, self.place))
        os.chdir(self.place.work)
        if self.common.namespaces:  # without them we need calls that the filter closes
            seccomp.install(self.common.filter)

    def serve(self, session_fds: list[int]) -> None:
        """Serve until the trainer closes the socket, or the session ends."""
        if self.session is not None:
            self._serve_session(self.session, session_fds)
            return
        while True:
            try:
                pid = os.fork()
            except BlockingIOError:
                self._refuse()
                continue
            if pid == 0:
                self._become_user(one_shot=True)
                worker.run_once(self.sock)
            wire.send(self.sock, self._wait(pid))

    def _refuse(self) -> None:
        """Answer a request for which there is no process: the sandbox's others have them all."""
        _request, fds = wire.receive(self.sock)
        for fd in fds:
            os.close(fd)
        wire.send(self.sock, {"no_process": True})

    def _serve_session(self, language: str, session_fds: list[int]) -> None:
        """One child that takes many requests, on a socket of its own."""
        pid = os.fork()
        if pid == 0:
            self._become_user(one_shot=False)
            self.sock.close()
            os.setsid()
            worker.run_session(language, session_fds)
        for fd in session_fds:
            os.close(fd)
        signal.signal(signal.SIGUSR1, lambda *_: _interrupt(pid))
        wire.send(self.sock, self._wait(pid))

    def _wait(self, pid: int) -> dict[str, Any]:
        """Wait for a child, burying orphans meanwhile; then end all that is left."""
        cpu, rss = 0.0, 0
        status: int | None = None
        while status is None:
            found, how, usage = os.wait4(-1, 0)
            cpu, rss = _add(cpu, rss, usage)
            if found == pid:
                status = how
        while True:
            if self.common.namespaces:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(-1, signal.SIGKILL)
            else:
                end_descendants(keep=())
            try:
                found, _how, usage = os.wait4(-1, 0)
                cpu, rss = _add(cpu, rss, usage)
            except ChildProcessError:
                return {"status": status, "cpu_s": cpu, "max_rss_kb": rss}

    def _become_user(self, *, one_shot: bool) -> None:
        """Give up the rest. Runs before any request is read."""
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # or our own files in /proc are closed to us
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"1000")  # when memory runs out, it is one of these that must go
        os.close(fd)
        linux.limit_processes(self.limits["user_pids"])
        if not self.common.namespaces:
            os.nice(_NICE)
        if one_shot:
            linux.limit_processor_time(self.limits["cpu_s"])
        user = self.place.user
        if os.getuid() != user and os.getuid() == 0:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        linux.clear_capability_sets()
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # changing users took it back
        if self.rules is not None:
            landlock.restrict(self.rules)
            os.close(self.rules)
        if not self.common.namespaces:
            seccomp.install(self.common.filter)


def _interrupt(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGINT)


def _environment(common: Common, place: Place) -> dict[str, str]:
    work = place.work
    return {
        "PATH": f"{common.python_folder}:/usr/local/bin:/usr/bin:/bin",
        "HOME": work,
        "PWD": work,
        "TMPDIR": "/tmp" if common.namespaces else f"{place.box}/tmp",
        "LANG": "C.UTF-8",
        "USER": "user",
        "SHELL": "/bin/bash",
        "TERM": "dumb",
        "PYTHONPATH": ":".join(common.site_paths),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _add(cpu: float, rss: int, usage: resource.struct_rusage) -> tuple[float, int]:
    return cpu + usage.ru_utime + usage.ru_stime, max(rss, usage.ru_maxrss)


def end_descendants(keep: Collection[int]) -> None:
    """Without a process namespace: end all that descends from us, whoever forks meanwhile.

    Orphans come to us, so that the tree below us is complete. Each process is first forbidden to
    fork; its children from before that are found in the next round.
    """
    while children := [pid for pid in _children(os.getpid()) if pid not in keep]:
        for pid in _descendants(children):
            with contextlib.suppress(OSError):  # another user's, and we may not: then only kill
                resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _descendants(pids: list[int]) -> Iterator[int]:
    for pid in pids:
        yield pid
        yield from _descendants(_children(pid))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    return found
