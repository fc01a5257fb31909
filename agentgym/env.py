"""The environment: a real ``gymnasium.Env`` whose observations and actions are text.

An author writes ``load_tasks``, ``areset`` and ``astep``; the framework supplies seeding, parsing,
limits, reward totals, the transcript, and the synchronous façade.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded

from agentgym.episode import TOTAL, Ending, StepResult, Task
from agentgym.errors import EnvError, UnknownName
from agentgym.formats import get_format
from agentgym.loop import run_sync
from agentgym.messages import Action, Message, ToolSpec
from agentgym.spaces import Unicode
from agentgym.tasks import TaskSet
from agentgym.tools import Tool, ToolBox

INVALID_ACTION = "invalid_action"
"""Reward component of the framework: 1 for a turn whose tool call could not be carried out."""

_INVALID_CODES = frozenset(
    {
        "invalid_json",
        "truncated_json",
        "unclosed_tag",
        "not_an_object",
        "missing_name",
        "invalid_arguments",
        "unknown_tool",
    }
)


@dataclass(frozen=True, slots=True)
class EpisodeLimits:
    """When the framework ends an episode.

    Args:
        turns: Assistant turns; the last one ends with ``TURN_LIMIT`` unless the task ended.
        invalid_actions: Turns with an unusable tool call before ``INVALID_ACTIONS``.
        invalid_penalty: Subtracted from the reward of each such turn.
        step_s: Wall seconds for one reset or step; beyond it the environment has failed.
    """

    turns: int = 8
    invalid_actions: int = 3
    invalid_penalty: float = 0.0
    step_s: float = 60.0

    def __post_init__(self) -> None:
        if self.turns < 1 or self.invalid_actions < 1 or self.step_s <= 0:
            raise ValueError(f"limits must be positive, got {self}")


class TextEnv(gym.Env[str, str]):
    """Base class of all environments.

    Constructors have no side effects: no data is loaded and nothing is started before the first
    reset. ``self.np_random`` is the only source of randomness.

    Args:
        split: Which tasks :meth:`reset` draws from: ``train``, ``val``, ``test`` or ``all``.
        action_format: How tool calls are written, for example ``hermes``.
        limits: An :class:`EpisodeLimits`, or a mapping of its fields.
        max_chars: Longest text either side may send, in characters.
        render_mode: ``ansi`` gives the transcript as text.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  # gymnasium declares it so
    default_limits: ClassVar[EpisodeLimits] = EpisodeLimits()
    reward_weights: ClassVar[Mapping[str, float]] = {"success": 1.0}
    """Every reward component and its weight in the scalar reward; 0 for one only reported."""

    def __init__(
        self,
        *,
        split: str = "train",
        action_format: str = "hermes",
        limits: EpisodeLimits | Mapping[str, Any] | None = None,
        max_chars: int = 200_000,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UnknownName("render mode", str(render_mode), self.metadata["render_modes"])
        self.split_name = split
        self.action_format = get_format(action_format)
        self.limits = _as_limits(limits, self.default_limits)
        self.render_mode = render_mode
        self.observation_space = Unicode(max_chars)
        self.action_space = Unicode(max_chars)
        self.transcript: list[Message] = []
        self.task: Task | None = None
        self._weights = {**self.reward_weights, INVALID_ACTION: -self.limits.invalid_penalty}
        self._tasks: TaskSet | None = None
        self._toolbox: ToolBox | None = None
        self._running = False
        self._turn = 0
        self._invalid_turns = 0
        self._tool_errors: list[str] = []

    # ── what an author writes ────────────────────────────────────────────────────────────────

    @abstractmethod
    def load_tasks(self) -> TaskSet:
        """All tasks, of every split. Called once, in a thread, at the first reset."""

    @abstractmethod
    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        """Start ``task``; the result's messages open the conversation."""

    @abstractmethod
    async def astep(self, action: Action) -> StepResult:
        """Answer one assistant turn. Its ``rewards`` name components of ``reward_weights``.

        Raises:
            EnvError: The environment failed; the episode will be masked.
        """

    async def aclose(self) -> None:
        """Free what the episode holds. May be called twice."""

    def toolset(self) -> Sequence[Tool]:
        """The tools the model may call in this environment."""
        return ()

    def snapshot(self) -> bytes | None:
        """The episode's state, or ``None`` where that is not supported."""
        return None

    async def arestore(self, blob: bytes) -> None:
        """Continue from :meth:`snapshot`'s state."""
        raise NotImplementedError(f"{type(self).__name__} has no snapshots")

    def oracle(self) -> str:
        """What a perfect player would say next."""
        raise NotImplementedError(f"{type(self).__name__} has no oracle")

    def novice(self, rng: np.random.Generator) -> str:
        """What a player who makes plausible mistakes would say next (warm starts mix it in)."""
        raise NotImplementedError(f"{type(self).__name__} has no novice")

    # ── what the framework supplies ──────────────────────────────────────────────────────────

    def tools(self) -> Sequence[ToolSpec]:
        """The specs of the tools, as the model is told them."""
        return self.toolbox.specs

    @property
    def toolbox(self) -> ToolBox:
        """The tools by name, ready to run."""
        if self._toolbox is None:
            self._toolbox = ToolBox(self.toolset())
        return self._toolbox

    async def tasks(self) -> TaskSet:
        """The tasks of this environment's split, loaded on first use."""
        if self._tasks is None:
            loaded = await asyncio.to_thread(self.load_tasks)
            self._tasks = loaded.split(self.split_name)
        return self._tasks

    async def begin(self, *, seed: int | None = None, task: Task | str | None = None) -> StepResult:
        """Start an episode (the asynchronous ``reset``).

        Args:
            seed: As in ``reset``. Same seed, task and actions: the same episode.
            task: A task, or its key; drawn from the split when not given.
        """
        super().reset(seed=seed)
        tasks = await self.tasks()
        drawn = tasks.sample(self.np_random)  # always, so that naming the task changes no draw
        self.task = tasks.find(task) if isinstance(task, str) else task or drawn
        self._running, self._turn, self._invalid_turns = False, 0, 0
        started = time.perf_counter()
        result = await self._bounded(self.areset(self.task, self.np_random), "reset")
        self.transcript = list(result.messages)
        self._running = True
        return self._complete(result, started)

    async def advance(self, action: str | Action) -> StepResult:
        """Take one assistant turn (the asynchronous ``step``).

        Raises:
            EnvError: The environment failed. The episode is over and must not be trained on.
        """
        if not self._running:
            raise ResetNeeded("no episode is running: call reset (or begin) first")
        if isinstance(action, str):
            action = self.action_format.parse(action)
        self.transcript.append(Message("assistant", action.raw or action.text, action.tool_calls))
        self._turn += 1
        self._tool_errors = []
        self._running = False  # until the environment has answered
        started = time.perf_counter()
        if action.finish_reason == "length":
            result = _cut_off()
        else:
            result = await self._bounded(self.astep(action), "step")
        result = self._complete(self._with_limits(result), started)
        self.transcript.extend(result.messages)
        self._running = result.ending is None
        return result

    async def call_tools(self, action: Action) -> StepResult:
        """Run the action's tool calls in order; each answer is a message of role ``tool``."""
        messages = []
        for call in action.tool_calls:
            outcome = await self.toolbox.run(call)
            if outcome.error is not None:
                self._tool_errors.append(outcome.error)
            messages.append(Message("tool", outcome.content, tool_call_id=call.id))
        return StepResult(tuple(messages))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode, as in Gymnasium. ``options["task"]`` is a task or its key."""
        options = options or {}
        for name in options:
            if name != "task":
                raise UnknownName("reset option", name, ["task"])
        result = run_sync(self.begin(seed=seed, task=options.get("task")))
        parts = [self.action_format.instructions(self.tools()), _text(result)]
        return "\n\n".join(part for part in parts if part), dict(result.info)

    def step(self, action: str | Action) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one assistant turn, as in Gymnasium.

        Raises:
            EnvError: The environment failed; there is no reward.
        """
        result = run_sync(self.advance(action))
        terminated = result.ending is not None and result.ending.terminated
        truncated = result.ending is not None and result.ending.truncated
        return _text(result), result.reward, terminated, truncated, dict(result.info)

    def render(self) -> str | None:
        """The transcript so far (mode ``ansi``)."""
        if self.render_mode is None:
            return None
        return "\n".join(f"[{message.role}] {message.text}" for message in self.transcript)

    def close(self) -> None:
        """Free everything. May be called twice."""
        run_sync(self.aclose())

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    async def _bounded(self, work: Any, what: str) -> StepResult:
        try:
            async with asyncio.timeout(self.limits.step_s) as bound:
                result: StepResult = await work
                return result
        except TimeoutError as error:
            if not bound.expired():
                raise
            message = f"{what} of {type(self).__name__} took over {self.limits.step_s:g} s"
            raise EnvError("env_timeout", message) from error

    def _with_limits(self, result: StepResult) -> StepResult:
        invalid = any(code in _INVALID_CODES for code in self._tool_errors)
        self._invalid_turns += invalid
        ending = result.ending
        if ending is None and self._invalid_turns >= self.limits.invalid_actions:
            ending = Ending.INVALID_ACTIONS
        if ending is None and self._turn >= self.limits.turns:
            ending = Ending.TURN_LIMIT
        rewards = {**result.rewards, INVALID_ACTION: float(invalid)}
        return replace(result, ending=ending, rewards=rewards)

    def _complete(self, result: StepResult, started: float) -> StepResult:
        for name in result.rewards:
            if name not in self._weights:
                raise UnknownName("reward component", name, self._weights, "see reward_weights")
        rewards = {name: float(result.rewards.get(name, 0.0)) for name in self._weights}
        rewards[TOTAL] = float(sum(self._weights[name] * rewards[name] for name in self._weights))
        info = {
            "task": self.task.key if self.task else "",
            "turn": self._turn,
            "ending": result.ending.value if result.ending else "",
            "rewards": rewards,
            "tool_errors": list(self._tool_errors),
            **result.info,
        }
        telemetry = {**result.telemetry, "env_s": time.perf_counter() - started}
        return replace(result, rewards=rewards, info=info, telemetry=telemetry)


def _as_limits(
    given: EpisodeLimits | Mapping[str, Any] | None, default: EpisodeLimits
) -> EpisodeLimits:
    if given is None or isinstance(given, EpisodeLimits):
        return given or default
    for name in given:
        if name not in EpisodeLimits.__dataclass_fields__:
            raise UnknownName("limit", name, EpisodeLimits.__dataclass_fields__)
    return replace(default, **given)


def _text(result: StepResult) -> str:
    return "\n".join(message.text for message in result.messages)


def _cut_off() -> StepResult:
    text = "Error: your message was cut off because it was too long. Be brief."
    return StepResult((Message("user", text),))
