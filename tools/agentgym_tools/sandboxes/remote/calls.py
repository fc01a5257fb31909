"""What can be asked of a leased sandbox: one message for each method of ``Sandbox``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal, Self

from pydantic import Field

from agentgym.sandbox import FileInfo
from agentgym_tools.sandboxes.remote.messages import (
    FileInfoMessage,
    LeaseReply,
    ResultMessage,
    SnapshotMessage,
)
from agentgym_tools.sandboxes.remote.wire import Blob, Key, Seconds, WireMessage


class Exec(WireMessage):
    method: Literal["exec"] = "exec"
    argv: list[str]
    stdin: Blob = b""
    env: dict[str, str] | None = None
    cwd: str = "."
    timeout_s: Seconds | None = None


class RunPython(WireMessage):
    method: Literal["run_python"] = "run_python"
    code: str
    session: str | None = None
    stdin: Blob = b""
    timeout_s: Seconds | None = None


class RunBash(WireMessage):
    method: Literal["run_bash"] = "run_bash"
    command: str
    session: str
    timeout_s: Seconds | None = None


class ReadFile(WireMessage):
    method: Literal["read_file"] = "read_file"
    path: str
    max_bytes: int | None = None


class WriteFile(WireMessage):
    method: Literal["write_file"] = "write_file"
    path: str
    data: Blob


class ListDir(WireMessage):
    method: Literal["list_dir"] = "list_dir"
    path: str = "."


class TakeSnapshot(WireMessage):
    method: Literal["snapshot"] = "snapshot"


class Reset(WireMessage):
    method: Literal["reset"] = "reset"
    snapshot: SnapshotMessage | None = None


class Fork(WireMessage):
    method: Literal["fork"] = "fork"


class Health(WireMessage):
    method: Literal["health"] = "health"


Run = Exec | RunPython | RunBash
"""Calls that run a program."""
Look = ReadFile | ListDir | TakeSnapshot | Health
"""Calls that change nothing."""
Call = (
    Exec
    | RunPython
    | RunBash
    | ReadFile
    | WriteFile
    | ListDir
    | TakeSnapshot
    | Reset
    | Fork
    | Health
)


class CallRequest(WireMessage):
    """One call on a leased sandbox. The same key again gets the same answer, and runs nothing."""

    lease: str
    key: Key
    call: Annotated[Call, Field(discriminator="method")]


class CallReply(WireMessage):
    """What a call gave: the one field that belongs to its method, none for those without one."""

    result: ResultMessage | None = None
    data: Blob | None = None
    entries: list[FileInfoMessage] | None = None
    snapshot: SnapshotMessage | None = None
    forked: LeaseReply | None = None

    @classmethod
    def of_entries(cls, entries: Sequence[FileInfo]) -> Self:
        return cls.make(entries=[FileInfoMessage.make(**asdict(entry)) for entry in entries])
