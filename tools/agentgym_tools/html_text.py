"""HTML as plain text: what a reader would see, a line for each block, links with their address.

One pass that never looks back: the standard library's parser takes quadratic time on pages made to
be its worst case, and pages come from strangers.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_RAW = frozenset({"script", "style", "template", "noscript", "svg", "textarea"})
"""Elements whose content is nothing to read."""
_BLOCK = re.compile(
    "address|article|aside|blockquote|br|dd|div|dl|dt|fieldset|figure|footer|form|h[1-6]|header|hr"
    "|li|main|nav|ol|p|pre|section|table|title|tr|ul"
)
_TAG = re.compile(r"(/?)([A-Za-z][A-Za-z0-9:-]{0,40})")
_HREF = re.compile(r"""\shref\s?=\s?("[^"]{0,500}"|'[^']{0,500}'|[^\s"'>]{1,500})""", re.I)
_NO_CHARACTER = re.compile("&#[0-9]{9,}")


def html_text(page: str) -> str:
    """The text of a page. Raises nothing; broken HTML gives what can be read of it."""
    text = "".join(_pieces(page))
    lines = (re.sub(r"[ \t\r\f]+", " ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _pieces(page: str) -> Iterator[str]:
    lower = page.lower() if len(page.lower()) == len(page) else page
    links: list[str] = []
    position = 0
    while position < len(page):
        start = page.find("<", position)
        start = len(page) if start < 0 else start
        yield _unescape(page[position:start])
        if page.startswith("<!--", start):
            position = _after(page, "-->", start + 4)
            continue
        tag = _TAG.match(page, start + 1)
        if tag is None and page[start + 1 : start + 2] not in ("!", "?", "/"):
            yield "<" if start < len(page) else ""
            position = start + 1
            continue
        position = _after(page, ">", start + 1)
        if tag is None:
            continue
        closing, name = tag.group(1), tag.group(2).lower()
        if name in _RAW and not closing:
            position = _after(page, ">", _after(lower, f"</{name}", position))
        elif name == "a":
            yield _link(page[tag.end() : position], bool(closing), links)
        elif name in ("td", "th") and not closing:
            yield " | "
        elif _BLOCK.fullmatch(name):
            yield "\n"


def _after(page: str, end: str, position: int) -> int:
    found = page.find(end, position)
    return len(page) if found < 0 else found + len(end)


def _link(attributes: str, closing: bool, links: list[str]) -> str:
    """The address of a link goes behind its text."""
    if closing:
        address = links.pop() if links else ""
        return f" <{address}>" if address else ""
    found = _HREF.search(attributes[:1000])
    address = _unescape(found.group(1).strip("\"'")) if found else ""
    links.append("" if address.startswith(("#", "javascript:")) else address)
    return ""


def _unescape(text: str) -> str:
    return html.unescape(_NO_CHARACTER.sub("", text))  # it raises ValueError for a huge number
