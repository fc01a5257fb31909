"""Why a piece of text was not found in a file: what is there instead."""

from __future__ import annotations

import difflib
import time

from agentgym_tools.numbered_lines import numbered, split_lines

_SECONDS = 0.3
"""Comparing is quadratic, and the file may be made to be the worst case."""
_COMPARED = 160
_MOST_SHOWN = 10
_ALIKE = 0.6


def explain_no_match(data: bytes, piece: bytes) -> str:
    """One or more lines for the model: the place that was perhaps meant, or that there is none."""
    lines, wanted = split_lines(data), split_lines(piece)
    while len(wanted) > 1 and not wanted[0].strip():
        wanted.pop(0)
    while len(wanted) > 1 and not wanted[-1].strip():
        wanted.pop()
    same = _but_for_whitespace(lines, wanted)
    if same is not None:
        return (
            f"Lines {same + 1} to {same + len(wanted)} differ from it in whitespace only; "
            f"they are (written as Python strings):\n{_shown(lines, same, len(wanted), quote=True)}"
        )
    close = _closest(lines, wanted)
    if close is None:
        return "No line of the file is like it; view the file first."
    return f"The closest lines are:\n{_shown(lines, close, len(wanted), quote=False)}"


def _but_for_whitespace(lines: list[bytes], wanted: list[bytes]) -> int | None:
    """Where the lines occur if all whitespace is left out."""
    bare, target = [b"".join(line.split()) for line in lines], [b"".join(w.split()) for w in wanted]
    if not any(target):
        return None
    stop = time.monotonic() + _SECONDS
    for start in range(len(bare) - len(target) + 1):
        if bare[start] == target[0] and bare[start : start + len(target)] == target:
            return start
        if len(target) == 1 and target[0] in bare[start]:
            return start
        if time.monotonic() > stop:
            break
    return None


def _closest(lines: list[bytes], wanted: list[bytes]) -> int | None:
    """Where ``wanted`` would begin if its longest line were the line most like it."""
    index = max(range(len(wanted)), key=lambda i: len(wanted[i].strip()))
    matcher = difflib.SequenceMatcher(b=_text(wanted[index]), autojunk=False)
    best, best_ratio = None, _ALIKE
    seen: set[bytes] = set()
    stop = time.monotonic() + _SECONDS
    for number, line in enumerate(lines):
        if time.monotonic() > stop:
            break
        if line in seen:
            continue
        seen.add(line)
        matcher.set_seq1(_text(line))
        if matcher.real_quick_ratio() > best_ratio and matcher.quick_ratio() > best_ratio:
            ratio = matcher.ratio()
            if ratio > best_ratio:
                best, best_ratio = number, ratio
    return None if best is None else max(best - index, 0)


def _text(line: bytes) -> str:
    return line.strip()[:_COMPARED].decode("utf-8", "surrogateescape")


def _shown(lines: list[bytes], start: int, count: int, *, quote: bool) -> str:
    shown = lines[start : start + min(count, _MOST_SHOWN)]
    if quote:
        shown = [ascii(line[:300].decode("utf-8", "surrogateescape")).encode() for line in shown]
    return "\n".join(numbered(shown, start + 1, 300))
