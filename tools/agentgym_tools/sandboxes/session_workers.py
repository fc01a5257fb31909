"""The process that runs a session's code: a Python interpreter or a bash, which lives on.

Standard library only, Python 3.8 or later: part of :mod:`agentgym_tools.sandboxes.session_host`.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from agentgym_tools.sandboxes.bash_loop import BASH_LOOP, decode_reports, encode_command
from agentgym_tools.sandboxes.python_cell import INTERRUPTED, main_namespace, run_cell


class Worker:
    """One worker process with its pipes.

    Attributes:
        stdout: Descriptor to read what it writes, as ``stderr``.
        channel: Socket to it, readable when a call has ended.
    """

    def __init__(self, language: str) -> None:
        self._python = language == "python"
        self._channel, remote = socket.socketpair()
        self.channel = self._channel.fileno()
        self.stdout, out = os.pipe()
        self.stderr, err = os.pipe()
        self._ended: int | None = None
        self._calls = 0
        self._received = b""
        self._channel.setblocking(False)
        self.pid = os.fork()
        if self.pid == 0:
            _become_worker(remote.fileno(), out, err, _run_python if self._python else _run_bash)
        remote.close()
        os.close(out)
        os.close(err)

    def send(self, source: str) -> None:
        """Start a call. A worker that is gone shows in :meth:`poll`."""
        self._calls += 1
        body = source.encode("utf-8", "surrogatepass")
        data = struct.pack(">I", len(body)) + body if self._python else encode_command(source)
        self._channel.setblocking(True)
        try:
            self._channel.sendall(data)
        except OSError:
            return
        finally:
            self._channel.setblocking(False)

    def take_exit_code(self) -> int | None:
        """The exit code of the call, once it has ended."""
        try:
            self._received += self._channel.recv(4096)
        except OSError:
            return None
        reports, self._received = decode_reports(self._received)
        return next((status for call, status in reports if call == self._calls), None)

    def poll(self) -> int | None:
        """The wait status, if the worker has ended."""
        if self._ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._ended = status
        _reap_orphans(self.pid)
        return self._ended

    def interrupt(self) -> None:
        """Send SIGINT to the worker and what it runs in the foreground."""
        try:
            os.killpg(self.pid, signal.SIGINT)
        except OSError:
            return  # it ended by itself

    def close(self) -> None:
        """Reap the worker, which must have been killed, and close the pipes."""
        if self._ended is None:
            os.waitpid(self.pid, 0)
        _reap_orphans(0)
        self._channel.close()
        os.close(self.stdout)
        os.close(self.stderr)


def _reap_orphans(worker: int) -> None:
    """Reap the ended processes that fell to this one, but leave the worker's status alone."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == worker:
            return
        os.waitpid(ended.si_pid, 0)


def _become_worker(channel: int, out: int, err: int, run: Callable[[int], Any]) -> None:
    """In the new process: keep nothing of the host's but the channel, and never return."""
    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.dup2(channel, 3, inheritable=False)
        os.set_inheritable(3, False)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        run(3)
    finally:
        os._exit(1)


def _run_bash(channel: int) -> None:
    os.set_inheritable(channel, True)
    os.dup2(channel, 4)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp("bash", ["bash", "--noprofile", "--norc", "-c", BASH_LOOP])


def _run_python(channel: int) -> None:
    """Serve calls until the channel ends. Between calls SIGINT is ignored: it came too late."""
    worker = os.getpid()
    namespace = main_namespace()
    sys.argv[:] = [""]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # the host's own
    handler: Any = signal.default_int_handler
    for call in itertools.count(1):
        source = _read_source(channel)
        if source is None:
            os._exit(0)
        try:
            signal.signal(signal.SIGINT, handler)  # the session may have set one of its own
            exit_code = run_cell(source, namespace, echo=True)
        except KeyboardInterrupt:
            exit_code = INTERRUPTED
        # None stands for a handler that was not set from Python, and cannot be put back.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN) or signal.default_int_handler
        if os.getpid() != worker:
            os._exit(exit_code)  # a child that the cell forked and that fell off its end
        os.write(channel, b"%d %d\0" % (call, exit_code))


def _read_source(channel: int) -> str | None:
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack(">I", data[:4])[0]:
        chunk = os.read(channel, 65536)
        if not chunk:
            return None
        data += chunk
    return data[4:].decode("utf-8", "surrogatepass")
