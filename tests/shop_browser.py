"""A browser without pictures or scripts: reads the shop's pages over HTTP, fills in its forms.

The twin of the real browser in tests that must run everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self
from urllib.parse import quote, urlencode, urljoin, urlsplit

import numpy as np
from aiohttp import ClientSession, CookieJar, web
from aiohttp.test_utils import RawTestServer
from yarl import URL

from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.server import COOKIE
from agentgym_envs.web.shop.state import Shop
from agentgym_envs.web.shop.visit import HOST, ShopVisit
from agentgym_envs.web.site import Verdict
from agentgym_tools.browser.view import Element, View

_INPUTS = {
    "search": "searchbox",
    "text": "textbox",
    "email": "textbox",
    "password": "textbox",
    "number": "spinbutton",
    "checkbox": "checkbox",
    "radio": "radio",
}


@dataclass(slots=True)
class Control:
    """A link, or a part of a form."""

    role: str
    label: str = ""
    form: int = -1
    name: str = ""
    value: str = ""
    address: str = ""
    checked: bool = False
    options: dict[str, str] = field(default_factory=dict)
    html_id: str = ""


@dataclass(slots=True)
class Form:
    """Where a form goes."""

    action: str
    method: str


class PageReader(HTMLParser):
    """The controls of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.controls: list[Control] = []
        self.text: list[str] = []
        self._labels: dict[str, str] = {}
        self._open: Control | None = None
        self._label_for: str | None = None
        self._in_label = ""
        self._boxed: Control | None = None
        self._option: str | None = None
        self._skipped = False
        self.feed(html)
        for one in self.controls:
            one.label = one.label or self._labels.get(one.html_id, "")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "style":
            self._skipped = True
        if tag == "form":
            self.forms.append(Form(has.get("action", ""), has.get("method", "get")))
        elif tag == "label":
            self._label_for, self._in_label = has.get("for", ""), ""
        elif tag == "option" and self._open is not None:
            self._option = has.get("value", "")
            self._open.options[self._option] = ""
            if "selected" in has:
                self._open.value = self._option
        elif tag in ("a", "button", "input", "select", "textarea"):
            self._control(tag, has)

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self._skipped = False
        elif tag == "label":
            text = " ".join(self._in_label.split())
            if self._label_for:
                self._labels[self._label_for] = text
            elif self._boxed is not None:
                self._boxed.label = text
            self._label_for = self._boxed = None
        elif tag == "option":
            self._option = None
        elif tag in ("a", "button", "select", "textarea"):
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        self.text.append(data)
        if self._label_for is not None:
            self._in_label += data
        if self._option is not None and self._open is not None:
            self._open.options[self._option] += data
        elif self._open is not None and self._open.role in ("link", "button"):
            self._open.label = self._open.label or data
        elif self._open is not None and self._open.role == "textbox":
            self._open.value += data

    def _control(self, tag: str, has: Mapping[str, str]) -> None:
        kind = has.get("type", "text")
        role = {"a": "link", "button": "button", "select": "combobox", "textarea": "textbox"}.get(
            tag, "hidden" if kind == "hidden" else _INPUTS.get(kind, "")
        )
        made = Control(
            role,
            has.get("aria-label", ""),
            len(self.forms) - 1,
            has.get("name", ""),
            has.get("value", ""),
            has.get("href", ""),
            "checked" in has,
            html_id=has.get("id", ""),
        )
        self.controls.append(made)
        if role in ("checkbox", "radio"):
            self._boxed = made
        if tag != "input":
            self._open = made


