"""The ``http`` tool: fetch a page from hosts that the environment allows, and from no other.

It runs in the trainer, since sandboxes have no network. So it trusts nothing: each redirect is
checked as the first URL was, a name is looked up once and must lead to public addresses, and what
comes back is read in bounded time and memory.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Literal

import aiohttp
from yarl import URL

from agentgym.errors import ToolError, UsageError
from agentgym.tools import Tool, tool
from agentgym_tools.html_text import html_text
from agentgym_tools.http_body import Body, body_text, read_body
from agentgym_tools.http_hosts import AllowedHost, PublicResolver, check_url
from agentgym_tools.report import MAX_CHARS
from agentgym_tools.safe_text import cut_text, safe_text

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def http_tool(
    allowed_hosts: Sequence[str],
    *,
    timeout_s: float = 10.0,
    max_bytes: int = 1 << 20,
    max_chars: int = MAX_CHARS,
    as_text: bool = True,
    allow_private: bool = False,
) -> Tool:
    """A tool ``http(url, method)`` for GET and HEAD. An HTTP error status is text, not an error.

    Errors have the codes ``invalid_url``, ``host_not_allowed``, ``private_host``,
    ``too_many_redirects``, ``timeout``, ``connection_failed``. Nothing is remembered between calls,
    no proxy or cookie of the trainer's is used, and no credentials can be given.

    Args:
        allowed_hosts: ``"example.org"``, ``"*.example.org"`` for all names below it, either with
            ``":8080"``; without it the scheme's own port.
        timeout_s: Seconds for everything, redirects included.
        max_bytes: Bytes of the body that are read, after decompression.
        max_chars: Characters shown; of more, head and tail.
        as_text: Reduce HTML to its text.
        allow_private: Let names lead to private and loopback addresses, for servers of your own.

    Raises:
        UsageError: A host pattern or a limit makes no sense.
    """
    if isinstance(allowed_hosts, str):
        raise UsageError(f"allowed_hosts must be a list of hosts, got {allowed_hosts!r}")
    if not timeout_s > 0 or max_bytes < 1:
        raise UsageError(f"timeout_s and max_bytes must be positive: {timeout_s!r}, {max_bytes!r}")
    allowed = [AllowedHost.parse(pattern) for pattern in allowed_hosts]

    async def http(url: str, method: Literal["GET", "HEAD"] = "GET") -> str:
        """Fetch a URL from one of the allowed hosts.

        Args:
            url: An http or https address.
            method: HEAD fetches the headers only.
        """
        try:
            async with asyncio.timeout(timeout_s):
                body = await _fetch(url, method, allowed, allow_private, max_bytes)
        except TimeoutError as error:
            raise ToolError(f"no answer within {timeout_s:g} s; try another page", "timeout") from (
                error
            )
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            text = safe_text(f"{type(error).__name__}: {error}")[:300]
            raise ToolError(f"{text}; check the address", "connection_failed") from error
        text = await asyncio.to_thread(_show, body, as_text)
        return f"{_head(body)}\n\n{cut_text(text, max_chars)}".rstrip()

    return tool(http)


async def _fetch(
    text: str, method: str, allowed: Sequence[AllowedHost], allow_private: bool, max_bytes: int
) -> Body:
    """Follow redirects by hand, each checked anew."""
    url = check_url(text, allowed, allow_private)
    connector = aiohttp.TCPConnector(
        resolver=PublicResolver(allow_private), use_dns_cache=False, force_close=True
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"Accept-Encoding": "gzip", "User-Agent": "agentgym"},
    ) as session:
        for _ in range(_MOST_REDIRECTS + 1):
            async with session.request(method, url, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    return await read_body(response, max_bytes)
            url = check_url(_joined(url, location), allowed, allow_private)
    raise ToolError(
        f"more than {_MOST_REDIRECTS} redirects; try another page", "too_many_redirects"
    )


def _joined(url: URL, location: str) -> str:
    try:
        return str(url.join(URL(location)).with_fragment(None))
    except ValueError as error:
        raise ToolError(f"redirect to {location[:200]!r}, no URL", "invalid_url") from error


def _head(body: Body) -> str:
    partial = body.declared not in (None, len(body.data))
    size = f"{len(body.data)} bytes" + (f" of {body.declared}" if partial else "")
    if not body.complete:
        size = f"first {size}; the rest was left out"
    return cut_text(
        f"HTTP {body.status} {body.url}\n{body.content_type or 'no type'}, {size}", 4000
    )


def _show(body: Body, as_text: bool) -> str:
    text = body_text(body)
    if text is None:
        return f"[binary, {len(body.data)} bytes, {safe_text(body.content_type) or 'no type'}]"
    return html_text(text) if as_text and body.content_type in _HTML else text


_HTML = frozenset({"text/html", "application/xhtml+xml"})
