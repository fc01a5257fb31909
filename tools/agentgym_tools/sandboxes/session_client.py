"""The backends' side of a session: the program of its host, and the messages to it and from it."""

from __future__ import annotations

import base64
import json
import struct
from functools import cache
from pathlib import Path
from typing import Any, Literal

from agentgym.sandbox import ExecResult, ExecStatus

Language = Literal["python", "bash"]

HEADER_BYTES = 4
OUTER_GRACE_S = 5.0
"""Seconds after a call's time-out in which its host must have answered."""
_MODULES = (
    *("output", "process_tree", "python_cell", "bash_loop", "session_workers"),
    "session_host",
)
# Registered under their real names, so that their imports of one another find them.
_LOADER = """
import sys, types
for name, source in {sources!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules["agentgym_tools.sandboxes.session_host"].main()
"""
# The code comes first on stdin, so it may be longer than an argument; the rest is the program's.
_RUN_ONCE = """
def _agentgym_main():
    import os, sys
    size, code = int(sys.argv[1]), b""
    while len(code) < size:
        code += os.read(0, size - len(code)) or sys.exit("the code was cut off")
    sys.argv[:] = ["-c"]
    sys.stdout.reconfigure(line_buffering=True)
    namespace = main_namespace()
    sys.exit(run_cell(code.decode("utf-8", "surrogatepass"), namespace, echo=False))
_agentgym_main()
"""


@cache
def session_program() -> str:
    """The session host with all it needs, for ``python3 -c``."""
    sources = {f"agentgym_tools.sandboxes.{name}": _source(name) for name in _MODULES}
    return _LOADER.format(sources=sources)


@cache
def run_once_program() -> str:
    """A program for ``python3 -c`` that runs the code on its stdin, of ``argv[1]`` bytes."""
    return _source("python_cell") + _RUN_ONCE


def run_once(python: str, code: str, stdin: bytes) -> tuple[list[str], bytes]:
    """The command and the stdin that run ``code`` in a fresh interpreter."""
    body = code.encode("utf-8", "surrogatepass")
    return [python, "-c", run_once_program(), str(len(body))], body + stdin


def encode(message: dict[str, Any]) -> bytes:
    """A message as it goes over the pipe."""
    body = json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


def setup_message(language: Language, output_bytes: int) -> bytes:
    """The first message to a host."""
    return encode({"language": language, "output_bytes": output_bytes})


def call_message(source: str, timeout_s: float) -> bytes:
    """One call."""
    return encode({"source": source, "timeout_s": timeout_s})


def body_size(header: bytes) -> int:
    """How many bytes follow these four."""
    (size,) = struct.unpack(">I", header)
    return int(size)


def decode_pid(body: bytes) -> int:
    """The host's process number, as it sees itself, in its first answer."""
    return int(json.loads(body)["pid"])


def decode_result(body: bytes) -> ExecResult:
    """The result in a reply.

    Raises:
        ValueError: It is not one: the code in the box wrote it, or killed the host meanwhile.
    """
    try:
        reply = json.loads(body)
        return ExecResult(
            status=ExecStatus(reply["status"]),
            exit_code=reply.get("exit_code"),
            signal=reply.get("signal"),
            stdout=base64.b64decode(reply["stdout"]),
            stderr=base64.b64decode(reply["stderr"]),
            stdout_total=int(reply["stdout_total"]),
            stderr_total=int(reply["stderr_total"]),
            wall_s=float(reply["wall_s"]),
            state_kept=bool(reply["state_kept"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a session host's reply: {body[:200]!r}") from error


def _source(name: str) -> str:
    return Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
