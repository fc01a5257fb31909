"""One leased sandbox of the jail."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError
from agentgym.sandbox import (
    ExecResult,
    ExecStatus,
    FileInfo,
    Limits,
    Sandbox,
    SandboxDied,
    SandboxSpec,
    Snapshot,
)
from agentgym_tools.sandboxes.jail.calls import Program, run_program
from agentgym_tools.sandboxes.jail.session import Language, Session
from agentgym_tools.sandboxes.jail.slot import MOST_SESSIONS, Runner, Slot
from agentgym_tools.sandboxes.jail.watchdog import watch

if TYPE_CHECKING:
    from agentgym_tools.sandboxes.jail.backend import JailBackend

_OUTER_BOUND_S = 5.0
"""Seconds over the call's own limit after which a call that does not end kills its sandbox."""


class JailSandbox:
    """A sandbox of the jail; see :class:`agentgym.Sandbox`."""

    def __init__(
        self, backend: JailBackend, slot: Slot, runner: Runner | None, spec: SandboxSpec, name: str
    ) -> None:
        self.id = name
        self.limits: Limits = spec.limits
        self.spec = spec
        self._backend = backend
        self._slot: Slot | None = slot
        self._runner = runner
        self._sessions: dict[tuple[Language, str], Session] = {}
        self._turn = asyncio.Lock()
        self._why_gone = "the sandbox was closed"
        self.calls = 0
        self.busy = 0
        self._running: Runner | None = None
        self._watchdog: asyncio.Task[None] | None = None
        if slot.group is None:
            self._watchdog = asyncio.create_task(watch(slot.pid, spec.limits, self._exceeded))

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = ".",
        timeout_s: float | None = None,
    ) -> ExecResult:
        if isinstance(argv, str) or not argv or not all(isinstance(one, str) for one in argv):
            raise UsageError(f"argv must be a list of strings like ['ls', '-l'], got {argv!r}")
        if any("\0" in one for one in argv):
            raise UsageError("an argument cannot hold a null character")
        for name, value in (env or {}).items():
            if not (isinstance(name, str) and isinstance(value, str)) or not name or "=" in name:
                raise UsageError(f"env must map names to strings, got {name!r}: {value!r}")
        if any("\0" in text for pair in (env or {}).items() for text in pair) or "\0" in cwd:
            raise UsageError("env and cwd cannot hold a null character")
        program = Program(argv=argv, env=env, cwd=cwd, stdin=stdin)
        return await self._run(program, timeout_s)

    async def run_python(
        self,
        code: str,
        *,
        session: str | None = None,
        stdin: bytes = b"",
        timeout_s: float | None = None,
    ) -> ExecResult:
        if session is not None:
            return await self._run_in_session("python", session, code, timeout_s)
        return await self._run(Program(code=code, stdin=stdin), timeout_s)

    async def run_bash(
        self, command: str, *, session: str, timeout_s: float | None = None
    ) -> ExecResult:
        return await self._run_in_session("bash", session, command, timeout_s)

    async def read_file(self, path: str, *, max_bytes: int | None = None) -> bytes:
        return self._alive().files.read(path, max_bytes)

    async def write_file(self, path: str, data: bytes) -> None:
        self._alive().files.write(path, data)

    async def list_dir(self, path: str = ".") -> list[FileInfo]:
        return self._alive().files.list(path)

    async def snapshot(self) -> Snapshot:
        base = str(self.spec.base) if self.spec.base else None
        async with self._turn:
            slot = self._alive()
            if slot.packs_alone:
                self._end_sessions()
                self._drop_runner()
            return Snapshot("jail", base, await slot.pack(self.limits.disk_mb))

    async def reset(self, snapshot: Snapshot | None = None) -> None:
        base = str(self.spec.base) if self.spec.base else None
        if snapshot is not None and (snapshot.backend, snapshot.base) != ("jail", base):
            raise UsageError(
                f"this snapshot is of backend {snapshot.backend!r} with base {snapshot.base!r}; "
                f"here they are 'jail' and {base!r}"
            )
        async with self._turn:
            slot = self._alive()
            self._end_sessions()
            self._drop_runner()
            try:
                await slot.open(self.limits, self.spec.base)
                if snapshot is not None:
                    await slot.unpack(snapshot.archive)
            except BaseException as error:
                await self.end(f"going back failed: {error}")  # half of the files are no sandbox
                if isinstance(error, OSError):
                    raise SandboxDied(self._why_gone) from None
                raise

    async def fork(self) -> Sandbox:
        snapshot = await self.snapshot()
        other = await self._backend.acquire(self.spec)
        try:
            await other.reset(snapshot)
        except BaseException:
            await other.aclose()
            raise
        return other

    async def health(self) -> None:
        await self._alive().ping()

    async def aclose(self) -> None:
        await self.end("the sandbox was closed")

    async def end(self, why: str) -> None:
        """Give the slot back; every later call raises SandboxDied with this reason."""
        slot, self._slot = self._slot, None
        if slot is None:
            return
        self._why_gone = why
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._running is not None:
            self._running.close()
        self._end_sessions()
        self._drop_runner()
        await self._backend.release(self, slot)

    def _alive(self) -> Slot:
        if self._slot is None:
            raise SandboxDied(self._why_gone)
        self._backend.touch(self)
        return self._slot

    async def _run(self, program: Program, timeout_s: float | None) -> ExecResult:
        """One call in the sandbox. Calls without a session take turns."""
        wall_s = self._wall(timeout_s)
        self._alive()
        async with self._turn, self._backend.running():
            slot = self._alive()
            if self._runner is not None and not self._runner.alive:
                self._drop_runner()
            if self._runner is None:
                self._runner = await slot.start_runner(self.limits)
            runner, self._runner = self._runner, None
            self._running = runner
            call = run_program(slot, runner, program, self.limits, wall_s)
            try:
                result = await self._bounded(call, wall_s)
            finally:
                self._running = None
                if runner.alive and self._slot is not None:
                    self._runner = runner
                else:
                    runner.close()
            return result

    async def _run_in_session(
        self, language: Language, name: str, source: str, timeout_s: float | None
    ) -> ExecResult:
        wall_s = self._wall(timeout_s)
        self._alive()
        async with self._turn, self._backend.running():
            slot = self._alive()
            session = self._sessions.get((language, name))
            if session is not None and session.over:  # ended between two calls
                session.close()
                session = None
            if session is None:
                if len(self._sessions) >= MOST_SESSIONS:
                    raise UsageError(f"a sandbox has at most {MOST_SESSIONS} sessions at once")
                session = await Session.start(slot, language, self.limits)
                self._sessions[language, name] = session
            try:
                return await self._bounded(session.run(source, wall_s), wall_s)
            finally:
                if session.over:
                    session.close()
                    self._sessions.pop((language, name), None)

    async def _bounded(self, call: Coroutine[Any, Any, ExecResult], wall_s: float) -> ExecResult:
        """A call that outlasts its own limit means that our side is stuck."""
        self.busy += 1
        try:
            async with asyncio.timeout(wall_s + _OUTER_BOUND_S):
                result = await call
        except TimeoutError:
            await self.end("a call did not end when its time was over")
            raise SandboxDied(self._why_gone) from None
        except (SandboxDied, OSError) as error:
            if self._slot is None:  # it was closed under the call
                raise SandboxDied(self._why_gone) from None
            if isinstance(error, OSError):
                raise SandboxDied(f"a call could not be made: {error}") from None
            raise
        finally:
            self.busy -= 1
        self.calls += 1
        return result

    def _exceeded(self, why: ExecStatus) -> None:
        """Too much is used, by whichever of our processes: end all that runs."""
        if self._running is not None:
            self._running.stop(why)
        for session in self._sessions.values():
            session.stop(why)

    def _wall(self, timeout_s: float | None) -> float:
        if timeout_s is None:
            return self.limits.wall_s
        if not timeout_s > 0:
            raise UsageError(f"timeout_s must be above 0, got {timeout_s!r}")
        return min(timeout_s, self.limits.wall_s)

    def _end_sessions(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _drop_runner(self) -> None:
        if self._runner is not None:
            self._runner.kill()
            self._runner.close()
            self._runner = None
