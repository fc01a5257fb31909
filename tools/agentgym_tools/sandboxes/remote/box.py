"""A sandbox on a server, as its user sees it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from agentgym.sandbox import ExecResult, FileInfo, SandboxDied, Snapshot
from agentgym_tools.sandboxes.remote.calls import (
    Call,
    CallReply,
    CallRequest,
    Exec,
    Fork,
    Health,
    ListDir,
    ReadFile,
    Reset,
    RunBash,
    RunPython,
    TakeSnapshot,
    WriteFile,
)
from agentgym_tools.sandboxes.remote.client import ServerLost
from agentgym_tools.sandboxes.remote.deadline import look_away
from agentgym_tools.sandboxes.remote.messages import LeaseReply, SnapshotMessage
from agentgym_tools.sandboxes.remote.options import GRACE_S, QUEUE_S
from agentgym_tools.sandboxes.remote.perform import deadline_s
from agentgym_tools.sandboxes.remote.wire_errors import Code, Refused, exception

if TYPE_CHECKING:
    from agentgym_tools.sandboxes.remote.pool import ServerPool

Value = TypeVar("Value")


class RemoteSandbox:
    """One lease. Every method may raise SandboxDied: a lost server is never an empty result."""

    def __init__(self, pool: ServerPool, lease: LeaseReply) -> None:
        self.server = pool.url
        """Address of the server that runs it."""
        self.id = f"{lease.sandbox_id}@{pool.url}"
        self.limits = lease.limits.limits()
        self._pool = pool
        self._lease = lease
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

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
        variables = None if env is None else dict(env)
        return await self._run(
            Exec.make(argv=list(argv), stdin=stdin, env=variables, cwd=cwd, timeout_s=timeout_s)
        )

    async def run_python(
        self,
        code: str,
        *,
        session: str | None = None,
        stdin: bytes = b"",
        timeout_s: float | None = None,
    ) -> ExecResult:
        """Run Python code: in a fresh interpreter, or in the named one."""
        return await self._run(
            RunPython.make(code=code, session=session, stdin=stdin, timeout_s=timeout_s)
        )

    async def run_bash(
        self, command: str, *, session: str, timeout_s: float | None = None
    ) -> ExecResult:
        """Run a command in the named shell."""
        return await self._run(RunBash.make(command=command, session=session, timeout_s=timeout_s))

    async def read_file(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """The content of a regular file. Raises OSError."""
        reply = await self._call(ReadFile.make(path=path, max_bytes=max_bytes))
        return self._present(reply.data)

    async def write_file(self, path: str, data: bytes) -> None:
        """Write a file whole or not at all. Raises OSError."""
        await self._call(WriteFile.make(path=path, data=bytes(data)))

    async def list_dir(self, path: str = ".") -> list[FileInfo]:
        """The entries of a folder, sorted by name. Raises OSError."""
        reply = await self._call(ListDir.make(path=path))
        return [FileInfo(**dict(entry)) for entry in self._present(reply.entries)]

    async def snapshot(self) -> Snapshot:
        """Keep the files of /work. Raises NotSupported where that cannot be done."""
        return self._present((await self._call(TakeSnapshot())).snapshot).snapshot()

    async def reset(self, snapshot: Snapshot | None = None) -> None:
        """End everything that runs, and go back to a snapshot, or to the start."""
        files = None if snapshot is None else SnapshotMessage.of(snapshot)
        await self._call(Reset(snapshot=files))

    async def fork(self) -> RemoteSandbox:
        """Another sandbox on the same server, with a copy of the files of this one.

        Raises:
            SandboxUnavailable: The server has no place for one more.
        """
        return self._pool.adopt(self._present((await self._call(Fork())).forked))

    async def health(self) -> None:
        """Return if the sandbox would answer a call now."""
        await self._call(Health())

    async def aclose(self) -> None:
        """Give the sandbox back. May be called twice; raises nothing."""
        if self._over.done():
            return
        self.end("the sandbox was given back")
        await self._pool.release(self._lease.lease)

    def end(self, why: str) -> None:
        """From now on, and for the calls that wait, this sandbox is gone."""
        if not self._over.done():
            self._over.set_result(why)
            self._pool.drop(self._lease.lease)

    def died(self, why: str) -> SandboxDied:
        """Note that the sandbox is gone; the error to raise."""
        if not self._over.done():
            self._pool.counts.died += 1
        self.end(why)
        return SandboxDied(f"sandbox {self.id}: {why}")

    async def _run(self, call: Exec | RunPython | RunBash) -> ExecResult:
        return self._present((await self._call(call)).result).result()

    def _present(self, value: Value | None) -> Value:
        if value is None:
            raise self.died("the answer lacks what was asked for")
        return value

    async def _call(self, call: Call) -> CallReply:
        if self._over.done():
            raise SandboxDied(f"sandbox {self.id}: {self._over.result()}")
        request = CallRequest(lease=self._lease.lease, key=uuid4().hex, call=call)
        limit = QUEUE_S + deadline_s(call, self.limits) + GRACE_S
        counts = self._pool.counts
        counts.calls += 1
        counts.running += 1
        try:
            return await self._answer(request, limit)
        except ServerLost as error:
            raise self.died(str(error)) from error
        except Refused as error:
            raise self._refusal(error, call) from error
        finally:
            counts.running -= 1

    async def _answer(self, request: CallRequest, limit_s: float) -> CallReply:
        client = self._pool.client
        asking = asyncio.create_task(
            client.ask(
                "call",
                request,
                CallReply,
                total_s=limit_s,
                max_bytes=self._lease.max_message_bytes,
            )
        )
        asking.add_done_callback(look_away)
        try:
            either: set[asyncio.Future[Any]] = {asking, self._over}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            asking.cancel()
            self._pool.cancel_call(self._lease.lease, request.key)
            raise
        if asking.done():
            return asking.result()
        asking.cancel()
        raise SandboxDied(f"sandbox {self.id}: {self._over.result()}")

    def _refusal(self, refused: Refused, call: Call) -> Exception:
        error = refused.error
        if error.code is Code.TOO_LARGE and isinstance(call, ReadFile | WriteFile):
            return OSError(errno.EFBIG, error.message, call.path)
        raised = exception(error, self.server)
        if isinstance(raised, SandboxDied):
            self._pool.release_soon(self._lease.lease)  # it may live on there, and nobody uses it
            return self.died(error.message)
        return raised
