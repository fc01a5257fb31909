"""Carrying out a call's message on a local sandbox."""

from __future__ import annotations

from agentgym.errors import UsageError
from agentgym.sandbox import Limits, Sandbox
from agentgym_tools.sandboxes.remote.calls import (
    Call,
    CallReply,
    Exec,
    Health,
    ListDir,
    ReadFile,
    Reset,
    Run,
    RunBash,
    RunPython,
    TakeSnapshot,
    WriteFile,
)
from agentgym_tools.sandboxes.remote.messages import ResultMessage, SnapshotMessage
from agentgym_tools.sandboxes.remote.options import FILES_S, GRACE_S


def deadline_s(call: Call, limits: Limits) -> float:
    """Seconds after which a call that was begun must have ended: its own limit and a grace."""
    if isinstance(call, Run):
        return (call.timeout_s or limits.wall_s) + GRACE_S
    return max(limits.wall_s, FILES_S) + GRACE_S


async def perform(box: Sandbox, call: Call) -> CallReply:
    """Do what the message says. Raises what the sandbox raises."""
    match call:
        case Exec() | RunPython() | RunBash():
            return CallReply(result=await _run(box, call))
        case ReadFile():
            return CallReply(data=await box.read_file(call.path, max_bytes=call.max_bytes))
        case WriteFile():
            await box.write_file(call.path, call.data)
        case ListDir():
            return CallReply.of_entries(await box.list_dir(call.path))
        case TakeSnapshot():
            return CallReply(snapshot=SnapshotMessage.of(await box.snapshot()))
        case Reset():
            await box.reset(call.snapshot.snapshot() if call.snapshot else None)
        case Health():
            await box.health()
        case _:
            raise UsageError(f"{call.method} is not a call on one sandbox alone")
    return CallReply()


async def _run(box: Sandbox, call: Run) -> ResultMessage:
    if isinstance(call, Exec):
        result = await box.exec(
            call.argv, stdin=call.stdin, env=call.env, cwd=call.cwd, timeout_s=call.timeout_s
        )
    elif isinstance(call, RunPython):
        result = await box.run_python(
            call.code, session=call.session, stdin=call.stdin, timeout_s=call.timeout_s
        )
    else:
        result = await box.run_bash(call.command, session=call.session, timeout_s=call.timeout_s)
    return ResultMessage.of(result)
