"""One exec in a container: its streams, read in bounded memory, and its end."""

from __future__ import annotations

import select
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from agentgym_tools.sandboxes.docker.hardening import USER

_POLL_S = 0.05
_ENDED_CHECK_S = 0.25
_PIECE = 1 << 16
_START_S = 10.0
_STDOUT = 1


class End(Enum):
    """Why we stopped reading."""

    EXITED = auto()
    TIMED_OUT = auto()
    OVERFLOWN = auto()
    CANCELLED = auto()


class Exec:
    """A started exec; every method blocks.

    Ending it here does not end its processes: nothing in the engine's interface does.
    """

    def __init__(
        self,
        api: Any,
        container: str,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._api = api
        created = api.exec_create(
            container,
            list(command),
            stdin=True,
            user=USER,
            environment={"HOME": "/work", "LANG": "C.UTF-8", **(env or {})},
            workdir="/work",
        )
        self._id = created["Id"]
        self._stream = api.exec_start(self._id, socket=True)
        # Over a Unix socket the client wraps the real one; over TCP it may hand it out itself.
        self._socket = getattr(self._stream, "_sock", self._stream)
        self._socket.setblocking(False)
        self._raw = bytearray()

    def communicate(
        self,
        stdin: bytes,
        feed: Callable[[bool, bytes], bool],
        deadline: float,
        stop: threading.Event,
        *,
        close_stdin: bool = True,
    ) -> End:
        """Serve the streams until the exec has ended.

        Args:
            stdin: What it gets to read.
            feed: Takes whether a piece came from stdout, and the piece; False stops reading.
            deadline: Of ``time.monotonic``.
            stop: Set from another thread to return soon.
            close_stdin: Whether stdin ends after this.
        """
        left = memoryview(stdin)
        closing = close_stdin
        check_at = time.monotonic() + _ENDED_CHECK_S
        while True:
            wait_s = min(_POLL_S, max(0.0, deadline - time.monotonic()))
            readable, writable = self._ready(bool(left) or closing, wait_s)
            if writable:
                left, closing = self._write(left, closing)
            if readable:
                chunk = self._read()
                if not chunk:
                    return End.EXITED
                self._raw += chunk
                for from_stdout, piece in self._pieces():
                    if not feed(from_stdout, piece):
                        return End.OVERFLOWN
            if stop.is_set():
                return End.CANCELLED
            now = time.monotonic()
            if now >= deadline:
                return End.TIMED_OUT
            if not readable and now >= check_at:
                # What it left running may hold the stream open after its own end.
                if not self.inspect()["Running"]:
                    return End.EXITED
                check_at = now + _ENDED_CHECK_S

    def inspect(self) -> dict[str, Any]:
        """What the engine knows of it: ``ExitCode``, ``Running``, ``Pid`` (the engine host's)."""
        found: dict[str, Any] = self._api.exec_inspect(self._id)
        return found

    def exit_code(self) -> int | None:
        """Its exit code, waiting a moment for the engine to know it; None if it still runs."""
        deadline = time.monotonic() + 1.0
        while True:
            code: int | None = self.inspect()["ExitCode"]
            if code is not None or time.monotonic() > deadline:
                return code
            time.sleep(0.01)

    def await_start(self) -> bool:
        """Wait until its process is there, or has been: only then can a kill reach it.

        The engine starts it after having answered. False if it never comes.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            state = self.inspect()
            if state["Pid"] or state["ExitCode"] is not None:
                return True
            time.sleep(0.01)
        return False

    def close(self) -> None:
        """Drop the connection, which ends its stdin."""
        response = getattr(self._stream, "_response", None)
        for part in (response, self._stream, self._socket):
            if part is not None:
                with suppress(OSError, ValueError):  # closing one may close the next
                    part.close()

    def _ready(self, writing: bool, wait_s: float) -> tuple[bool, bool]:
        """Whether it can be read and written; poll, since a trainer may have many descriptors."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if writing else 0))
        events = sum(event for _, event in poll.poll(wait_s * 1000))
        failed = bool(events & (select.POLLHUP | select.POLLERR))
        return failed or bool(events & select.POLLIN), bool(events & select.POLLOUT)

    def _write(self, left: memoryview, closing: bool) -> tuple[memoryview, bool]:
        try:
            if left:
                return left[self._socket.send(left[:_PIECE]) :], closing
            self._socket.shutdown(1)  # SHUT_WR: the end of stdin
        except BlockingIOError:
            return left, closing
        except OSError:
            return memoryview(b""), False  # it has ended and reads no more
        return left, False

    def _read(self) -> bytes:
        try:
            return bytes(self._socket.recv(_PIECE))
        except ConnectionError:
            return b""

    def _pieces(self) -> list[tuple[bool, bytes]]:
        """Complete frames: a byte for the stream, three of nothing, four of length, the piece."""
        found = []
        while len(self._raw) >= 8:
            size = struct.unpack(">I", self._raw[4:8])[0]
            if len(self._raw) < 8 + size:
                break
            found.append((self._raw[0] == _STDOUT, bytes(self._raw[8 : 8 + size])))
            del self._raw[: 8 + size]
        return found
