"""One program from start to end: its streams, its limits, its time-out."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable

from agentgym.sandbox import ExecResult, ExecStatus
from agentgym_tools.sandboxes.output import HeadTail
from agentgym_tools.sandboxes.process.launch import kill_tree

_DRAIN_S = 0.2
"""Seconds after the end in which the pipes must reach theirs; a survivor may hold them open."""
_POLL_S = 0.01
_PIECE = 1 << 16


class Call:
    """Runs in a thread; :meth:`cancel` may be called from another.

    Args:
        start: Starts the program with three pipes.
        mark: What its environment is marked with.
        stdin: Given to the program; what it does not read is dropped.
        output_bytes: Kept of each stream.
        timeout_s: Seconds until everything is killed.
    """

    def __init__(
        self,
        start: Callable[[], subprocess.Popen[bytes]],
        mark: str,
        stdin: bytes,
        output_bytes: int,
        timeout_s: float,
    ) -> None:
        self._start = start
        self._mark = mark
        self._stdin = memoryview(stdin)
        self._out = HeadTail(output_bytes)
        self._err = HeadTail(output_bytes)
        self._timeout_s = timeout_s
        self._cancelled = False

    def cancel(self) -> None:
        """Make :meth:`run` kill everything and return soon."""
        self._cancelled = True

    def run(self) -> ExecResult:
        """Run the program to its end."""
        began = time.monotonic()
        process = self._start()
        try:
            with selectors.DefaultSelector() as selector:
                self._watch(process, selector)
                killed_for = self._wait(process, selector, began + self._timeout_s)
                kill_tree(process.pid, self._mark)
                self._drain(selector)
        finally:
            kill_tree(process.pid, self._mark)
            _, wait_status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(wait_status)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        code = process.returncode
        status = ExecStatus.NONZERO if code > 0 else ExecStatus.SIGNAL if code else ExecStatus.OK
        return ExecResult(
            status=killed_for or status,
            exit_code=code if code >= 0 and not killed_for else None,
            signal=-code if code < 0 and not killed_for else None,
            stdout=self._out.data(),
            stderr=self._err.data(),
            stdout_total=self._out.total,
            stderr_total=self._err.total,
            wall_s=time.monotonic() - began,
            cpu_s=usage.ru_utime + usage.ru_stime,
            max_rss_kb=usage.ru_maxrss,
        )

    def _watch(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for stream, kept in ((process.stdout, self._out), (process.stderr, self._err)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ, kept)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE, process.stdin)

    def _wait(
        self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector, deadline: float
    ) -> ExecStatus | None:
        """Serve the pipes until the program has ended; the reason if it must be killed."""
        while True:
            self._serve(selector, min(_POLL_S, max(0.0, deadline - time.monotonic())))
            if self._out.overflown or self._err.overflown:
                return ExecStatus.OUTPUT_LIMIT
            # It stays a zombie until it is reaped, so its number cannot become another's.
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return None
            if self._cancelled:
                return ExecStatus.KILLED
            if time.monotonic() >= deadline:
                return ExecStatus.TIMEOUT

    def _drain(self, selector: selectors.BaseSelector) -> None:
        deadline = time.monotonic() + _DRAIN_S
        while self._reading(selector) and time.monotonic() < deadline:
            self._serve(selector, _POLL_S)

    @staticmethod
    def _reading(selector: selectors.BaseSelector) -> bool:
        return any(isinstance(key.data, HeadTail) for key in selector.get_map().values())

    def _serve(self, selector: selectors.BaseSelector, wait_s: float) -> None:
        for key, _ in selector.select(wait_s):
            try:
                if isinstance(key.data, HeadTail):
                    chunk = os.read(key.fd, _PIECE)
                    key.data.feed(chunk)
                    done = not chunk
                else:
                    self._stdin = self._stdin[os.write(key.fd, self._stdin[:_PIECE]) :]
                    done = not self._stdin
            except BlockingIOError:
                continue
            except OSError:
                done = True  # the program closed its stdin
            if done:
                selector.unregister(key.fileobj)
                if not isinstance(key.data, HeadTail):
                    key.data.close()
