"""What a site of tasks is: pages that nobody but the episode's browser can reach, and a judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from aiohttp import web

from agentgym import Ending, Task, TaskSet
from agentgym_tools.browser.view import View

if TYPE_CHECKING:
    from playwright.async_api import Page


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an action was worth: this turn's rewards by name, and how the episode ended, if so."""

    rewards: Mapping[str, float] = field(default_factory=dict)
    ending: Ending | None = None


class Visit(Protocol):
    """One episode on a site, with state of its own: episodes never see each other's.

    Hosts are names that exist only inside (``http://shop.test/``), so that the same seed and
    actions show the same addresses whatever ports are free.
    """

    start_url: str

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Serve a request of the episode's browser; ``None``: not of this task, to be refused.

        ``request.url`` is absolute and holds the host that the page named.
        """

    async def opened(self, page: Page) -> None:
        """The start page has loaded; what the task still needs is done to it."""

    async def judge(self, page: Page, answer: str | None) -> Verdict:
        """Called after each action has settled; ``answer`` is what the model answered, if it did.

        An answer, or giving up, ends the episode, whatever the verdict says.
        """

    def oracle(self, view: View) -> tuple[str, Mapping[str, object]]:
        """A perfect player's next action: a tool's name and its arguments."""

    def novice(self, view: View, rng: np.random.Generator) -> tuple[str, Mapping[str, object]]:
        """The next action of a player who makes plausible mistakes."""

    async def aclose(self) -> None:
        """Free the state. May be called twice."""


class Site(Protocol):
    """A site and its tasks. Constructors have no side effects."""

    @property
    def reward_weights(self) -> Mapping[str, float]:
        """The components that verdicts give, with their weights; ``success`` is among them.

        An attribute of the class does.
        """

    def missing(self) -> str | None:
        """What must be installed first, as one line of advice."""

    def load_tasks(self) -> TaskSet:
        """All tasks, of every split."""

    async def visit(self, task: Task, rng: np.random.Generator) -> Visit:
        """Begin an episode."""

    async def aclose(self) -> None:
        """Free what visits share."""
