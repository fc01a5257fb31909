"""One lease: a container, its sessions and its calls, one at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from agentgym.errors import UsageError
from agentgym.sandbox import (
    ExecResult,
    ExecStatus,
    FileInfo,
    NotSupported,
    SandboxDied,
    SandboxSpec,
    Snapshot,
)
from agentgym_tools.sandboxes import archive
from agentgym_tools.sandboxes.docker import files, scripts
from agentgym_tools.sandboxes.docker.container import Container
from agentgym_tools.sandboxes.docker.session import Session
from agentgym_tools.sandboxes.lease import Lease
from agentgym_tools.sandboxes.session_client import Language, run_once

if TYPE_CHECKING:
    from agentgym_tools.sandboxes.docker.backend import DockerBackend

Result = TypeVar("Result")


class DockerSandbox:
    """A container of its own. Calls run one after another, in the order they came.

    Implements :class:`agentgym.Sandbox`; see :class:`DockerBackend` for what it stops.
    """

    def __init__(
        self,
        backend: DockerBackend,
        spec: SandboxSpec,
        container: Container,
        episode_id: str,
        ttl_s: float,
    ) -> None:
        self.id = f"docker-{container.id[:12]}"
        self.limits = spec.limits
        self._backend = backend
        self._spec = spec
        self._container = container
        self._episode_id = episode_id
        self._ttl_s = ttl_s
        self._sessions: dict[tuple[Language, str], Session] = {}
        self._turn = asyncio.Lock()
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
        """Run a program to its end; see :meth:`agentgym.Sandbox.exec`.

        A program or folder that is not there gives exit code 127. A program that exits with
        128 + n looks as if signal n had ended it.
        """
        if isinstance(argv, str) or not argv or not all(isinstance(part, str) for part in argv):
            raise UsageError(f"argv must be a list of strings, got {argv!r}; try ['sh', '-c', ...]")
        if not all(map(_is_unicode, argv)):
            raise UsageError("argv goes through the engine as JSON, so it must be valid Unicode")
        folder = scripts.quoted_path(cwd)
        wall_s = self.limits.wall_s if timeout_s is None else timeout_s
        return await self._call(
            lambda stop: self._container.run(argv, stdin, env or {}, folder, wall_s, stop)
        )

    async def run_python(
        self,
        code: str,
        *,
        session: str | None = None,
        stdin: bytes = b"",
        timeout_s: float | None = None,
    ) -> ExecResult:
        """Run Python code with the image's python3.

        Raises:
            NotSupported: The image has none.
        """
        self._require("python3")
        if session is not None:
            return await self._call_session("python", session, code, timeout_s)
        argv, stdin = run_once("python3", code, stdin)
        return await self.exec(argv, stdin=stdin, timeout_s=timeout_s)

    async def run_bash(
        self, command: str, *, session: str, timeout_s: float | None = None
    ) -> ExecResult:
        """Run a command in the named shell; its background jobs live until the shell ends.

        Raises:
            NotSupported: The image lacks bash, or python3, which keeps the session.
        """
        self._require("bash")
        self._require("python3")
        return await self._call_session("bash", session, command, timeout_s)

    async def read_file(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """See :meth:`agentgym.Sandbox.read_file`."""
        return await self._call(lambda stop: files.read(self._container, path, max_bytes, stop))

    async def write_file(self, path: str, data: bytes) -> None:
        """See :meth:`agentgym.Sandbox.write_file`."""
        await self._call(lambda stop: files.write(self._container, path, data, stop))

    async def list_dir(self, path: str = ".") -> list[FileInfo]:
        """See :meth:`agentgym.Sandbox.list_dir`."""
        return await self._call(lambda stop: files.list_folder(self._container, path, stop))

    async def snapshot(self) -> Snapshot:
        """All files of /work. Raises NotSupported if the image has neither tar nor python3."""
        data = await self._call(lambda stop: files.pack(self._container, stop))
        base = self._spec.base
        return Snapshot("docker", None if base is None else str(base), data)

    async def reset(self, snapshot: Snapshot | None = None) -> None:
        """Go on in a new container, with the files of a snapshot or of the start."""
        if snapshot is not None and snapshot.backend != "docker":
            raise UsageError(
                f"a snapshot of {snapshot.backend!r} cannot be restored into 'docker'; "
                "take it with the same backend"
            )
        with self._lease.call():
            async with self._turn:
                fresh = await self._backend.take(self._spec, self._episode_id)
                old, self._container = self._container, fresh
                self._sessions.clear()
                await self._backend.discard(old)
                if self._lease.ended:  # closed meanwhile, by a task that saw the old one only
                    await self._backend.discard(fresh)
                    raise SandboxDied(f"sandbox {self.id} was closed during its reset")
        await self._fill(None if snapshot is None else snapshot.archive)

    async def fork(self) -> DockerSandbox:
        """Another sandbox with a copy of the files. It takes a lease of its own."""
        snapshot = await self.snapshot()
        twin = await self._backend.lease(self._spec, self._episode_id, 60.0, self._ttl_s)
        try:
            await twin.fill(snapshot.archive)
        except BaseException:
            await twin.aclose()
            raise
        return twin

    async def health(self) -> None:
        """Return if the container runs. Raises SandboxDied otherwise."""
        with self._lease.call():
            if not await self._backend.run(self._container.alive):
                raise SandboxDied(f"container {self._container.id[:12]} does not run any more")

    async def aclose(self) -> None:
        """Remove the container. May be called twice; raises nothing."""
        if self._lease.end("it was closed"):
            await self._end()

    async def fill(self, saved: bytes | None = None) -> None:
        """Put the files of an archive, or else of the base, into an empty /work."""
        await self._fill(saved)

    async def _fill(self, saved: bytes | None) -> None:
        base = self._spec.base
        if saved is None and base is None:
            return

        def work(stop: threading.Event) -> None:
            data = archive.pack(base) if saved is None and base is not None else saved or b""
            files.unpack(self._container, data, stop)

        await self._call(work)

    async def _end(self) -> None:
        await self._backend.give_back(self, self._container)

    async def _call_session(
        self, language: Language, name: str, source: str, timeout_s: float | None
    ) -> ExecResult:
        wall_s = self.limits.wall_s if timeout_s is None else timeout_s

        def work(stop: threading.Event) -> ExecResult:
            key = language, name
            if key not in self._sessions:
                self._sessions[key] = self._backend.session(self._container, language)
            result = self._sessions[key].call(source, wall_s, stop)
            return result if result.ok or stop.is_set() else self._explained(result)

        return await self._call(work)

    def _explained(self, result: ExecResult) -> ExecResult:
        """A failure in a session, with the status of its cause."""
        if result.status not in (ExecStatus.NONZERO, ExecStatus.SIGNAL, ExecStatus.KILLED):
            return result
        reason = self._container.post_mortem()
        return result if reason is None else replace(result, status=reason)

    async def _call(self, work: Callable[[threading.Event], Result]) -> Result:
        stop = threading.Event()
        with self._lease.call():
            async with self._turn:
                return await self._backend.call(lambda: work(stop), stop.set)

    def _require(self, program: str) -> None:
        if not self._container.inside.has(program):
            raise NotSupported(
                f"image {self._container.image!r} has no {program}; add it to the image, "
                "or run programs with exec"
            )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
