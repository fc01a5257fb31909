"""The ``python`` tool: the model's code, in an interpreter of its sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentgym.sandbox import Sandbox
from agentgym.tools import Tool, tool
from agentgym_tools.report import MAX_CHARS, report

SESSION = "tool"
"""Name of the sandbox session that ``python`` and ``bash`` each use."""


def python_tool(
    box: Callable[[], Sandbox],
    *,
    stateful: bool = True,
    timeout_s: float | None = None,
    max_chars: int = MAX_CHARS,
) -> Tool:
    """A tool ``python(code)``. What the code does wrong is text, never an error of the tool.

    Args:
        box: The sandbox of the running episode.
        stateful: Keep variables, imports and open files from call to call. A time-out interrupts
            the cell, and the text says whether the interpreter survived. Otherwise each call is a
            program of its own.
        timeout_s: Seconds for one call, at most the sandbox's ``wall_s``, which is the default.
        max_chars: Characters of output shown.
    """

    async def run(code: str, session: str | None) -> str:
        here = box()
        result = await here.run_python(code, session=session, timeout_s=timeout_s)
        return report(result, here.limits, session="interpreter", max_chars=max_chars)

    return _cells(run) if stateful else _programs(run)


_Run = Callable[[str, str | None], Awaitable[str]]


def _cells(run: _Run) -> Tool:
    async def python(code: str) -> str:
        """Run Python code and return what it prints, with the value of a last expression.
        Variables, imports and open files are kept from call to call.

        Args:
            code: The code.
        """
        return await run(code, SESSION)

    return tool(python)


def _programs(run: _Run) -> Tool:
    async def python(code: str) -> str:
        """Run a Python program in a fresh interpreter and return what it prints.

        Args:
            code: The program.
        """
        return await run(code, None)

    return tool(python)
