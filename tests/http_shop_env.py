"""The shop as an environment without a browser: the same site, tasks and judge, over HTTP.

For the audit and the checks that must run everywhere. Pages are lists of their controls and text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from shop_browser import ShopBrowser

from agentgym import (
    Action,
    EpisodeLimits,
    Message,
    StepResult,
    Task,
    TaskSet,
    TextEnv,
    Tool,
    ToolError,
    tool,
)
from agentgym.checks.tool_calls import write_call
from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.site import ShopSite
from agentgym_envs.web.site import Verdict


class HttpShopEnv(TextEnv):
    """Arguments are those of the site."""

    default_limits: ClassVar[EpisodeLimits] = EpisodeLimits(turns=30)
    reward_weights: ClassVar[Mapping[str, float]] = ShopSite.reward_weights

    def __init__(self, site_options: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._site = ShopSite(**(site_options or {}))
        self._browser: ShopBrowser | None = None
        self._verdict = Verdict()

    def load_tasks(self) -> TaskSet:
        return self._site.load_tasks()

    @property
    def browser(self) -> ShopBrowser:
        assert self._browser is not None
        return self._browser

    def toolset(self) -> Sequence[Tool]:
        async def click(id: str) -> str:
            """Click."""
            return await self._act("click", {"id": id})

        async def fill(id: str, text: str) -> str:
            """Type."""
            return await self._act("fill", {"id": id, "text": text})

        async def select(id: str, options: str) -> str:
            """Choose."""
            return await self._act("select", {"id": id, "options": options})

        async def goto(url: str) -> str:
            """Open an address."""
            if not url.startswith("/"):
                raise ToolError("only paths of this site, which begin with /")
            await self.browser.open(url)
            self._verdict = self.browser.visit.verdict(None)
            return self._shown()

        async def answer(text: str) -> str:
            """Hand in the result."""
            return await self._act("answer", {"text": text})

        return [tool(one) for one in (click, fill, select, goto, answer)]

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        await self.aclose()
        seed = int(rng.integers(2**31))
        self._browser = await ShopBrowser(Errand.of(task.data["shop"]), seed=seed).__aenter__()
        return StepResult((Message("user", f"{task.prompt}\n\n{self._shown()}"),))

    async def astep(self, action: Action) -> StepResult:
        messages: list[Message] = []
        rewards: dict[str, float] = {}
        for call in action.tool_calls:
            self._verdict = Verdict()
            messages += (await self.call_tools(Action("", (call,)))).messages
            for name, value in self._verdict.rewards.items():
                rewards[name] = rewards.get(name, 0.0) + value
            if self._verdict.ending is not None:
                return StepResult(tuple(messages), rewards, self._verdict.ending)
        return StepResult(tuple(messages) or (Message("user", "Use a tool."),), rewards)

    async def aclose(self) -> None:
        if self._browser is not None:
            await self._browser.__aexit__()
            self._browser = None

    def oracle(self) -> str:
        return write_call(self, *self.browser.visit.oracle(self.browser.view))

    def novice(self, rng: np.random.Generator) -> str:
        return write_call(self, *self.browser.visit.novice(self.browser.view, rng))

    async def _act(self, name: str, arguments: Mapping[str, object]) -> str:
        known = {one.id: one for one in self.browser.view.elements}
        if name != "answer" and arguments["id"] not in known:
            raise ToolError(f"there is no element {arguments['id']}")
        if name == "select":
            choices = self.browser.controls()[int(str(arguments["id"]))].options.values()
            if arguments["options"] not in choices:
                raise ToolError(f"choose one of {list(choices)}")
        self._verdict = await self.browser.act(name, arguments)
        return self._shown()

    def _shown(self) -> str:
        listed = (
            f"[{one.id}] {one.role} {one.name!r} {one.value} {' '.join(one.states)}".rstrip()
            for one in self.browser.view.elements
        )
        return "\n".join([self.browser.url, self.browser.text, *listed])
