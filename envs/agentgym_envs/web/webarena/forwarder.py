"""Carries a browser's request to a site on this machine, and the answer back."""

from __future__ import annotations

import re
from collections.abc import Iterable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from agentgym import EnvError
from agentgym_envs.web.webarena.origins import Origins

_TIMEOUT = aiohttp.ClientTimeout(total=60)
_DROPPED = re.compile(
    r"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|host|content-length"
    r"|content-encoding|accept-encoding|strict-transport-security",
    re.I,
)
_TEXT = re.compile(r"text/|application/(json|javascript|xml|xhtml)")
_DOMAIN = re.compile(r";\s*domain=[^;]*", re.I)
_SECURE = re.compile(r";\s*(secure|samesite=none)(?=;|$)", re.I)


class Forwarder:
    """One episode's way to its sites; it keeps no cookies, the browser does.

    Addresses of the sites in headers and texts are renamed, in both directions. A site that
    cannot be reached is answered with 502 and remembered: see :meth:`check`.
    """

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._session: aiohttp.ClientSession | None = None
        self._failure = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """The site's answer; ``None`` where the address is of none of them."""
        target = self._origins.outside(request.url)
        if target is None or "Upgrade" in request.headers:
            return None
        try:
            return await self._forward(request, target)
        except (TimeoutError, aiohttp.ClientError) as error:
            self._failure = f"{target.origin()}: {error or type(error).__name__}"
            return web.Response(status=502, text="The site cannot be reached.")

    def check(self) -> None:
        """Say so if a site failed.

        Raises:
            EnvError: One could not be reached (kind ``site_unreachable``).
        """
        if self._failure:
            raise EnvError("site_unreachable", self._failure)

    async def aclose(self) -> None:
        """Close what is open. May be called twice."""
        if self._session is not None:
            await self._session.close()

    async def _forward(self, request: web.BaseRequest, target: URL) -> web.Response:
        session = self._opened_session()
        body = await request.read() if request.body_exists else None
        async with session.request(
            request.method,
            target,
            headers=self._headers_out(request),
            data=body,
            allow_redirects=False,
        ) as answer:
            return web.Response(
                status=answer.status,
                headers=self._headers_in(answer),
                body=self._renamed(await answer.read(), answer),
            )

    def _opened_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(cookie_jar=jar, timeout=_TIMEOUT)
        return self._session

    def _headers_out(self, request: web.BaseRequest) -> CIMultiDict[str]:
        headers = _end_to_end(request.headers.items())
        return CIMultiDict((name, self._origins.reveal(value)) for name, value in headers)

    def _headers_in(self, answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in _end_to_end(answer.headers.items()):
            if name.lower() == "set-cookie":
                value = _SECURE.sub("", _DOMAIN.sub("", value))
            headers.add(name, self._origins.rename(value))
        return headers

    def _renamed(self, body: bytes, answer: aiohttp.ClientResponse) -> bytes:
        if not _TEXT.match(answer.content_type):
            return body
        # latin-1 gives every byte back, whatever the text is really written in
        return self._origins.rename(body.decode("latin-1")).encode("latin-1")


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that are not about this connection."""
    return [(name, value) for name, value in headers if not _DROPPED.fullmatch(name)]
