"""A small environment for tests: guess a number; it can be told to fail in many ways."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from agentgym import (
    Action,
    Ending,
    EnvError,
    Message,
    StepResult,
    Task,
    TaskSet,
    TextEnv,
    Tool,
    tool,
)


class CountingEnv(TextEnv):
    """The answer is the task's number. ``fail`` names when to raise: reset, step, hang or bug."""

    reward_weights: ClassVar[Mapping[str, float]] = {"success": 1.0, "bonus": 0.5}

    def __init__(self, *, fail: str = "", **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # passed through
        self.fail = fail
        self.closed = 0

    def load_tasks(self) -> TaskSet:
        return TaskSet(Task.create("test/Counting-v0", f"Say {n}.", {"n": n}) for n in range(100))

    def toolset(self) -> Sequence[Tool]:
        @tool
        async def peek(times: int = 1) -> str:
            """Look at the number."""
            return f"{self.task.data['n'] if self.task else ''}" * times

        return [peek]

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        if self.fail == "reset":
            raise EnvError("no_server")
        noise = int(rng.integers(1000))
        return StepResult((Message("user", f"{task.prompt} ({noise})"),))

    async def astep(self, action: Action) -> StepResult:
        if self.fail == "step":
            raise EnvError("died")
        if self.fail == "bug":
            raise ZeroDivisionError("bug")
        if self.fail == "hang":
            await asyncio.Event().wait()
        if action.tool_calls:
            return await self.call_tools(action)
        right = self.task is not None and action.text == str(self.task.data["n"])
        ending = Ending.SOLVED if right else Ending.FAILED
        return StepResult(rewards={"success": float(right), "bonus": float(right)}, ending=ending)

    async def aclose(self) -> None:
        self.closed += 1

    def oracle(self) -> str:
        return str(self.task.data["n"]) if self.task else ""


class EvenEnv(TextEnv):
    """Two turns; each rewards a message of even length with 0.5. Random policies score about half.

    ``die_every`` makes every n-th step of the process fail like a dead server.
    """

    steps: ClassVar[int] = 0

    def __init__(self, *, die_every: int = 0, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # passed through
        self.die_every = die_every

    def load_tasks(self) -> TaskSet:
        return TaskSet(Task.create("test/Even-v0", f"Say something {n}.", {}) for n in range(100))

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        self.asked = 0
        return StepResult((Message("user", task.prompt),))

    async def astep(self, action: Action) -> StepResult:
        EvenEnv.steps += 1
        if self.die_every and EvenEnv.steps % self.die_every == 0:
            raise EnvError("server_died")
        self.asked += 1
        ending = None if self.asked < 2 else Ending.SOLVED
        even = float(len(action.raw) % 2 == 0)
        return StepResult((Message("user", "More."),), {"success": even / 2}, ending)

    def oracle(self) -> str:
        return "ab"

    def novice(self, rng: np.random.Generator) -> str:
        return "abc"
