"""What a server sent: read in bounded memory, and decoded without trusting what it says."""

from __future__ import annotations

import codecs
import zlib
from dataclasses import dataclass

import aiohttp

from agentgym.errors import ToolError

_CHUNK = 1 << 14
# Others are slow on purpose (punycode), no text (zip) or not what a browser would accept.
_CHARSETS = ("utf-", "ascii", "iso8859", "cp", "koi8", "shift_jis", "euc_", "gb", "big5", "iso2022")
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")


@dataclass(frozen=True, slots=True)
class Body:
    """One response, its content cut at a limit."""

    url: str
    status: int
    content_type: str
    charset: str | None
    data: bytes
    complete: bool
    """Whether ``data`` is everything that the server sent."""
    declared: int | None
    """Bytes that the server said it would send, if it said so and did not compress them."""


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> Body:
    """Read at most ``max_bytes`` after decompression; the rest is neither fetched nor unpacked.

    Raises:
        ToolError: ``connection_failed``: the content is compressed in a way nobody asked for.
        zlib.error: It is not compressed as it says.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise ToolError(f"the server sent {encoding[:50]!r} encoding", "connection_failed")
    unpack = zlib.decompressobj(47) if encoding not in ("identity", "") else None
    data = bytearray()
    complete = True
    async for chunk in response.content.iter_chunked(_CHUNK):
        room = max_bytes + 1 - len(data)
        data += chunk[:room] if unpack is None else unpack.decompress(chunk, room)
        if len(data) > max_bytes:
            complete = False
            break
    return Body(
        url=str(response.url),
        status=response.status,
        content_type=response.content_type,
        charset=response.charset,
        data=bytes(data[:max_bytes]),
        complete=complete,
        declared=response.content_length if unpack is None else None,
    )


def body_text(body: Body) -> str | None:
    """The content as text, or None if it is binary. Bytes that do not fit become escapes."""
    charset = _known(body.charset)
    declared = body.content_type.startswith(_TEXT_TYPES) or body.content_type.endswith(
        ("+xml", "+json")
    )
    if not charset and b"\0" in body.data:
        return None
    if not charset and not declared:
        try:
            body.data[:-4].decode()  # the limit may have cut a character
        except UnicodeDecodeError:
            return None
    return body.data.decode(charset or "utf-8", "backslashreplace")


def _known(charset: str | None) -> str | None:
    try:
        name = codecs.lookup(charset).name if charset else ""
    except (LookupError, ValueError):
        return None
    return name if name.startswith(_CHARSETS) else None
