"""From the web server's requests to the shop's and back: cookies, forms, redirects, headers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from urllib.parse import parse_qsl

from aiohttp import web

from agentgym_envs.web.shop.exchange import Reply, Request, Session
from agentgym_envs.web.shop.layout import page
from agentgym_envs.web.shop.routes import answer
from agentgym_envs.web.shop.state import Shop

COOKIE = "session"
SCRIPT = """
document.querySelectorAll("form[data-ask]").forEach(form => form.addEventListener("submit",
  event => { if (!confirm(form.dataset.ask)) event.preventDefault(); }));
"""
_MOST_BYTES = 64_000
_MOST_FIELDS = 60
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Server:
    """Serves one episode's shop.

    The first session may have signed in already; later ones are guests. Tokens follow from
    ``secret``, which nobody in the browser knows.
    """

    def __init__(self, shop: Shop, secret: bytes, signed_in: int | None) -> None:
        self._shop = shop
        self._secret = secret
        self._signed_in = signed_in
        self._sessions = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Serve one request."""
        if request.method not in ("GET", "HEAD", "POST"):
            return web.Response(status=405, text="Method not allowed", headers=_HEADERS)
        if request.path == "/static/shop.js":
            return web.Response(text=SCRIPT, content_type="text/javascript", headers=_HEADERS)
        form = await _form(request) if request.method == "POST" else {}
        if form is None:
            return web.Response(status=413, text="This is too much.", headers=_HEADERS)
        session, note = self._session(request.cookies.get(COOKIE, ""))
        asked = Request(session, request.path, _first(request.query.items()), form)
        return self._written(asked, answer(self._shop, request.method, asked), note)

    def _written(self, asked: Request, reply: Reply, note: str) -> web.Response:
        db, token = self._shop.db, asked.session.token
        if reply.location:
            with db:
                db.execute("UPDATE session SET note = ? WHERE token = ?", (reply.note, token))
            response = web.Response(status=303, headers={**_HEADERS, "Location": reply.location})
        else:
            with db:
                db.execute("UPDATE session SET note = '' WHERE token = ?", (token,))
            words = asked.query.get("q", "")[:100] if asked.path == "/search" else ""
            response = web.Response(
                status=reply.status,
                text=page(self._shop, asked.session, reply, note, words),
                content_type="text/html",
                charset="utf-8",
                headers=_HEADERS,
            )
        response.set_cookie(COOKIE, token, path="/", httponly=True, samesite="Lax")
        return response

    def _session(self, token: str) -> tuple[Session, str]:
        db = self._shop.db
        row = db.execute("SELECT customer, note FROM session WHERE token = ?", (token,)).fetchone()
        if row is not None:
            return Session(token, row[0]), row[1]
        made = self._token()
        customer = self._signed_in if self._sessions == 1 else None
        with db:
            db.execute("INSERT INTO session (token, customer) VALUES (?, ?)", (made, customer))
        return Session(made, customer), ""

    def _token(self) -> str:
        self._sessions += 1
        number = self._sessions.to_bytes(8, "little")
        return hashlib.blake2b(number, key=self._secret, digest_size=16).hexdigest()


async def _form(request: web.BaseRequest) -> dict[str, str] | None:
    """The fields of a form; ``None`` if it is larger than any that this shop has."""
    if (request.content_length or 0) > _MOST_BYTES:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            return None
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        return None
    return _first(pairs)


def _first(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields
