"""One stateful session: a session host, and the calls to it."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import time
from collections.abc import Callable

from agentgym.sandbox import ExecResult, ExecStatus
from agentgym_tools.sandboxes.process.launch import kill_tree
from agentgym_tools.sandboxes.session_client import (
    HEADER_BYTES,
    OUTER_GRACE_S,
    Language,
    body_size,
    call_message,
    decode_result,
    setup_message,
)

_POLL_S = 0.05


class Session:
    """A session host and its process. Methods run in a thread; :meth:`cancel` in another.

    Args:
        start: Starts the host with three pipes.
        mark: What its environment is marked with.
        language: What the session speaks.
        output_bytes: Kept of each stream of a call.
    """

    def __init__(
        self,
        start: Callable[[], subprocess.Popen[bytes]],
        mark: str,
        language: Language,
        output_bytes: int,
    ) -> None:
        self._start = start
        self._mark = mark
        self._setup = setup_message(language, output_bytes)
        self.turn = asyncio.Lock()
        """Held by the caller: one call at a time."""
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = False
        self._began = 0.0
        self._deadline = 0.0

    def call(self, source: str, timeout_s: float) -> ExecResult:
        """Run source in the session, starting it if need be."""
        self._began = time.monotonic()
        self._deadline = self._began + timeout_s + OUTER_GRACE_S
        self._cancelled = False
        try:
            if self._process is None:
                self._process = self._start()
                self._exchange(self._process, self._setup)
            return decode_result(self._exchange(self._process, call_message(source, timeout_s)))
        except TimeoutError:
            return self._lost(ExecStatus.TIMEOUT)
        except (OSError, EOFError, ValueError):
            # Only the code in the session can have ended its host, or spoken in its place.
            return self._lost(ExecStatus.KILLED)

    def cancel(self) -> None:
        """Make :meth:`call` end the session and return soon."""
        self._cancelled = True

    def close(self) -> None:
        """End the session and everything in it. May be called twice."""
        process, self._process = self._process, None
        if process is not None:
            kill_tree(process.pid, self._mark)
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _lost(self, status: ExecStatus) -> ExecResult:
        self.close()
        return ExecResult(status, wall_s=time.monotonic() - self._began, state_kept=False)

    def _exchange(self, process: subprocess.Popen[bytes], message: bytes) -> bytes:
        self._send(process, message)
        header = self._receive(process, HEADER_BYTES)
        return self._receive(process, body_size(header))

    def _send(self, process: subprocess.Popen[bytes], message: bytes) -> None:
        assert process.stdin
        pipe = process.stdin.fileno()
        os.set_blocking(pipe, False)
        data = memoryview(message)
        while data:
            self._check()
            if _ready(pipe, select.POLLOUT):
                data = data[os.write(pipe, data[: select.PIPE_BUF]) :]

    def _receive(self, process: subprocess.Popen[bytes], size: int) -> bytes:
        assert process.stdout
        data = bytearray()
        while len(data) < size:
            self._check()
            if _ready(process.stdout.fileno(), select.POLLIN):
                chunk = os.read(process.stdout.fileno(), size - len(data))
                if not chunk:
                    raise EOFError
                data += chunk
        return bytes(data)

    def _check(self) -> None:
        if self._cancelled:
            raise EOFError
        if time.monotonic() > self._deadline:
            raise TimeoutError


def _ready(descriptor: int, event: int) -> bool:
    """Wait a moment for a pipe. With poll, since a trainer may have too many for select."""
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(_POLL_S * 1000))
