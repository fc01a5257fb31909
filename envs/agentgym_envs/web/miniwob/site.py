"""MiniWoB++: 130 small pages, each with an endless supply of problems and its own reward."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from aiohttp import web

from agentgym import Ending, Task, TaskSet, UnknownName
from agentgym_envs.web.miniwob.novice import mistaken_move
from agentgym_envs.web.miniwob.oracles import SCRIPTS
from agentgym_envs.web.miniwob.oracles.steps import Script
from agentgym_envs.web.miniwob.package import html_folder, missing_pages, page_names
from agentgym_envs.web.miniwob.served_page import served_page
from agentgym_envs.web.moves import Move, give_up
from agentgym_envs.web.site import Verdict
from agentgym_tools.browser.view import View

if TYPE_CHECKING:
    from playwright.async_api import Page

ENV_ID = "agentgym/Web-v0"
ORIGIN = "http://miniwob.test"
INSTRUCTION = "Do what the page's title says."
_SEEDS = 2**31
_FOLDERS = ("common", "core")
_STATE = """() => typeof WOB_DONE_GLOBAL === "undefined" ? null :
    [WOB_DONE_GLOBAL, WOB_RAW_REWARD_GLOBAL, WOB_REWARD_GLOBAL]"""
_UTTERANCE = "() => core.getUtterance()"


class MiniWobSite:
    """MiniWoB++ (arXiv:1802.08802), as the package ``miniwob`` has it, without its clock.

    A task is a page and a seed: the problem is the one that the package draws from this seed.
    Two seeds may show the same problem where a page has few.

    Reward: ``raw_reward`` is what the page gave, in [-1, 1], partial credit included; ``success``
    is 1 where that is above 0, as BrowserGym has it, and is reported only. Nothing is paid before
    the page ends the episode, and nothing if it never does.

    Args:
        page: A page, several, or ``all``.
        decay: Leave the package's clock alone: most pages then end after ten seconds with -1 and
            shrink the reward until then, so that an episode depends on the machine's speed.

    Raises:
        UnknownName: There is no such page.
    """

    reward_weights: ClassVar[Mapping[str, float]] = {"raw_reward": 1.0, "success": 0.0}

    def __init__(self, *, page: str | Sequence[str] = "click-test", decay: bool = False) -> None:
        self._asked = [page] if isinstance(page, str) else list(page)
        self._decay = decay

    def missing(self) -> str | None:
        """The package, where it is not installed."""
        return missing_pages()

    def load_tasks(self) -> TaskSet:
        """Every page in turn with ever new seeds."""
        pages = self._pages()

        def task_of(index: int) -> Task:
            seed, which = divmod(index, len(pages))
            return miniwob_task(pages[which], seed % _SEEDS)

        return TaskSet.from_generator(task_of)

    async def visit(self, task: Task, rng: np.random.Generator) -> MiniWobVisit:
        """Begin an episode."""
        return MiniWobVisit(task.data["page"], task.data["seed"], self._decay)

    async def aclose(self) -> None:
        """Visits share nothing."""

    def _pages(self) -> tuple[str, ...]:
        known = page_names()
        if self._asked == ["all"]:
            return known
        for name in self._asked:
            if name not in known:
                raise UnknownName("MiniWoB page", name, known)
        return tuple(self._asked)


def miniwob_task(page: str, seed: int) -> Task:
    """The task of one page and seed."""
    return Task.create(ENV_ID, INSTRUCTION, {"page": page, "seed": seed}, category=page)


class MiniWobVisit:
    """One problem of one page."""

    def __init__(self, page: str, seed: int, decay: bool) -> None:
        self.start_url = f"{ORIGIN}/miniwob/{page}.html"
        self.utterance = ""
        self.fields: Mapping[str, str] = {}
        self._name = page
        self._seed = seed
        self._decay = decay
        self._script: Script | None = None
        self._seen: View | None = None
        self._move: Move | None = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """The problem's own page, and the scripts, styles and pictures that pages share."""
        if str(request.url) == self.start_url:
            return self._page()
        if request.url.host != "miniwob.test" or request.method != "GET":
            return None
        file = _shared_file(request.path)
        if file is None:
            return None
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return web.Response(body=file.read_bytes(), content_type=kind)

    async def opened(self, page: Page) -> None:
        """Read what is asked; the page has started by itself."""
        await page.wait_for_load_state("load")
        asked = await page.evaluate(_UTTERANCE)
        if isinstance(asked, dict):
            self.fields = asked["fields"]
            asked = asked["utterance"]
        self.utterance = asked

    async def judge(self, page: Page, answer: str | None) -> Verdict:
        """Ask the page for its reward. Another page than the problem's is worth nothing."""
        state = await self._state(page)
        if not state or not state[0]:
            return Verdict()
        reward = float(state[2] if self._decay else state[1])
        rewards = {"raw_reward": reward, "success": float(reward > 0)}
        return Verdict(rewards, Ending.SOLVED if reward > 0 else Ending.FAILED)

    def oracle(self, view: View) -> Move:
        """The next step of the page's script; giving up where it is lost, also from its beginning.

        Raises:
            NotImplementedError: The page has none.
        """
        if self._move is None or view is not self._seen:
            self._move = self._next_move(view)
            self._seen = view
        return self._move

    def novice(self, view: View, rng: np.random.Generator) -> Move:
        """The right kind of action on some element or other."""
        return mistaken_move(view, self.utterance, rng)

    async def aclose(self) -> None:
        """Forget the script."""
        self._script = None

    def _next_move(self, view: View) -> Move:
        if self._name not in SCRIPTS:
            raise NotImplementedError(f"there is no oracle for the page {self._name!r}")
        try:
            if self._script is not None:
                return self._script.send(view)
        except StopIteration:  # the page is not over, so the last move did not reach it
            assert self._move is not None
            return self._move
        except LookupError:  # somebody else has played meanwhile
            pass
        self._script = SCRIPTS[self._name](self.utterance, view)
        try:
            return next(self._script)
        except LookupError:
            return give_up()

    def _page(self) -> web.Response:
        source = (html_folder() / "miniwob" / f"{self._name}.html").read_text(encoding="utf-8")
        page, policy = served_page(source, self._seed, self._decay)
        return web.Response(
            text=page, content_type="text/html", headers={"Content-Security-Policy": policy}
        )

    async def _state(self, page: Page) -> list[Any] | None:
        if page.url.partition("#")[0] != self.start_url:
            return None
        state: list[Any] | None = await page.evaluate(_STATE)
        return state


def _shared_file(path: str) -> Path | None:
    root = html_folder().resolve()
    try:
        file = (root / path.lstrip("/")).resolve()
        served = any(file.is_relative_to(root / folder) for folder in _FOLDERS)
        return file if served and file.is_file() else None
    except (OSError, ValueError):  # no name for a file
        return None
