"""What a page of the library reference documents, read from the HTML that Sphinx wrote."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"(?P<open><dl\b[^>]*>)|(?P<close></dl>)"
    r'|<dt class="sig [^"]*" id="(?P<name>[^"]+)">(?P<signature>.*?)</dt>'
    r'|<div class="(?P<kind>versionadded|versionchanged)">\s*<p>(?P<note>.*?)</p>',
    re.S,
)
_KIND = re.compile(r'<dl class="py (\w+)"')
_VERSION = re.compile(r"in version (\d+(?:\.\d+)+)(?P<colon>: )?\.?\s*(?P<text>.*)", re.S)
_WRITTEN = re.compile(
    r'<span class="sig-(?:prename descclassname|name descname)">(.*?)</span></span>'
)
_PARAMETER = re.compile(r'<em class="sig-param">(.*?)</em>(?=,|<|\[)', re.S)
_DEFAULT = re.compile(r'<span class="default_value">(.*)</span>', re.S)
_NAME = re.compile(r'<span class="n">(.*?)</span></span>', re.S)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Note:
    """ "New in" or "Changed in" a version, with what is said of it."""

    version: str
    text: str
    added: bool


@dataclass(slots=True)
class Entry:
    """One documented name.

    ``top`` says that it is not part of another entry, such as a class; ``shared``, that other
    names have the same description.
    """

    name: str
    kind: str
    page: str
    top: bool
    shared: bool = False
    defaults: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def page_entries(page: str, source: str) -> list[Entry]:
    """The entries of a page; those on one level are in the order of the page.

    Args:
        page: Its address below the root, such as ``library/json.html``.
        source: Its HTML.
    """
    groups = list(_groups(page, source))
    for group in groups:
        for entry in group:
            entry.shared = len(group) > 1
    return [entry for group in groups for entry in group]


def _groups(page: str, source: str) -> Iterator[list[Entry]]:
    """The names of each description list; notes go to the innermost list that they stand in."""
    open_lists: list[tuple[str, list[Entry]]] = []
    for token in _TOKEN.finditer(source):
        if token["open"]:
            kind = _KIND.match(token["open"])
            open_lists.append((kind[1] if kind else "", []))
        elif token["close"]:
            _, group = open_lists.pop() if open_lists else ("", [])
            yield group
        elif token["name"]:
            _add_entry(open_lists, page, token["name"], token["signature"])
        else:
            _add_note(open_lists, token["note"], token["kind"] == "versionadded")


def _add_entry(
    open_lists: list[tuple[str, list[Entry]]], page: str, name: str, signature: str
) -> None:
    if open_lists and open_lists[-1][0]:
        kind, group = open_lists[-1]
        top = not any(outer for outer, _ in open_lists[:-1])
        group.append(Entry(_shown(name, signature), kind, page, top, defaults=_defaults(signature)))


def _add_note(open_lists: list[tuple[str, list[Entry]]], note: str, added: bool) -> None:
    owners = next((group for kind, group in reversed(open_lists) if kind), [])
    found = _VERSION.search(plain(note))
    if found and owners:
        owners[-1].notes.append(Note(found[1], found["text"].strip(), added))


def _shown(anchor: str, signature: str) -> str:
    """The name as it is written; the anchor of one that begins with underscores is without them."""
    written = plain("".join(_WRITTEN.findall(signature)))
    return written if written.lstrip("_") == anchor else anchor


def _defaults(signature: str) -> dict[str, str]:
    found = {}
    for parameter in _PARAMETER.findall(signature):
        name, value = _NAME.search(parameter), _DEFAULT.search(parameter)
        if name and value:
            found[plain(name[1])] = plain(value[1])
    return found


def plain(markup: str) -> str:
    """The text of a piece of HTML, on one line."""
    return " ".join(html.unescape(_TAG.sub("", markup)).split())