class ShopBrowser:
    """One episode, played over HTTP. Use with ``async with``."""

    def __init__(self, errand: Errand, *, seed: int = 0, page_size: int = 8) -> None:
        self.visit = ShopVisit(errand, np.random.default_rng(seed), page_size)
        self.url = self.visit.start_url
        self.status = 0
        self.html = ""
        self.bodies: list[str] = []
        self._page = PageReader("")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async def served(request: web.BaseRequest) -> web.StreamResponse:
            answer = await self.visit.answer(request)
            assert answer is not None
            return answer

        self._server = RawTestServer(served)
        self._stack.push_async_callback(self._server.close)
        self._stack.push_async_callback(self.visit.aclose)
        try:
            await self._server.start_server()
            jar = CookieJar(unsafe=True)
            self._client = await self._stack.enter_async_context(ClientSession(cookie_jar=jar))
            await self.open(self.url)
        except BaseException:  # a cancelled reset
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def text(self) -> str:
        """What there is to read."""
        return " ".join(" ".join(self._page.text).split())

    @property
    def view(self) -> View:
        """All of the page, whatever would fit on a screen."""
        elements = tuple(
            Element(
                str(place),
                one.role,
                one.label,
                one.options.get(one.value, one.value) if one.role != "checkbox" else "",
                ("checked",) if one.checked else (),
            )
            for place, one in enumerate(self._page.controls)
            if one.role != "hidden"
        )
        return View(self.url, "", elements)

    def controls(self) -> list[Control]:
        """Everything that can be clicked or filled in, hidden fields too."""
        return self._page.controls

    async def open(self, url: str, form: Mapping[str, str] | None = None) -> None:
        """Go there, or post a form there; follows redirects as browsers do."""
        url = f"http://{HOST}{url}" if url.startswith("/") else urljoin(self.url, url)
        for _ in range(5):
            parts = urlsplit(url)
            asked = quote(f"{parts.path}?{parts.query}", safe="/?=&%+.,")
            target = URL(f"{str(self._server.make_url('/')).rstrip('/')}{asked}", encoded=True)
            headers = {"Host": HOST}
            method = "GET" if form is None else "POST"
            body = None if form is None else urlencode(form)
            if form is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            async with self._client.request(
                method, target, data=body, headers=headers, allow_redirects=False
            ) as reply:
                self.status, self.html = reply.status, await reply.text()
                self.url = url
                if reply.status != 303:
                    break
                url, form = urljoin(url, reply.headers["Location"]), None
        self.bodies.append(self.html)
        self._page = PageReader(self.html)

    async def act(self, name: str, arguments: Mapping[str, object]) -> Verdict:
        """Carry out a move and have it judged."""
        if name == "answer":
            return self.visit.verdict(str(arguments["text"]))
        if name != "scroll":
            control = self._page.controls[int(str(arguments["id"]))]
            if name == "click":
                await self._click(control)
            elif name == "fill":
                control.value = str(arguments["text"])
            else:
                wanted = str(arguments["options"])
                control.value = next(key for key, text in control.options.items() if text == wanted)
        return self.visit.verdict(None)

    async def press(self, label: str) -> None:
        """Click on the link or button of that name."""
        roles = ("link", "button")
        await self._click(next(o for o in self.controls() if o.label == label and o.role in roles))

    def fill(self, label: str, value: str) -> None:
        """Put something in the field of that name."""
        fields = (one for one in self.controls() if one.label == label)
        next(one for one in fields if one.role not in ("link", "button")).value = value

    async def submit(self, button: str, **fields: str) -> None:
        """Send the form of that button with these values, whatever the page's fields allow."""
        number = next(one.form for one in self.controls() if one.label == button)
        held = self._values(number)
        await self.open(self._page.forms[number].action, {**held, **fields})

    async def _click(self, control: Control) -> None:
        if control.role == "link":
            await self.open(control.address)
        elif control.role == "button":
            await self._send(self._page.forms[control.form], control.form)
        elif control.role == "checkbox":
            control.checked = not control.checked
        elif control.role == "radio":
            for one in self._page.controls:
                if one.role == "radio" and one.name == control.name:
                    one.checked = one is control

    async def _send(self, form: Form, number: int) -> None:
        fields = self._values(number)
        if form.method == "get":
            await self.open(f"{form.action}?{urlencode(fields)}")
        else:
            await self.open(form.action, fields)

    def _values(self, number: int) -> dict[str, str]:
        return {
            one.name: one.value
            for one in self._page.controls
            if one.form == number
            and one.name
            and (one.role not in ("checkbox", "radio") or one.checked)
        }

    async def search(self, fields: Mapping[str, str]) -> None:
        """Ask the search page with any fields."""
        await self.open(f"/search?{urlencode(fields)}")

    def use_cookie(self, session: str) -> None:
        """Forge the session."""
        self._client.cookie_jar.clear()
        self._client.cookie_jar.update_cookies({COOKIE: session}, self._server.make_url("/"))

    @property
    def shop(self) -> Shop:
        """What is behind the pages."""
        return self.visit.shop

    @property
    def forms(self) -> list[Form]:
        """The page's forms."""
        return self._page.forms
