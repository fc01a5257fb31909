"""A small site for tests of the web environment: three pages, and a form that is the task."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from aiohttp import web
from playwright.async_api import Page

from agentgym import Ending, Task, TaskSet
from agentgym_envs.web.site import Verdict
from agentgym_tools.browser.view import View

HOST = "demo.test"
HOME = """<!doctype html><title>Demo</title><h1>Greetings</h1>
<p>Tell us your <b>name</b>.</p>
<form action="/hello"><label>Name <input name="name"></label>
<label>Colour <select name="colour"><option>Red<option>Green<option>Blue</select></label>
<button>Send</button></form>
<a href="/far">Far away</a> <a href="http://elsewhere.test/x">Elsewhere</a>"""


class DemoVisit:
    """The task: send the form with the right name. ``pages`` are more pages, by path."""

    def __init__(self, name: str, pages: Mapping[str, str]) -> None:
        self.start_url = f"http://{HOST}/"
        self._wanted = name
        self._pages = {"/": HOME, "/far": "<title>Far</title><h1>Far away</h1>", **pages}
        self.sent = ""
        self.asked: list[str] = []
        self.closed = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        if request.url.host != HOST:
            return None
        self.asked.append(request.url.path)
        if request.url.path == "/hello":
            self.sent = request.url.query.get("name", "")
            return _html(f"<title>Hello</title><h1>Hello {self.sent}</h1>")
        page = self._pages.get(request.url.path)
        return web.Response(status=404, text="no such page") if page is None else _html(page)

    async def opened(self, page: Page) -> None:
        return

    async def judge(self, page: Page, answer: str | None) -> Verdict:
        if self.sent == self._wanted:
            return Verdict({"success": 1.0}, Ending.SOLVED)
        return Verdict()

    def oracle(self, view: View) -> tuple[str, Mapping[str, object]]:
        field, send = view.find("textbox", "Name"), view.find("button", "Send")
        assert field is not None
        assert send is not None
        if field.value == self._wanted:
            return "click", {"id": send.id}
        return "fill", {"id": field.id, "text": self._wanted}

    def novice(self, view: View, rng: np.random.Generator) -> tuple[str, Mapping[str, object]]:
        ids = [one.id for one in view.elements if one.id]
        return ("click", {"id": str(rng.choice(ids))}) if ids else ("give_up", {})

    async def aclose(self) -> None:
        self.closed += 1


class DemoSite:
    """Forty tasks: a name each."""

    reward_weights: ClassVar[Mapping[str, float]] = {"success": 1.0}

    def __init__(self, pages: Mapping[str, str] | None = None) -> None:
        self._pages = pages or {}
        self.visits: list[DemoVisit] = []

    def missing(self) -> str | None:
        return None

    def load_tasks(self) -> TaskSet:
        names = [f"Ada {number}" for number in range(40)]
        return TaskSet(
            Task.create("test/Demo-v0", f"Send the form with the name {name}.", {"name": name})
            for name in names
        )

    async def visit(self, task: Task, rng: np.random.Generator) -> DemoVisit:
        visit = DemoVisit(task.data["name"], self._pages)
        self.visits.append(visit)
        return visit

    async def aclose(self) -> None:
        return


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")
