"""Real sandbox servers for tests: processes of their own, on free ports of the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from agentgym.sandbox import Limits, SandboxSpec

TOKEN = "a-token-for-tests"
CODE = "from agentgym_tools.sandboxes.remote.command import app; app()"
LOCAL: Mapping[str, Sequence[str]] = {"process": ["--option", "allow_unsafe=true"], "jail": []}
"""What each local backend needs on the command line."""
BACKEND = os.environ.get("AGENTGYM_TEST_SANDBOX", "process")
SPEC = SandboxSpec(limits=Limits(wall_s=5, output_kb=4), min_guarantees=frozenset())


@dataclass
class SandboxServer:
    """One ``agentgym sandbox serve``."""

    process: subprocess.Popen[str]
    url: str = ""

    @classmethod
    def start(
        cls, folder: Path, *arguments: str, token: str | None = TOKEN, backend: str = BACKEND
    ) -> SandboxServer:
        """Start one and wait until it listens. ``folder`` gets its temporary files and log."""
        folder.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "TMPDIR": str(folder)}
        env.pop("AGENTGYM_SANDBOX_TOKEN", None)
        if token is not None:
            env["AGENTGYM_SANDBOX_TOKEN"] = token
        log = folder / "log"
        arguments = ("--port", "0", "--backend", backend, *LOCAL[backend], *arguments)
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", CODE, "serve", *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=env,
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line + log.read_text()
        return cls(process, line.split()[-1])

    async def post(
        self, path: str, body: bytes | dict[str, Any], token: str = TOKEN
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer of a request, without the client that is under test.

        The answer's ``headers`` are put among its fields.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.url}/v1/{path}", data=data, headers=headers) as response,
        ):
            return response.status, {**await response.json(), "headers": response.headers}

    async def get(self, path: str, token: str = TOKEN) -> tuple[int, str]:
        """Status and text."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.url}/{path}", headers=headers) as response,
        ):
            return response.status, await response.text()

    def kill(self) -> None:
        """End it as a lost machine ends: at once, telling nobody."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it by SIGTERM; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.process.stdout:
            self.process.stdout.close()
        return self.process.returncode


@contextmanager
def serving(
    folder: Path, *arguments: str, token: str | None = TOKEN, backend: str = BACKEND
) -> Iterator[SandboxServer]:
    """A server that runs for the length of a block, and does not wait long for leases to end."""
    arguments = ("--drain", "1", *arguments)
    server = SandboxServer.start(folder, *arguments, token=token, backend=backend)
    try:
        yield server
    finally:
        server.stop()
