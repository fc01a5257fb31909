"""A jail for the tests of the tools, without the two seconds of its own attacks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agentgym import Limits, Sandbox, SandboxSpec, SandboxUnavailable, Tool, ToolCall, open_sandbox
from agentgym.tools import ToolBox, ToolOutcome

NOTHING_ASKED = SandboxSpec(min_guarantees=frozenset())


@asynccontextmanager
async def quick_jail(limits: Limits | None = None) -> AsyncIterator[Sandbox]:
    """One sandbox; skips the test where the jail cannot run."""
    opening = open_sandbox("jail", spec=NOTHING_ASKED, limits=limits)
    try:
        box = await opening.__aenter__()
    except SandboxUnavailable as error:
        pytest.skip(f"no jail here: {error}")
    try:
        yield box
    finally:
        await opening.__aexit__(None, None, None)


async def use(tool: Tool, **arguments: object) -> ToolOutcome:
    """What the model gets for a call."""
    return await ToolBox([tool]).run(ToolCall("call_0", tool.spec.name, "", arguments))


async def said(tool: Tool, **arguments: object) -> str:
    """The text of a call that was not refused."""
    outcome = await use(tool, **arguments)
    assert outcome.error is None, outcome
    return outcome.content


async def refused(tool: Tool, **arguments: object) -> tuple[str, str]:
    """Error code and text of a call that was refused."""
    outcome = await use(tool, **arguments)
    assert outcome.error is not None, outcome
    return outcome.error, outcome.content
