"""A session: one interpreter or shell that keeps its state from call to call."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from dataclasses import replace
from typing import Literal

from agentgym.sandbox import ExecResult, ExecStatus, Limits
from agentgym_tools.sandboxes.bash_loop import decode_reports, encode_command
from agentgym_tools.sandboxes.capture import Capture
from agentgym_tools.sandboxes.jail.calls import name_kill, with_output
from agentgym_tools.sandboxes.jail.settings import CALL, REPORT
from agentgym_tools.sandboxes.jail.slot import Outcome, Runner, Slot, settle

Language = Literal["python", "bash"]
GRACE_S = 0.2
"""Seconds that a call gets to obey an interrupt before its session is killed."""
_INTERRUPTED = 130
_LONGEST_ANSWER = 64


class Session:
    """One session of a sandbox. Made by :meth:`start`."""

    def __init__(
        self,
        slot: Slot,
        runner: Runner,
        requests: socket.socket,
        capture: Capture,
        language: Language,
        limits: Limits,
    ) -> None:
        self._slot = slot
        self._runner = runner
        self._requests = requests
        self._capture = capture
        self._language = language
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[Outcome] | None = None
        self._answer = b""
        self.over = False
        self._call = 0
        capture.on_flood = self._flooded
        capture.pause()
        self._loop.add_reader(requests, self._answered)

    @classmethod
    async def start(cls, slot: Slot, language: Language, limits: Limits) -> Session:
        """Start the interpreter or shell. Raises SandboxDied."""
        capture = Capture(limits.output_bytes)
        requests, theirs = socket.socketpair()
        requests.setblocking(False)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fds = [null, *capture.write_ends, theirs.fileno()]
            runner = await slot.start_runner(limits, language, fds)
        except BaseException:
            requests.close()
            capture.close()
            raise
        finally:
            theirs.close()
            os.close(null)
        capture.sent()
        return cls(slot, runner, requests, capture, language, limits)

    async def run(self, source: str, wall_s: float) -> ExecResult:
        """Run one cell or command.

        Raises:
            SandboxDied: The session's runner died, and not of the code's own doing.
        """
        self._call += 1
        request = self._encode(source)
        self._capture.resume()
        self._slot.ran_out_of_memory()  # what background jobs did before is not this call's
        self._ending = ending = self._loop.create_future()
        started = time.perf_counter()
        sending = None
        try:
            sending = self._send(request)
            outcome = await self._runner.outcome(wall_s, ending)
            if outcome is ExecStatus.TIMEOUT:
                outcome = await self._interrupt()
            result = await self._result(outcome)
        except BaseException:
            self.over = True
            self._runner.kill()
            raise
        finally:
            self._ending = None
            if sending is not None:
                sending.cancel()
            self._capture.pause()
        self._capture.drain()
        return with_output(replace(result, wall_s=time.perf_counter() - started), self._capture)

    def _send(self, request: bytes) -> asyncio.Task[None] | None:
        """Send at once what the socket takes; the rest goes while the call is awaited."""
        try:
            sent = self._requests.send(request)
        except (BlockingIOError, BrokenPipeError):
            sent = 0  # a broken pipe: its runner reports the end
        if sent == len(request):
            return None
        return self._loop.create_task(self._loop.sock_sendall(self._requests, request[sent:]))

    def _encode(self, source: str) -> bytes:
        if self._language == "bash":
            return encode_command(source)
        data = source.encode("utf-8", "surrogatepass")
        return CALL.pack(self._call, len(data)) + data

    async def _interrupt(self) -> Outcome:
        """Give the call a moment to end by itself, so that its state survives."""
        ending: asyncio.Future[Outcome] = self._loop.create_future()
        self._ending = ending
        self._runner.interrupt()
        outcome = await self._runner.outcome(GRACE_S, ending)
        if isinstance(outcome, dict) and "code" in outcome:
            return {"code": _INTERRUPTED, "interrupted": True}
        return ExecStatus.TIMEOUT

    async def _result(self, outcome: Outcome) -> ExecResult:
        if isinstance(outcome, dict) and "code" in outcome:
            code = outcome["code"]
            if outcome.get("interrupted"):
                return ExecResult(ExecStatus.TIMEOUT, None, int(signal.SIGINT), state_kept=True)
            status = ExecStatus.NONZERO if code else ExecStatus.OK
            if code and self._slot.ran_out_of_memory():
                status = ExecStatus.OOM
            elif code and self._slot.disk_is_full():
                status = ExecStatus.DISK_FULL
            return ExecResult(status, code, state_kept=True)
        if isinstance(outcome, dict):  # it ended: `exit`, a crash, or the kernel's hand
            code = os.waitstatus_to_exitcode(outcome["status"])
            number = -code if code < 0 else None
            status = ExecStatus.SIGNAL if number else ExecStatus.NONZERO
            status = ExecStatus.OK if code == 0 else status
            status = ExecStatus.OOM if self._slot.ran_out_of_memory() else status
            await self._end()
            return ExecResult(status, None if number else code, number, state_kept=False)
        died = not self._runner.alive
        await self._end()
        status = name_kill(self._slot, outcome, died=died)
        return ExecResult(status, None, int(signal.SIGKILL), state_kept=False)

    def _answered(self) -> None:
        try:
            data = self._requests.recv(_LONGEST_ANSWER)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._loop.remove_reader(self._requests)
            return  # its runner reports how it ended
        for call, code in self._decode(data):
            # Others are late, or the code's own invention.
            if call == self._call and self._ending is not None:
                settle(self._ending, {"code": code & 0xFF})

    def _decode(self, data: bytes) -> list[tuple[int, int]]:
        """The calls that have ended, and their exit codes."""
        self._answer += data
        if self._language == "bash":
            reports, rest = decode_reports(self._answer)
        else:
            whole = len(self._answer) - len(self._answer) % REPORT.size
            reports, rest = list(REPORT.iter_unpack(self._answer[:whole])), self._answer[whole:]
        self._answer = rest[-_LONGEST_ANSWER:]
        return reports

    def _flooded(self) -> None:
        if self._ending is not None:
            settle(self._ending, ExecStatus.OUTPUT_LIMIT)

    def stop(self, why: ExecStatus) -> None:
        """End the session from outside; a call in it ends with this status."""
        self.over = True
        if self._ending is not None:
            settle(self._ending, why)
        else:
            self._runner.kill()

    async def _end(self) -> None:
        self.over = True
        await self._slot.end(self._runner)

    def close(self) -> None:
        """Kill it and close the descriptors. May be called twice."""
        self.over = True
        self._runner.kill()
        self._runner.close()
        if self._requests.fileno() >= 0:
            self._loop.remove_reader(self._requests)
            self._requests.close()
        self._capture.close()
