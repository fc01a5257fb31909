"""Turning bytes that anyone may have written into text that hides nothing.

What a terminal or a reader would not show as it is becomes an escape: invalid UTF-8 and control
characters ``\\xNN``, invisible or direction-changing characters ``\\uNNNN``. Newlines and tabs
stay.
"""

from __future__ import annotations

import re
from bisect import bisect_right

_UNSAFE = re.compile(
    "\r\n|["
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad"  # control characters; soft hyphen
    "\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # invisible in any font
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\ud800-\udfff"  # undecodable bytes
    "\u0600-\u0605\u06dd\u070f\u0890-\u0891\u08e2"  # signs that enclose what follows
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"  # tags and supplementary variation selectors: whole hidden texts
    "]"
)


def safe_text(data: bytes | str) -> str:
    """All of ``data``, with everything that cannot be seen escaped; ``\\r\\n`` is a newline."""
    return _UNSAFE.sub(_escape, _decode(data))


def cut_text(data: bytes | str, max_chars: int, *, total: int | None = None) -> str:
    """``data`` as :func:`safe_text`, or its head and tail around a line that counts what is not.

    Args:
        data: The bytes, or text.
        max_chars: Characters of the result, the line in the middle not counted.
        total: Bytes there were before something else cut ``data``; for the count.
    """
    text = _decode(data)
    shown = _UNSAFE.sub(_escape, text)
    if len(shown) <= max_chars:
        return shown
    half = max_chars // 2
    lengths = range(2 * half + 1)  # an escape may be half as long as its source: \r\n
    head = bisect_right(lengths, half, key=lambda n: len(safe_text(text[:n]))) - 1
    tail = bisect_right(lengths, half, key=lambda n: len(safe_text(text[len(text) - n :]))) - 1
    middle = text[head : len(text) - tail].encode("utf-8", "surrogateescape")
    size = len(text.encode("utf-8", "surrogateescape"))
    left_out = len(middle) + max((total or 0) - size, 0)
    ends = safe_text(text[:head]), safe_text(text[len(text) - tail :])
    return f"{ends[0]}\n[... {left_out} bytes left out ...]\n{ends[1]}"


def _decode(data: bytes | str) -> str:
    return data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    if character == "\r\n":
        return "\n"
    if character == "\r":
        return "\\r"
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
