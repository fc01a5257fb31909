"""Which hosts may be fetched from, and which addresses a name may not lead to."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from agentgym.errors import ToolError, UsageError

_PORTS = {"http": 80, "https": 443}
# Addresses that carry an IPv4 address inside: 6to4, Teredo, NAT64.
_TUNNELS = [
    ipaddress.ip_network(net)
    for net in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48")
]


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """A host name, or all names below it, with one port or the scheme's own."""

    name: str
    port: int | None = None
    below: bool = False
    """Whether it stands for every name that ends with ``.name``, and not for the name itself."""

    @classmethod
    def parse(cls, pattern: str) -> AllowedHost:
        """From ``"example.org"``, ``"*.example.org"`` or ``"example.org:8080"``.

        Raises:
            UsageError: It is neither.
        """
        below = pattern.startswith("*.")
        name = pattern[2:] if below else pattern
        try:
            url = URL(f"http://{name}/")
            host, port = url.raw_host, url.explicit_port
        except ValueError:
            host = port = None
        if not host or not name.isprintable() or set(name) & set(" *@/?#%\\"):
            raise UsageError(
                f"{pattern!r} is no host; allowed_hosts takes names like 'example.org', "
                "'*.example.org' or 'example.org:8080'"
            )
        return cls(host.rstrip(".").lower(), port, below)

    def fits(self, url: URL) -> bool:
        """Whether the URL's host and port are meant."""
        host = (url.raw_host or "").rstrip(".").lower()
        port = self.port if self.port is not None else _PORTS.get(url.scheme)
        same = host.endswith("." + self.name) if self.below else host == self.name
        return same and url.port == port

    def __str__(self) -> str:
        return ("*." if self.below else "") + self.name + (f":{self.port}" if self.port else "")


def check_url(text: str, allowed: Sequence[AllowedHost], allow_private: bool) -> URL:
    """The URL as the HTTP client will read it, if it may be fetched.

    Raises:
        ToolError: ``invalid_url``, or ``host_not_allowed`` with the hosts that are.
    """
    hosts = ", ".join(map(str, allowed)) or "none"
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise ToolError(f"{text[:200]!r} is no URL: {error}", "invalid_url") from error
    if url.scheme not in _PORTS or not url.raw_host or port is None or not text.isprintable():
        raise ToolError(
            f"{text[:200]!r} is not allowed; give http://… or https://… with one of the hosts "
            f"{hosts}",
            "invalid_url",
        )
    authority = re.split("[/?#]", text.partition("://")[2])[0]
    if "@" in authority or "\\" in text or " " in text:
        raise ToolError(
            f"{text[:200]!r} has a user name, a backslash or a space; leave it out", "invalid_url"
        )
    if not any(one.fits(url) for one in allowed):
        raise ToolError(
            f"host {url.authority[:200]!r} is not allowed; allowed hosts: {hosts}",
            "host_not_allowed",
        )
    if not allow_private:
        _check_literal(url.raw_host)
    return url


def is_public(address: str) -> bool:
    """Whether an IP address lies on the open internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in tunnel for tunnel in _TUNNELS):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class PublicResolver(AbstractResolver):
    """Looks a name up once, and refuses it if any of its addresses is not public.

    The connection is made to the very addresses that were checked, so an answer that changes
    between check and use changes nothing.
    """

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of a host. Raises ToolError if it leads to a private network."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results: list[ResolveResult] = []
        for kind, _, proto, _, address in found:
            if not self._allow_private and not is_public(str(address[0])):
                raise _private(host)
            results.append(
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=port,
                    family=kind,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _check_literal(host: str) -> None:
    try:
        public = is_public(host)
    except ValueError:
        return  # a name; the resolver checks what it leads to
    if not public:
        raise _private(host)


def _private(host: str) -> ToolError:
    return ToolError(f"host {host!r} leads to a private network, which is closed", "private_host")
