"""The ``bash`` tool: commands in one shell of the sandbox that lives through the episode."""

from __future__ import annotations

from collections.abc import Callable

from agentgym.errors import ToolError
from agentgym.sandbox import Sandbox
from agentgym.tools import Tool, tool
from agentgym_tools.python import SESSION
from agentgym_tools.report import MAX_CHARS, report


def bash_tool(
    box: Callable[[], Sandbox], *, timeout_s: float | None = None, max_chars: int = MAX_CHARS
) -> Tool:
    """A tool ``bash(command)``: folder, variables, functions and background jobs persist.

    The exit status travels beside the output, so nothing that a command prints can forge it.
    What a background job prints after its command has ended is lost.

    Args:
        box: The sandbox of the running episode.
        timeout_s: Seconds for one command, at most the sandbox's ``wall_s``, which is the default.
        max_chars: Characters of output shown.
    """

    async def bash(command: str) -> str:
        """Run a bash command and return its output and exit code.
        The current folder, variables, functions and background jobs are kept from call to call.
        Standard input is empty. Send the output of background jobs to a file.

        Args:
            command: The command.
        """
        if "\0" in command:
            raise ToolError("a command cannot hold a null character", "invalid_arguments")
        here = box()
        result = await here.run_bash(command, session=SESSION, timeout_s=timeout_s)
        return report(result, here.limits, session="shell", max_chars=max_chars)

    return tool(bash)
