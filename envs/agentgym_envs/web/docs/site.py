"""Questions over the real documentation of Python, found by its links and its search page."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

import numpy as np
from aiohttp import web

from agentgym import Ending, Task, TaskSet
from agentgym_envs.web.docs.manual import manual_folder, missing_manual
from agentgym_envs.web.docs.matching import is_answer
from agentgym_envs.web.docs.questions import Question, questions_of
from agentgym_envs.web.moves import Move, answer, click, fill, scroll
from agentgym_envs.web.site import Verdict
from agentgym_tools.browser.view import Element, View

if TYPE_CHECKING:
    from playwright.async_api import Page

ENV_ID = "agentgym/Docs-v0"
ORIGIN = "http://docs.test"
_OPTIONS = "_static/documentation_options.js"


class DocsSite:
    """The HTML documentation that Debian's ``python3-doc`` installs, as it is.

    One departure: the search page does not fetch every page that it found to show some words of
    it, which would be a hundred requests a search.

    Reward: ``success`` is 1 for the right answer; any answer ends the episode.

    Args:
        folder: The documentation; by default the newest that is installed below
            ``/usr/share/doc``. Its text decides what the questions are.
    """

    reward_weights: ClassVar[Mapping[str, float]] = {"success": 1.0}

    def __init__(self, *, folder: str | Path | None = None) -> None:
        self._folder = folder

    def missing(self) -> str | None:
        """The documentation, where it is not installed."""
        return missing_manual(self._folder)

    def load_tasks(self) -> TaskSet:
        """Read the library reference (under a second) and ask about it."""
        return TaskSet(_task(question) for question in questions_of(manual_folder(self._folder)))

    async def visit(self, task: Task, rng: np.random.Generator) -> DocsVisit:
        """Begin an episode."""
        return DocsVisit(task, manual_folder(self._folder))

    async def aclose(self) -> None:
        """Visits share nothing but files."""


def _task(question: Question) -> Task:
    data = {"answers": question.answers, "subject": question.subject, "page": question.page}
    hint = f"It is on {question.page}, at {question.subject}."
    return Task.create(ENV_ID, question.text, data, hint, category=question.kind)


class DocsVisit:
    """One question. The files are read only, so there is no state."""

    def __init__(self, task: Task, folder: Path) -> None:
        self.start_url = f"{ORIGIN}/index.html"
        self._answers: tuple[str, ...] = tuple(task.data["answers"])
        self._subject: str = task.data["subject"]
        self._page: str = task.data["page"]
        self._folder = folder

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """A file of the documentation."""
        if request.url.host != "docs.test" or request.method != "GET":
            return None
        path = unquote(request.url.path).lstrip("/") or "index.html"
        file = self._folder / path
        try:
            body = None if ".." in file.parts else file.read_bytes()
        except (OSError, ValueError):  # none there, or no name for a file at all
            body = None
        if body is None:
            return web.Response(status=404, text="There is no such page.")
        if path == _OPTIONS:
            body = body.replace(b"SHOW_SEARCH_SUMMARY: true", b"SHOW_SEARCH_SUMMARY: false")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return web.Response(body=body, content_type=kind)

    async def opened(self, page: Page) -> None:
        """Nothing is left to do."""

    async def judge(self, page: Page, answer: str | None) -> Verdict:
        """Compare the answer, once there is one."""
        if answer is None:
            return Verdict()
        right = is_answer(answer, self._answers)
        return Verdict({"success": float(right)}, Ending.SOLVED if right else Ending.FAILED)

    def oracle(self, view: View) -> Move:
        """Search for the name, follow the link to it, and answer there."""
        here = urlsplit(view.url).path.lstrip("/")
        if here == self._page:
            return answer(self._answers[0])
        if here == "search.html":
            link = self._result(view)
            return click(link) if link is not None else scroll("down")
        return self._search(view, self._subject)

    def _result(self, view: View) -> Element | None:
        """The link to the name; what else is called the same is no Python object."""
        for link, after in pairwise(view.elements):
            named = (link.role, link.name) == ("link", self._subject)
            if named and after.name.startswith("(Python "):
                return link
        return None

    def novice(self, view: View, rng: np.random.Generator) -> Move:
        """Follow some link, search for a part of the name, or answer with what is to be seen."""
        named = [one for one in view.elements if one.name]
        links = [one for one in named if one.id and one.role == "link"]
        choice = rng.random()
        if links and choice < 0.5:
            return click(links[rng.integers(len(links))])
        if choice < 0.8:
            return self._search(view, self._subject.rpartition(".")[2])
        return answer(named[rng.integers(len(named))].name if named else self._subject)

    def _search(self, view: View, words: str) -> Move:
        box = view.find("textbox", "Quick search")
        button = view.find("button", "Go")
        if box is None or button is None:
            return answer("")
        return click(button) if box.value == words else fill(box, words)

    async def aclose(self) -> None:
        """Nothing is held."""
