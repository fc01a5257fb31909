"""The ``sql`` tool: queries on one SQLite database of the sandbox."""

from __future__ import annotations

from collections.abc import Callable

from agentgym.errors import UsageError
from agentgym.sandbox import Sandbox
from agentgym.tools import Tool, tool
from agentgym_tools.inside import sql_query
from agentgym_tools.inside_program import run_inside

_START_S = 2.0
"""Seconds for the interpreter to start, on top of the query's own time."""


def sql_tool(
    box: Callable[[], Sandbox],
    database: str,
    *,
    writable: bool = False,
    timeout_s: float = 5.0,
    max_rows: int = 50,
) -> Tool:
    """A tool ``sql(query)``: one statement in each call, its result as a table of text.

    The query runs in the sandbox. It cannot attach other files, change settings or load
    extensions. Errors have the codes ``sql_error``, ``timeout``, ``out_of_memory``, ``not_found``,
    ``not_a_file``. NULL is shown as NULL, a blob as ``x'..'``, a long value cut with its size.

    Args:
        box: The sandbox of the running episode.
        database: File of the sandbox.
        writable: A scratch database: it may be changed, and is made when it is not there.
            Otherwise SQLite opens it read-only.
        timeout_s: Seconds for one query.
        max_rows: Rows shown; those beyond are counted.

    Raises:
        UsageError: A limit is not positive.
    """
    if not timeout_s > 0 or max_rows < 1:
        raise UsageError(
            f"timeout_s and max_rows must be positive, got {timeout_s!r}, {max_rows!r}"
        )

    async def sql(query: str) -> str:
        """Run one SQL statement on the SQLite database and return its rows as a table.

        Args:
            query: The statement.
        """
        request = {
            "database": database,
            "query": query,
            "writable": writable,
            "timeout_s": timeout_s,
            "max_rows": max_rows,
        }
        advice = "simplify the query"
        return await run_inside(box(), sql_query, request, timeout_s + _START_S, advice)

    return tool(sql)
