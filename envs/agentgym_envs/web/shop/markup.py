"""HTML that cannot be forgotten to escape: text becomes markup only by :func:`tag`."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset(("input", "br", "meta", "hr"))


class Html(str):
    """A piece of finished markup; a plain ``str`` is text."""

    __slots__ = ()


Content = str | Iterable[str] | None


def join(*content: Content) -> Html:
    """Pieces one after another; text is escaped, ``None`` is left out."""
    parts: list[str] = []
    for one in content:
        if isinstance(one, Html):
            parts.append(one)
        elif isinstance(one, str):
            parts.append(escape(one))
        elif one is not None:
            parts.append(join(*one))
    return Html("".join(parts))


def tag(name: str, /, *content: Content, **attributes: str | int | bool | None) -> Html:
    """An element. ``for_`` is the attribute ``for``, ``aria_label`` is ``aria-label``.

    ``True`` gives an attribute without a value; ``False`` and ``None`` leave it out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*content)}</{name}>")


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
