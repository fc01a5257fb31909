"""The ``edit`` tool: replace one piece of a file, which must be there exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentgym.errors import ToolError
from agentgym.sandbox import Sandbox
from agentgym.tools import Tool, tool
from agentgym_tools.closest_lines import explain_no_match
from agentgym_tools.file_errors import file_errors
from agentgym_tools.numbered_lines import numbered, split_lines
from agentgym_tools.safe_text import safe_text
from agentgym_tools.view import LARGEST
from agentgym_tools.write import put

_MOST_PLACES = 20
_AROUND = 2
_MOST_SHOWN = 12


def edit_tool(box: Callable[[], Sandbox]) -> Tool:
    """A tool ``edit(path, old, new)``: exact, byte for byte, and only if ``old`` is there once.

    In a file whose lines all end in ``\\r\\n``, ``\\n`` in the arguments means that. A symbolic
    link is replaced by the edited file.
    """

    async def edit(path: str, old: str, new: str) -> str:
        """Replace a piece of a text file. The old text must occur in it exactly once.

        Args:
            path: The file.
            old: The exact text to replace, with its whitespace; enough lines to be unique.
            new: The text to put there.
        """
        if not old or old == new:
            what = "old is empty" if not old else "old and new are the same"
            advice = "to write a whole file use write" if not old else "nothing would change"
            raise ToolError(f"{what}; {advice}", "invalid_arguments")
        here = box()
        with file_errors(path):
            data = await here.read_file(path, max_bytes=LARGEST + 1)
        if len(data) > LARGEST:
            raise ToolError(f"the file has more than {LARGEST >> 20} MiB", "too_large")
        ends = _line_ends(data)
        before, after = _encode(old, ends), _encode(new, ends)
        places = _places(data, before)
        if not places:
            advice = await asyncio.to_thread(explain_no_match, data, before)
            raise ToolError(f"old does not occur in {safe_text(path)}. {advice}", "no_match")
        if len(places) > 1:
            raise _too_many(path, data, places)
        changed = data[: places[0]] + after + data[places[0] + len(before) :]
        await put(here, path, changed)
        return f"Edited {safe_text(path)}:\n{_excerpt(changed, places[0], len(after))}"

    return tool(edit)


def _line_ends(data: bytes) -> bytes:
    ends = data.count(b"\n")
    return b"\r\n" if ends and data.count(b"\r\n") == ends else b"\n"


def _encode(text: str, ends: bytes) -> bytes:
    data = text.encode()
    return data if ends == b"\n" or b"\r" in data else data.replace(b"\n", ends)


def _places(data: bytes, piece: bytes) -> list[int]:
    """Where the piece begins, overlaps included, up to one more than is shown."""
    places: list[int] = []
    found = data.find(piece)
    while found >= 0 and len(places) <= _MOST_PLACES:
        places.append(found)
        found = data.find(piece, found + 1)
    return places


def _too_many(path: str, data: bytes, places: list[int]) -> ToolError:
    shown = [str(data.count(b"\n", 0, place) + 1) for place in places[:_MOST_PLACES]]
    many = f"more than {_MOST_PLACES}" if len(places) > _MOST_PLACES else str(len(places))
    return ToolError(
        f"old occurs {many} times in {safe_text(path)}, at lines {', '.join(shown)}; "
        "add lines around it until it is unique",
        "several_matches",
    )


def _excerpt(data: bytes, start: int, size: int) -> str:
    """The changed lines and two on each side, numbered."""
    first = max(data.count(b"\n", 0, start) - _AROUND, 0)
    last = data.count(b"\n", 0, start + size) + _AROUND
    lines = split_lines(data)[first : min(last + 1, first + _MOST_SHOWN)]
    return "\n".join(numbered(lines, first + 1, 300)) or "(empty file)"
