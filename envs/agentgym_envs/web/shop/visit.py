"""One episode in the shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from aiohttp import web

from agentgym import Ending
from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.facts import Difference, difference, wanted_facts
from agentgym_envs.web.shop.moves import Move
from agentgym_envs.web.shop.player import Novice, Player
from agentgym_envs.web.shop.progress import Progress
from agentgym_envs.web.shop.server import Server
from agentgym_envs.web.shop.state import Shop
from agentgym_envs.web.site import Verdict
from agentgym_tools.browser.view import View

if TYPE_CHECKING:
    from playwright.async_api import Page

HOST = "shop.test"


class ShopVisit:
    """An errand in a shop of its own.

    Success is judged when the model answers: everything asked for is in the database, nothing else
    has changed, and questions are answered rightly by who has seen the page that tells. After the
    episode :attr:`left` says what was missing and what nobody wanted.
    """

    start_url = f"http://{HOST}/"

    def __init__(self, errand: Errand, rng: np.random.Generator, page_size: int) -> None:
        self.left: Difference | None = None
        self._errand = errand
        self._moment = errand.opened(page_size)
        signed_in = errand.customer if errand.signed_in else None
        self._server = Server(self._moment.shop, rng.bytes(16), signed_in)
        self._progress = Progress(errand.goals, self._moment)
        self._player = Player(errand, self._moment)
        self._novice: Novice | None = None
        self._over = False

    @property
    def shop(self) -> Shop:
        """The shop behind the pages."""
        return self._moment.shop

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Serve a page; ``None`` for other hosts, and once the visit is over."""
        if self._over or request.url.host != HOST or request.url.scheme != "http":
            return None
        return await self._server.answer(request)

    async def opened(self, page: Page) -> None:
        """Nothing is left to do."""

    async def judge(self, page: Page, answer: str | None) -> Verdict:
        """Pay for what is newly reached, and for all of it once there is an answer."""
        return self.verdict(answer)

    def verdict(self, answer: str | None) -> Verdict:
        """What :meth:`judge` says; the page itself does not matter."""
        now = self._moment
        self._follow_account()
        now.answer = answer
        rewards = {"progress": self._progress.update(now)}
        self._player.watch(now)
        if self._novice is not None:
            self._novice.watch(now)
        if answer is None:
            return Verdict(rewards)
        self.left = difference(now.shop, wanted_facts(self._errand))
        solved = not self.left and self._progress.complete()
        rewards["success"] = float(solved)
        return Verdict(rewards, Ending.SOLVED if solved else Ending.FAILED)

    def oracle(self, view: View) -> Move:
        """The next action of who does it as it is meant."""
        return self._player.move(view)

    def novice(self, view: View, rng: np.random.Generator) -> Move:
        """The next action of who has misread something."""
        if self._novice is None:
            self._novice = Novice(self._errand, self._moment, rng)
        return self._novice.move(view, rng)

    async def aclose(self) -> None:
        """Drop the database."""
        self._over = True
        self._moment.shop.db.close()

    def _follow_account(self) -> None:
        """Where the task begins with a new account, it is about whoever signs up."""
        if self._errand.registers:
            made = self._moment.one("SELECT MAX(id) FROM customer")
            if made != self._errand.customer:
                self._moment.customer = made
