"""A program that keeps one stateful session in a box, spoken to over its stdin and stdout.

It is for backends that only have a process's two streams: ``process`` and ``docker``. It runs as
``python3 -c "$(bundle)"``, see :mod:`agentgym_tools.sandboxes.session_client`, so it uses the
standard library only, Python 3.8 or later.

A message is four bytes of length (big-endian) and as much JSON. The first one that comes in is
:class:`Setup`, answered with the host's process number before any of the session's code has run;
each further one is a call, answered by the fields of :class:`agentgym.ExecResult`, bytes in base64.

The host lives in one process, the session's code in another, its worker. The host keeps the head
and tail of what the worker writes, ends calls at their time-out (SIGINT first: a call that yields
to it keeps its state) and kills all that the worker started when it must. The worker runs as the
same user and could kill its host: that ends the session, and the backend outside must notice.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import select
import signal
import struct
import sys
import time
from typing import Any, NamedTuple

from agentgym_tools.sandboxes.output import HeadTail
from agentgym_tools.sandboxes.process_tree import descendants, kill_all
from agentgym_tools.sandboxes.session_workers import Worker

GRACE_S = 0.2
"""Seconds that a call has to yield to SIGINT before it is killed."""
_POLL_S = 0.02
_SET_CHILD_SUBREAPER = 36


class Setup(NamedTuple):
    """What a session is."""

    language: str
    """``python`` or ``bash``."""
    output_bytes: int
    """Bytes kept of each stream."""


class Host:
    """One session: starts its worker when it is needed, and passes calls to it."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._worker: Worker | None = None

    def call(self, source: str, timeout_s: float) -> dict[str, Any]:
        """Run ``source`` in the session and describe how it ended."""
        if self._worker is None:
            self._worker = Worker(self._setup.language)
        return _Call(self._worker, self._setup.output_bytes, timeout_s).run(source)

    def drop_lost_worker(self, reply: dict[str, Any]) -> None:
        """Kill what is left of a session whose state is lost."""
        if not reply["state_kept"]:
            self.close()

    def close(self) -> None:
        """Kill the worker and everything that it started."""
        worker, self._worker = self._worker, None
        if worker is not None:
            kill_all(lambda: descendants(os.getpid()))
            worker.close()


class _Call:
    """One call in a worker, from its source to its reply."""

    def __init__(self, worker: Worker, output_bytes: int, timeout_s: float) -> None:
        self._worker = worker
        self._streams = {
            worker.stdout: HeadTail(output_bytes),
            worker.stderr: HeadTail(output_bytes),
        }
        self._began = time.monotonic()
        self._deadline = self._began + timeout_s
        self._interrupted = False
        self._open = {worker.stdout, worker.stderr, worker.channel}

    def run(self, source: str) -> dict[str, Any]:
        worker = self._worker
        worker.send(source)
        while True:
            self._read(self._wait_s())
            if self._overflown():
                return self._reply("output_limit")
            exit_code = worker.take_exit_code()
            if exit_code is not None:
                status = "timeout" if self._interrupted else "nonzero" if exit_code else "ok"
                code = None if self._interrupted else exit_code
                return self._reply(status, exit_code=code, state_kept=True)
            ended = worker.poll()
            if ended is not None:
                return self._died(ended)
            if time.monotonic() >= self._deadline:
                if self._interrupted:
                    return self._reply("timeout")
                self._interrupted = True
                self._deadline = time.monotonic() + GRACE_S
                worker.interrupt()

    def _wait_s(self) -> float:
        # Short, since the worker's end shows in no descriptor while a child of it holds them.
        return min(_POLL_S, max(0.0, self._deadline - time.monotonic()))

    def _read(self, wait_s: float) -> bool:
        """Take what has been written; whether there was any."""
        ready = select.select(list(self._open), [], [], wait_s)[0]
        took = False
        for descriptor, kept in self._streams.items():
            if descriptor in ready:
                chunk = os.read(descriptor, 65536)
                kept.feed(chunk)
                took = took or bool(chunk)
                if not chunk:
                    self._open.discard(descriptor)  # else select would never wait again
        return took

    def _overflown(self) -> bool:
        return any(kept.overflown for kept in self._streams.values())

    def _died(self, ended: int) -> dict[str, Any]:
        if self._interrupted:
            return self._reply("timeout")
        if os.WIFSIGNALED(ended):
            return self._reply("signal", signal=os.WTERMSIG(ended))
        exit_code = os.WEXITSTATUS(ended)
        return self._reply("nonzero" if exit_code else "ok", exit_code=exit_code)

    def _reply(self, status: str, *, state_kept: bool = False, **fields: Any) -> dict[str, Any]:
        # What the call wrote before it ended is in the pipes. A background job may write on
        # without end, so the cap ends this too.
        while self._read(0) and not self._overflown():
            pass
        out, err = self._streams.values()
        return {
            "status": status,
            "stdout": base64.b64encode(out.data()).decode(),
            "stderr": base64.b64encode(err.data()).decode(),
            "stdout_total": out.total,
            "stderr_total": err.total,
            "wall_s": time.monotonic() - self._began,
            "state_kept": state_kept,
            **fields,
        }


def read_message(descriptor: int) -> Any:
    """The next message; None at the end of the stream."""
    header = _read_exactly(descriptor, 4)
    if len(header) < 4:
        return None
    (size,) = struct.unpack(">I", header)
    body = _read_exactly(descriptor, size)
    return json.loads(body) if len(body) == size else None


def write_message(descriptor: int, message: object) -> None:
    """Write one message whole."""
    body = json.dumps(message).encode()
    data = memoryview(struct.pack(">I", len(body)) + body)
    while data:
        data = data[os.write(descriptor, data) :]


def _read_exactly(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(descriptor, size - len(data))
        if not chunk:
            break
        data += chunk
    return data


def _adopt_orphans() -> None:
    """Make daemons fall to this process instead of pid 1, so that they are found and killed."""
    try:
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        sys.stderr.write("session host: no prctl here; a daemon may outlive its session\n")


def main() -> None:
    """Serve one session until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Only descriptors of its own: the code in the session may not speak on this stdout.
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    _adopt_orphans()
    first = read_message(requests)
    if first is None:
        return
    host = Host(Setup(**first))
    write_message(replies, {"pid": os.getpid()})
    try:
        while True:
            message = read_message(requests)
            if message is None:
                return
            reply = host.call(message["source"], message["timeout_s"])
            host.drop_lost_worker(reply)  # before the answer: afterwards nothing of it may live
            write_message(replies, reply)
    finally:
        host.close()
