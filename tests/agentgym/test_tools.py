"""Tools: schemas from signatures, and calls whose mistakes become observations."""

import asyncio
import threading

import pytest

from agentgym import EnvError, ToolCall, ToolError, UsageError, tool
from agentgym.tools import ToolBox


@tool
async def search(query: str, top_k: int = 3) -> str:
    """Find passages.

    Not shown to the model.

    Args:
        query: Words to
            look for.
        top_k: How many.
    """
    if query == "refuse":
        raise ToolError("not that", "refused")
    if query == "bug":
        raise KeyError("oops")
    if query == "down":
        raise EnvError("server_down")
    return f"{query}:{top_k}"


def call(**arguments: object) -> ToolCall:
    return ToolCall("call_0", "search", "", arguments)


async def test_the_schema_comes_from_the_signature_and_docstring() -> None:
    assert search.spec.name == "search"
    assert search.spec.description == "Find passages."
    properties = search.spec.parameters["properties"]
    assert properties["query"] == {"type": "string", "description": "Words to look for."}
    assert properties["top_k"] == {"type": "integer", "description": "How many.", "default": 3}
    assert search.spec.parameters["required"] == ["query"]


@pytest.mark.parametrize(
    ("given", "content", "error"),
    [
        (call(query="a"), "a:3", None),
        (call(query="a", top_k="5"), "a:5", None),
        (call(query="a", top_k="many"), "top_k", "invalid_arguments"),
        (call(top_k=1), "query: Field required", "invalid_arguments"),
        (call(query="a", other=1), "other", "invalid_arguments"),
        (call(query="refuse"), "Error: not that", "refused"),
        (call(query="bug"), "KeyError", "tool_failed"),
        (ToolCall("call_0", "serch", "", {}), "Tools: search", "unknown_tool"),
        (ToolCall("call_0", "", "{", None, "invalid_json"), "not valid JSON", "invalid_json"),
    ],
)
async def test_what_a_call_gives(given: ToolCall, content: str, error: str | None) -> None:
    outcome = await ToolBox([search]).run(given)
    assert content in outcome.content
    assert outcome.error == error


async def test_broken_infrastructure_is_not_an_observation() -> None:
    with pytest.raises(EnvError, match="server_down"):
        await ToolBox([search]).run(call(query="down"))


async def test_a_plain_function_runs_in_a_thread() -> None:
    @tool
    def where() -> str:
        """Say which thread."""
        return threading.current_thread().name

    outcome = await ToolBox([where]).run(ToolCall("call_0", "where", "", {}))
    assert outcome.content != threading.current_thread().name


async def test_cancelling_a_call_is_not_swallowed() -> None:
    @tool
    async def forever() -> str:
        """Wait."""
        await asyncio.Event().wait()
        return ""

    running = asyncio.create_task(ToolBox([forever]).run(ToolCall("c", "forever", "", {})))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_parameter_without_a_type_hint_is_refused() -> None:
    def untyped(x) -> str:  # type: ignore[no-untyped-def]  # that is the point
        return str(x)

    with pytest.raises(UsageError, match="'x' needs a type hint"):
        tool(untyped)
