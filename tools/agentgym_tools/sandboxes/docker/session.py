"""One stateful session in a container: a session host in an exec that stays open."""

from __future__ import annotations

import threading
import time
from typing import Any

from agentgym.sandbox import ExecResult, ExecStatus
from agentgym_tools.sandboxes.docker.container import Container, HostProcess
from agentgym_tools.sandboxes.docker.stream import End, Exec
from agentgym_tools.sandboxes.session_client import (
    HEADER_BYTES,
    OUTER_GRACE_S,
    Language,
    body_size,
    call_message,
    decode_pid,
    decode_result,
    session_program,
    setup_message,
)


class Session:
    """Blocking; one call at a time.

    Args:
        api: The client.
        container: Where it runs.
        language: What it speaks.
    """

    def __init__(self, api: Any, container: Container, language: Language) -> None:
        self._api = api
        self._container = container
        self._language = language
        self._exec: Exec | None = None
        self._host: HostProcess | None = None
        # Two streams in base64 and change: longer than this only a forged answer is.
        self._longest = 4 * container.limits.output_bytes + (1 << 16)

    def call(self, source: str, timeout_s: float, stop: threading.Event) -> ExecResult:
        """Run source in the session, starting it if need be.

        Raises:
            SandboxDied: The container is gone.
        """
        began = time.monotonic()
        deadline = began + timeout_s + OUTER_GRACE_S
        try:
            if self._exec is None:
                self._open(deadline, stop)
            message = call_message(source, timeout_s)
            result = decode_result(self._exchange(message, deadline, stop))
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            # Only the code in the session can have ended its host, or spoken in its place.
            self.close()
            late = isinstance(error, TimeoutError)
            status = ExecStatus.TIMEOUT if late else ExecStatus.KILLED
            result = ExecResult(status, wall_s=time.monotonic() - began, state_kept=False)
        return result

    def close(self) -> None:
        """End the session and everything in it. May be called twice.

        Raises:
            SandboxDied: The container is gone.
        """
        if self._host is not None:
            if self._host in self._container.session_hosts:
                self._container.session_hosts.remove(self._host)
            self._host = None
        process, self._exec = self._exec, None
        if process is not None:
            self._container.finish(process)

    def _open(self, deadline: float, stop: threading.Event) -> None:
        command = ["python3", "-c", session_program()]
        with self._container.engine_errors():
            self._exec = Exec(self._api, self._container.id, command)
            setup = setup_message(self._language, self._container.limits.output_bytes)
            inner = decode_pid(self._exchange(setup, deadline, stop))
            self._host = HostProcess(inner, self._exec.inspect()["Pid"])
        self._container.session_hosts.append(self._host)

    def _exchange(self, message: bytes, deadline: float, stop: threading.Event) -> bytes:
        assert self._exec is not None
        data = bytearray()
        wanted = HEADER_BYTES

        def feed(from_stdout: bool, piece: bytes) -> bool:
            nonlocal wanted
            if from_stdout:
                data.extend(piece)
            if len(data) >= HEADER_BYTES:
                wanted = HEADER_BYTES + body_size(bytes(data[:HEADER_BYTES]))
            return not (HEADER_BYTES < wanted <= len(data) or wanted > self._longest)

        end = self._exec.communicate(message, feed, deadline, stop, close_stdin=False)
        if end is End.TIMED_OUT:
            raise TimeoutError
        if not HEADER_BYTES < wanted <= len(data):
            raise EOFError(f"no whole answer ({end.name})")
        return bytes(data[HEADER_BYTES:wanted])
