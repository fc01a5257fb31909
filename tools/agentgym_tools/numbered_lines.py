"""Lines of a file as the model sees them: numbered, and safe to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentgym_tools.safe_text import cut_text


def split_lines(data: bytes) -> list[bytes]:
    """Lines without their ends; ``\\n`` ends a line, and a ``\\r`` before it belongs to the end."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line[:-1] if line.endswith(b"\r") else line for line in lines]


def numbered(lines: Sequence[bytes], first: int, longest: int) -> Iterator[str]:
    """Each line with its number, counted from ``first``.

    Args:
        lines: Without their ends.
        first: Number of the first one.
        longest: Characters of a line; of more, its head and tail are shown.
    """
    for number, line in enumerate(lines, first):
        # Only the note about what was left out can hold a newline.
        yield f"{number:>6}\t" + cut_text(line, longest).replace("\n", " ")
