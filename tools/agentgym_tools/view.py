"""The ``view`` tool: lines of a file with their numbers, or the entries of a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agentgym.errors import ToolError
from agentgym.sandbox import FileInfo, Sandbox
from agentgym.tools import Tool, tool
from agentgym_tools.file_errors import file_errors
from agentgym_tools.numbered_lines import numbered, split_lines
from agentgym_tools.report import MAX_CHARS
from agentgym_tools.safe_text import safe_text

LARGEST = 4 << 20
"""Bytes of a file that the file tools take into the trainer's memory."""
_MOST_LINES = 500
_LONGEST_LINE = 1000
_MOST_ENTRIES = 200
_HEX_BYTES = 256


def view_tool(box: Callable[[], Sandbox]) -> Tool:
    """A tool ``view(path, start_line, end_line)``: at most 500 lines and 16,000 characters.

    Bytes that are not UTF-8 and invisible characters are escaped; of a binary file the model sees
    the size and the first bytes in hexadecimal.
    """

    async def view(path: str = ".", start_line: int = 1, end_line: int | None = None) -> str:
        """Show the lines of a file with their numbers, or the entries of a folder.

        Args:
            path: The file or folder.
            start_line: First line, counted from 1.
            end_line: Last line; as many as fit when left out.
        """
        here = box()
        with file_errors(path):
            try:
                data = await here.read_file(path, max_bytes=LARGEST + 1)
            except IsADirectoryError:
                return _listing(await here.list_dir(path))
        if is_binary(data):
            return _hex(data)
        return _numbered(data, start_line, end_line)

    return tool(view)


def is_binary(data: bytes) -> bool:
    """Whether these bytes are no text: a null byte early on."""
    return b"\0" in data[:8192]


def _numbered(data: bytes, start: int, end: int | None) -> str:
    cut = "first " if len(data) > LARGEST else ""
    lines = split_lines(data[:LARGEST])
    if not lines:
        return "(empty file)"
    if not 1 <= start <= len(lines) or (end is not None and end < start):
        raise ToolError(
            f"lines {start} to {end or 'the end'} are not there: the file has {len(lines)} lines "
            "and start_line must not be after end_line",
            "out_of_range",
        )
    stop = min(end or len(lines), len(lines), start - 1 + _MOST_LINES)
    shown: list[str] = []
    room = MAX_CHARS
    for line in numbered(lines[start - 1 : stop], start, _LONGEST_LINE):
        room -= len(line) + 1
        if room < 0 and shown:
            break
        shown.append(line)
    last = start + len(shown) - 1
    notes = _notes(data, lines, start, last, cut)
    return "\n".join(shown + notes)


def _notes(data: bytes, lines: Sequence[bytes], start: int, last: int, cut: str) -> list[str]:
    notes = []
    if (start, last) != (1, len(lines)) or cut:
        more = f"; view from start_line={last + 1} for more" if last < len(lines) else ""
        size = f"{cut}{len(lines)} lines" + (f", {LARGEST} bytes" if cut else "")
        notes.append(f"[lines {start} to {last} of the {size}{more}]")
    if b"\r\n" in data:
        notes.append("[lines end in \\r\\n]")
    return notes


def _hex(data: bytes) -> str:
    size = f"more than {LARGEST}" if len(data) > LARGEST else str(len(data))
    rows = [f"[binary file, {size} bytes; its first bytes:]"]
    for offset in range(0, min(len(data), _HEX_BYTES), 16):
        row = data[offset : offset + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{offset:08x}  {row.hex(' '):<47}  {text}")
    return "\n".join(rows)


def _listing(entries: Sequence[FileInfo]) -> str:
    shown = [_entry(entry) for entry in entries[:_MOST_ENTRIES]]
    if len(entries) > _MOST_ENTRIES:
        shown.append(f"[{len(entries) - _MOST_ENTRIES} more; use find]")
    return "\n".join(shown) or "(empty folder)"


def _entry(entry: FileInfo) -> str:
    name = safe_text(entry.name).replace("\n", "\\n")
    match entry.kind:
        case "folder":
            return f"{name}/"
        case "file":
            return f"{name}  {entry.size} bytes"
        case "link":
            return f"{name}  (symbolic link)"
        case "other":
            return f"{name}  (not a regular file)"
