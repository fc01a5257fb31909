"""The process of a vLLM server that is started here."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_KEEPER = Path(__file__).with_name("keeper.py")
_MODULE = "vllm.entrypoints.openai.api_server"
_TAIL_LINES = 20
_KILLED_S = 30.0


class ServerProcess:
    """A server on a free port of 127.0.0.1, which ends with this process.

    Args:
        python: Interpreter that has vLLM.
        arguments: Of the command line; model and address are added.
        env: All of its environment variables.
        log: Where it writes; begun anew at each start.
    """

    def __init__(
        self, python: str, arguments: Sequence[str], *, env: Mapping[str, str], log: Path
    ) -> None:
        self._command = [python, "-m", _MODULE, *arguments]
        self._env = dict(env)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.folder: Path | None = None
        """What it was started with."""

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process that keeps the server."""
        return self._process.pid if self._process else None

    async def start(self, folder: Path) -> str:
        """Start it with the model of a folder; the address at which it will listen."""
        port = _free_port()
        where = ["--model", str(folder), "--host", "127.0.0.1", "--port", str(port)]
        keeper = [self._command[0], "-I", str(_KEEPER), str(os.getpid())]
        self.folder = folder
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*keeper, *self._command, *where],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the trainer, which ends this in its time
            )
        return f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Kill it with all that it started."""
        if self._process is None:
            return
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, _KILLED_S)

    def log_tail(self) -> str:
        """The last lines of what it wrote."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            return f"(no log: {error})"
        return "\n".join(lines[-_TAIL_LINES:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
