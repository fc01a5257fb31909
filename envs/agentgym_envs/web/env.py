"""``agentgym/Web-v0``: tasks on web pages, in a real browser that reaches nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agentgym import (
    Action,
    Ending,
    EnvError,
    EpisodeLimits,
    ImagePart,
    Message,
    StepResult,
    Task,
    TaskSet,
    TextEnv,
    TextPart,
    Tool,
    ToolCall,
    UsageError,
    tool,
)
from agentgym.checks.tool_calls import write_call
from agentgym.errors import PluginMissing
from agentgym_envs.web.sites import open_site
from agentgym_tools.browser.find import missing_browser

if TYPE_CHECKING:
    from agentgym_envs.web.site import Site, Verdict, Visit
    from agentgym_tools.browser.pool import BrowserPool
    from agentgym_tools.browser.view import View
    from agentgym_tools.browser.window import Budget, Window

SYSTEM_PROMPT = (
    "You use a web browser. You are shown the page as a list of its elements; tools name an "
    "element by its number in brackets. Only what is on the screen is listed: scroll to see more. "
    "When the task is done or asks a question, call answer; if it cannot be done, call give_up."
)
_NUDGE = "Use a tool to go on; call answer when the task is done."
_OVER = "Not done: the episode is over."


class WebEnv(TextEnv):
    """Click, type and read until the task is done.

    A message may hold several calls; they are carried out in turn, and the page is shown after the
    last. Rewards are those of the site; ``success`` is among them.

    Args:
        site: ``shop``, ``miniwob``, ``docs``, the path of a WebArena-style task file,
            ``module:Class``, or a :class:`agentgym_envs.web.site.Site`.
        site_options: For the site's constructor.
        observe: Changes to the :class:`agentgym_tools.browser.window.Budget`, by field.
        html: Characters of the page's HTML to show as well; 0 for none.
        screenshot: Whether to add an image of the page with its element numbers.
        viewport: Width and height of the page, in pixels.
        windows: Most browser windows at a time, of all environments on this event loop.
        **options: As in :class:`agentgym.TextEnv`.

    Raises:
        PluginMissing: Playwright, Chromium or what the site needs is not installed.
    """

    default_limits: ClassVar[EpisodeLimits] = EpisodeLimits(turns=30, step_s=120.0)

    def __init__(
        self,
        *,
        site: str | Path | Site = "shop",
        site_options: Mapping[str, Any] | None = None,
        observe: Mapping[str, Any] | None = None,
        html: int = 0,
        screenshot: bool = False,
        viewport: tuple[int, int] = (1280, 720),
        windows: int = 32,
        **options: Any,
    ) -> None:
        problem = missing_browser()
        if problem is not None:
            raise PluginMissing(problem)
        self._site = open_site(site, site_options or {})
        problem = self._site.missing()
        if problem is not None:
            raise PluginMissing(problem)
        super().__init__(**options)
        self._budget = _budget(observe or {})
        self._html = html
        self._screenshot = screenshot
        self._viewport = viewport
        self._windows = windows
        self._open = AsyncExitStack()
        self._pool: BrowserPool | None = None
        self._window: Window | None = None
        self._visit: Visit | None = None
        self._view: View | None = None
        self._answer: str | None = None
        self._gave_up = False

    @property
    def reward_weights(self) -> Mapping[str, float]:  # type: ignore[override]  # a site has its own
        """The components that the site gives, with their weights."""
        return self._site.reward_weights

    @classmethod
    def missing(cls) -> str | None:
        """Playwright, or a Chromium."""
        return missing_browser()

    def load_tasks(self) -> TaskSet:
        """The site's tasks."""
        return self._site.load_tasks()

    def toolset(self) -> Sequence[Tool]:
        """The browser's actions, ``answer`` and ``give_up``."""
        from agentgym_tools.browser.actions import TOOLS

        async def answer(text: str = "") -> str:
            """Hand in the result. This ends the episode.

            Args:
                text: The answer, where the task asks for one.
            """
            self._answer = text
            return "Handed in."

        async def give_up() -> str:
            """Say that the task cannot be done. This ends the episode."""
            self._gave_up = True
            return "Given up."

        return [*TOOLS, tool(answer), tool(give_up)]

    def hidden_arguments(self) -> Mapping[str, Any]:
        """The window, for the browser's actions."""
        return {"window": self._open_window()}

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        """A fresh window on the start page, and the task."""
        await self._leave()
        self._answer, self._gave_up = None, False
        try:
            visit = self._visit = await self._site.visit(task, rng)
            window = self._window = await self._acquire(visit)
            await window.visit(visit.start_url)
            with window.errors():
                await visit.opened(window.tab.page)
            await window.settle()
            user = await self._with_page(Message("user", task.prompt))
        except BaseException:
            await self._leave()
            raise
        if self._pool is not None:
            self._pool.prepare(self._viewport)
        info = {"blocked": window.gateway.take_blocked()}
        return StepResult((Message("system", SYSTEM_PROMPT), user), info=info)

    async def astep(self, action: Action) -> StepResult:
        """Carry out the calls, and show the page after them."""
        if not action.tool_calls:
            return StepResult((Message("user", _NUDGE),))
        messages: list[Message] = []
        rewards: dict[str, float] = {}
        ending: Ending | None = None
        for call in action.tool_calls:
            if ending is not None:
                messages.append(Message("tool", _OVER, tool_call_id=call.id))
                continue
            verdict = await self._carry_out(call, messages)
            for name, value in verdict.rewards.items():
                rewards[name] = rewards.get(name, 0.0) + value
            ending = self._ending(verdict)
        info = {"blocked": self._open_window().gateway.take_blocked()}
        if ending is None:
            messages[-1] = await self._with_page(messages[-1])
        return StepResult(tuple(messages), rewards, ending, info)

    async def advance(self, action: str | Action) -> StepResult:
        """Take one turn; whichever way the episode ends, its window is given back."""
        try:
            result = await super().advance(action)
        except EnvError:
            await self._leave()
            raise
        if result.ending is not None:
            await self._leave()
        return result

    async def aclose(self) -> None:
        """Close the window, and the browser if nobody else uses it."""
        await self._leave()
        await self._site.aclose()
        self._pool = None
        leaving, self._open = self._open, AsyncExitStack()
        await leaving.aclose()

    def oracle(self) -> str:
        """What the site's perfect player does."""
        visit, view = self._now()
        return write_call(self, *visit.oracle(view))

    def novice(self, rng: np.random.Generator) -> str:
        """What the site's player does who makes mistakes."""
        visit, view = self._now()
        return write_call(self, *visit.novice(view, rng))

    @property
    def view(self) -> View | None:
        """The page as it was shown last."""
        return self._view

    async def _carry_out(self, call: ToolCall, messages: list[Message]) -> Verdict:
        result = await self.call_tools(Action("", (call,)))
        messages.extend(result.messages)
        window, visit = self._open_window(), self._now()[0]
        with window.errors(), window.own_pages():
            verdict = await visit.judge(window.tab.page, self._answer)
        failure = window.gateway.failure
        if failure is not None:
            raise EnvError("site_failed", f"{type(failure).__name__}: {failure}") from failure
        return verdict

    def _ending(self, verdict: Verdict) -> Ending | None:
        if verdict.ending is not None:
            return verdict.ending
        if self._gave_up:
            return Ending.GAVE_UP
        return Ending.FAILED if self._answer is not None else None

    async def _with_page(self, message: Message) -> Message:
        """The message with the page below it; the view is kept for the players."""
        from agentgym_tools.browser.page_text import page_text

        window = self._open_window()
        view = self._view = await window.look()
        text = f"{message.text}\n\n{page_text(view, window.take_notes())}"
        if self._html:
            text += f"\n\nHTML:\n{await window.html(self._html)}"
        if not self._screenshot:
            return replace(message, content=text)
        image = ImagePart(await window.screenshot(view))
        return replace(message, content=(TextPart(text), image))

    async def _acquire(self, visit: Visit) -> Window:
        from agentgym_tools.browser.pool import shared_pool

        if self._pool is None:
            shared = shared_pool(windows=self._windows)
            self._pool = await self._open.enter_async_context(shared)
        window = await self._pool.acquire(visit.answer, size=self._viewport)
        window.budget = self._budget
        return window

    def _now(self) -> tuple[Visit, View]:
        if self._visit is None or self._view is None:
            raise RuntimeError("no page before reset")
        return self._visit, self._view

    def _open_window(self) -> Window:
        if self._window is None:
            raise EnvError("no_window", "a tool was called before reset")
        return self._window

    async def _leave(self) -> None:
        """Give back the window, so that nothing more is asked, and then the visit."""
        window, self._window = self._window, None
        visit, self._visit = self._visit, None
        self._view = None
        async with AsyncExitStack() as leaving:
            for one in (visit, window):  # the last is left first
                if one is not None:
                    leaving.push_async_callback(one.aclose)


def _budget(changes: Mapping[str, Any]) -> Budget:
    from agentgym_tools.browser.window import Budget

    try:
        return Budget(**changes)
    except TypeError as error:
        known = ", ".join(Budget.__dataclass_fields__)
        raise UsageError(f"observe has {', '.join(changes)}; allowed: {known}") from error
