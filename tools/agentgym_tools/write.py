"""The ``write`` tool: a whole file."""

from __future__ import annotations

from collections.abc import Callable

from agentgym.errors import ToolError
from agentgym.sandbox import Sandbox
from agentgym.tools import Tool, tool
from agentgym_tools.file_errors import file_errors
from agentgym_tools.safe_text import safe_text


def write_tool(box: Callable[[], Sandbox]) -> Tool:
    """A tool ``write(path, content)``. A link at ``path`` is replaced, never followed."""

    async def write(path: str, content: str) -> str:
        """Write a text file, replacing what was there. Folders are made as needed.

        Args:
            path: The file.
            content: The whole new content.
        """
        data = content.encode()
        await put(box(), path, data)
        lines = content.count("\n") + (not content.endswith("\n") and content != "")
        return f"Wrote {safe_text(path)}: {len(data)} bytes, {lines} lines."

    return tool(write)


async def put(box: Sandbox, path: str, data: bytes) -> None:
    """Write a file of the sandbox, within its limit for one file.

    Raises:
        ToolError: As :func:`file_errors` says.
    """
    if len(data) > box.limits.file_mb << 20:
        raise ToolError(
            f"{len(data)} bytes are too many; a file may have {box.limits.file_mb} MiB", "too_large"
        )
    with file_errors(path):
        await box.write_file(path, data)
