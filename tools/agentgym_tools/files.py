"""The file tools: ``view``, ``edit``, ``write``, ``find`` and ``grep``.

The first three go through the sandbox's file API, which resolves every path beneath /work; the
other two run in the sandbox, because a pattern can be an attack.
"""

from __future__ import annotations

from collections.abc import Callable

from agentgym.sandbox import Sandbox
from agentgym.tools import Tool
from agentgym_tools.edit import edit_tool
from agentgym_tools.search_files import find_tool, grep_tool
from agentgym_tools.view import view_tool
from agentgym_tools.write import write_tool


def file_tools(box: Callable[[], Sandbox]) -> list[Tool]:
    """``view``, ``edit``, ``write``, ``find`` and ``grep`` on the files of /work.

    Their errors have the codes ``not_found``, ``is_folder``, ``not_folder``, ``not_a_file``,
    ``outside_work``, ``permission_denied``, ``link_loop``, ``too_large``, ``disk_full``,
    ``invalid_path``, ``no_match``, ``several_matches``, ``out_of_range``, ``invalid_regex``,
    ``invalid_glob``, ``invalid_arguments``, ``timeout``.

    Args:
        box: The sandbox of the running episode.
    """
    return [view_tool(box), edit_tool(box), write_tool(box), find_tool(box), grep_tool(box)]
