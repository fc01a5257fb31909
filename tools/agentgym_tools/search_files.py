"""The ``find`` and ``grep`` tools. The searching itself is done in the sandbox."""

from __future__ import annotations

from collections.abc import Callable

from agentgym.sandbox import Sandbox
from agentgym.tools import Tool, tool
from agentgym_tools.inside import search_files
from agentgym_tools.inside_program import run_inside

_MOST_NAMES = 200
_MOST_LINES = 100


def find_tool(box: Callable[[], Sandbox], *, timeout_s: float = 10.0) -> Tool:
    """A tool ``find(pattern, path)``: at most 200 paths, sorted, folders with a ``/``."""

    async def find(pattern: str, path: str = ".") -> str:
        """Find files and folders by name, in a folder and all below it. Skips .git.

        Args:
            pattern: A glob such as "*.py" for the name, or "src/**/test_*.py" for the path.
            path: The folder to look in.
        """
        request = {"mode": "find", "path": path, "glob": pattern, "most": _MOST_NAMES}
        advice = "look in a smaller folder or with a simpler pattern"
        return await run_inside(box(), search_files, request, timeout_s, advice)

    return tool(find)


def grep_tool(box: Callable[[], Sandbox], *, timeout_s: float = 10.0) -> Tool:
    """A tool ``grep(pattern, path, glob)``: at most 100 lines, as ``path:line: text``."""

    async def grep(pattern: str, path: str = ".", glob: str = "*") -> str:
        """Find lines of text files by a regular expression. Skips .git and binary files.

        Args:
            pattern: A Python regular expression, matched anywhere within one line.
            path: The file or folder to look in.
            glob: Only files whose name, or path if it has a "/", fits this glob.
        """
        request = {
            "mode": "grep",
            "path": path,
            "glob": glob,
            "pattern": pattern,
            "most": _MOST_LINES,
        }
        advice = "simplify the pattern (no nested repeats), or narrow the path or the glob"
        return await run_inside(box(), search_files, request, timeout_s, advice)

    return tool(grep)
