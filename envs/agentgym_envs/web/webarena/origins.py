"""What the sites of a task file are called inside, and where they really are.

A page shows ``http://shopping.test/cart``, whatever port the shop listens on, so that an episode
can be told again. Task files name a site by a placeholder (``__SHOPPING__``) or by its address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from agentgym import UsageError

_PLACEHOLDER = re.compile(r"__[A-Z0-9_]+?__")


@dataclass(frozen=True, slots=True)
class Origin:
    """One site: ``inside`` and ``outside`` are origins such as ``http://127.0.0.1:7770``.

    ``base`` is what the placeholder stands for inside, which may have a path.
    """

    placeholder: str
    inside: str
    outside: str
    base: str


class Origins:
    """The sites that may be visited.

    Args:
        addresses: Placeholder to address, as in ``{"__SHOPPING__": "http://127.0.0.1:7770"}``.

    Raises:
        UsageError: A placeholder or an address is not one.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._known = [_named(name, address) for name, address in addresses.items()]

    def inside(self, text: str) -> str:
        """``text`` with every address and placeholder of a known site as it is called inside.

        Raises:
            UsageError: It has a placeholder of no known site.
        """
        for one in self._known:
            text = text.replace(one.placeholder, one.base)
        unknown = _PLACEHOLDER.search(text)
        if unknown:
            raise UsageError(
                f"no address for {unknown[0]}: give origins={{{unknown[0]!r}: 'http://127.0.0.1:…'}}"
            )
        return self.rename(text)

    def rename(self, text: str) -> str:
        """``text`` with the real addresses replaced."""
        for one in self._known:
            text = re.sub(re.escape(one.outside) + r"(?!\d)", one.inside, text)
        return text

    def reveal(self, text: str) -> str:
        """The opposite of :meth:`rename`."""
        for one in self._known:
            text = text.replace(one.inside, one.outside)
        return text

    def outside(self, url: str | URL) -> URL | None:
        """Where a request really goes; ``None``: to none of the sites."""
        for one in self._known:
            if _origin(str(url)) == one.inside:
                return URL(one.outside).join(URL(url).relative())
        return None

    def with_local(self, url: str) -> Origins:
        """These, and the site of ``url`` if it is on this machine."""
        address = _origin(url)
        if address is None or any(address == one.outside for one in self._known):
            return self
        if not _is_local(URL(address).host or ""):
            return self
        also = Origins({})
        name = f"http://local-{URL(address).port}.test"
        also._known = [*self._known, Origin(address, name, address, name)]
        return also


def _named(placeholder: str, address: str) -> Origin:
    if not _PLACEHOLDER.fullmatch(placeholder):
        raise UsageError(f"origins takes names like '__SHOPPING__', got {placeholder!r}")
    origin = _origin(address)
    if origin is None:
        raise UsageError(f"origins[{placeholder!r}] must be an http address, got {address!r}")
    name = placeholder.strip("_").lower().replace("_", "-")
    inside = f"http://{name}.test"
    return Origin(placeholder, inside, origin, inside + URL(address).path.rstrip("/"))


def _origin(address: str) -> str | None:
    try:
        url = URL(address)
        return str(url.origin()) if url.scheme in ("http", "https") else None
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
