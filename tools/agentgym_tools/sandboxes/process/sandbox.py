"""One folder, and the plain subprocesses that work in it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agentgym.errors import UsageError
from agentgym.sandbox import ExecResult, FileInfo, SandboxDied, SandboxSpec, Snapshot
from agentgym_tools.sandboxes import archive
from agentgym_tools.sandboxes.files import WORK, Files
from agentgym_tools.sandboxes.lease import Lease
from agentgym_tools.sandboxes.process.call import Call
from agentgym_tools.sandboxes.process.launch import BOX_MARK, CALL_MARK, kill_marked, start
from agentgym_tools.sandboxes.process.session import Session
from agentgym_tools.sandboxes.session_client import Language, run_once, session_program
from agentgym_tools.sandboxes.threads import in_thread

if TYPE_CHECKING:
    from agentgym_tools.sandboxes.process.backend import ProcessBackend

Result = TypeVar("Result")


class ProcessSandbox:
    """A private folder as /work. For programs it is a path under the host's temporary folder.

    Implements :class:`agentgym.Sandbox`; see :class:`ProcessBackend` for what it does not stop.
    """

    def __init__(
        self, backend: ProcessBackend, spec: SandboxSpec, episode_id: str, ttl_s: float
    ) -> None:
        self.id = f"process-{secrets.token_hex(6)}"
        self.limits = spec.limits
        self._backend = backend
        self._spec = spec
        self._episode_id = episode_id
        self._ttl_s = ttl_s
        self._home = Path(tempfile.mkdtemp(prefix=f"agentgym-{self.id}-"))
        self._work = self._home / "work"
        self._work.mkdir()
        (self._home / "tmp").mkdir()
        self._root_fd = os.open(self._work, os.O_RDONLY | os.O_DIRECTORY)
        self._files = Files(self._root_fd, None)
        self._sessions: dict[tuple[Language, str], Session] = {}
        self._lease = Lease(self.id, ttl_s, self._end)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = ".",
        timeout_s: float | None = None,
    ) -> ExecResult:
        """Run a program to its end; what it started is killed as far as it can be found.

        A program or folder that is not there gives exit code 127 and a message on stderr.
        """
        if isinstance(argv, str) or not argv or not all(isinstance(part, str) for part in argv):
            raise UsageError(f"argv must be a list of strings, got {argv!r}; try ['sh', '-c', ...]")
        mark = secrets.token_hex(16)
        variables = self._environment(mark, env)
        folder = self._folder(cwd)
        call = Call(
            lambda: start(argv, variables, folder, self.limits),
            mark,
            stdin,
            self.limits.output_bytes,
            self.limits.wall_s if timeout_s is None else timeout_s,
        )
        return await self._run(call.run, call.cancel)

    async def run_python(
        self,
        code: str,
        *,
        session: str | None = None,
        stdin: bytes = b"",
        timeout_s: float | None = None,
    ) -> ExecResult:
        """Run Python code with this machine's interpreter, in a session or without."""
        if session is not None:
            return await self._call_session("python", session, code, timeout_s)
        argv, stdin = run_once(sys.executable, code, stdin)
        return await self.exec(argv, stdin=stdin, timeout_s=timeout_s)

    async def run_bash(
        self, command: str, *, session: str, timeout_s: float | None = None
    ) -> ExecResult:
        """Run a command in the named shell; its background jobs live until the shell ends."""
        return await self._call_session("bash", session, command, timeout_s)

    async def read_file(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """See :meth:`agentgym.Sandbox.read_file`."""
        return await self._run(lambda: self._files.read(path, max_bytes))

    async def write_file(self, path: str, data: bytes) -> None:
        """See :meth:`agentgym.Sandbox.write_file`."""
        await self._run(lambda: self._files.write(path, data))

    async def list_dir(self, path: str = ".") -> list[FileInfo]:
        """See :meth:`agentgym.Sandbox.list_dir`."""
        return await self._run(lambda: self._files.list(path))

    async def snapshot(self) -> Snapshot:
        """All files of /work."""
        data = await self._run(lambda: archive.pack(self._work))
        base = self._spec.base
        return Snapshot("process", None if base is None else str(base), data)

    async def reset(self, snapshot: Snapshot | None = None) -> None:
        """End every session, and go back to a snapshot, or to the start."""
        if snapshot is not None and snapshot.backend != "process":
            raise UsageError(
                f"a snapshot of {snapshot.backend!r} cannot be restored into 'process'; "
                "take it with the same backend"
            )
        await self._run(lambda: self._fill(None if snapshot is None else snapshot.archive))

    async def fork(self) -> ProcessSandbox:
        """Another sandbox with a copy of the files."""
        snapshot = await self.snapshot()
        twin = await self._backend.acquire(
            self._spec, episode_id=self._episode_id, ttl_s=self._ttl_s
        )
        try:
            await twin.reset(snapshot)
        except BaseException:
            await twin.aclose()
            raise
        return twin

    async def health(self) -> None:
        """Return if the folder is still there. Raises SandboxDied otherwise."""
        with self._lease.call():
            if not self._work.is_dir():
                raise SandboxDied(f"sandbox {self.id}: its folder {self._work} is gone")

    async def aclose(self) -> None:
        """End everything that runs and delete the folder. May be called twice; raises nothing."""
        if self._lease.end("it was closed"):
            await self._end()

    async def _end(self) -> None:
        self._backend.forget(self)
        for session in self._sessions.values():
            session.cancel()
        await in_thread(self._backend.threads, self._delete)

    def _delete(self) -> None:
        self._end_processes()
        os.close(self._root_fd)
        shutil.rmtree(self._home, ignore_errors=True)

    def fill(self) -> None:
        """Put the base's files in place, after creation."""
        self._fill(None)

    def _fill(self, saved: bytes | None) -> None:
        self._end_processes()
        for folder in (self._work, self._home / "tmp"):
            archive.empty(folder)
        if saved is not None:
            archive.unpack(saved, self._work)
        elif self._spec.base is not None:
            shutil.copytree(self._spec.base, self._work, symlinks=True, dirs_exist_ok=True)

    def _end_processes(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()
        kill_marked(BOX_MARK, self.id)

    async def _call_session(
        self, language: Language, name: str, source: str, timeout_s: float | None
    ) -> ExecResult:
        key = language, name
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = self._new_session(language)
        wall_s = self.limits.wall_s if timeout_s is None else timeout_s
        async with session.turn:
            return await self._run(lambda: session.call(source, wall_s), session.cancel)

    def _new_session(self, language: Language) -> Session:
        mark = secrets.token_hex(16)
        command = [sys.executable, "-c", session_program()]
        variables = self._environment(mark, None)

        def host() -> subprocess.Popen[bytes]:
            return start(command, variables, self._work, self.limits, session=True)

        return Session(host, mark, language, self.limits.output_bytes)

    async def _run(
        self, work: Callable[[], Result], cancel: Callable[[], None] | None = None
    ) -> Result:
        with self._lease.call():
            return await self._backend.run(work, cancel)

    def _environment(self, mark: str, extra: Mapping[str, str] | None) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._work),
            "TMPDIR": str(self._home / "tmp"),
            "LANG": "C.UTF-8",
            **(extra or {}),
            CALL_MARK: mark,
            BOX_MARK: self.id,
        }

    def _folder(self, path: str) -> Path:
        inside = path.removeprefix(WORK).lstrip("/") if path.startswith(WORK) else path
        return self._work / inside
