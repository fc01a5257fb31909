"""Environments that break one promise each, to show that its check can fail."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from agentgym import (
    Action,
    Ending,
    EpisodeLimits,
    Message,
    StepResult,
    Task,
    TaskSet,
    TextEnv,
    Tool,
    tool,
)

_FIRST_PROCESS = os.getpid()


class Good(TextEnv):
    """Keeps every promise: look at a number with a tool, then say it."""

    default_limits: ClassVar[EpisodeLimits] = EpisodeLimits(turns=4)

    def load_tasks(self) -> TaskSet:
        return TaskSet(Task.create("bad/Good-v0", f"Box {n}?", {"n": n * n}) for n in range(60))

    def toolset(self) -> Sequence[Tool]:
        @tool
        async def look(closely: bool = False) -> str:
            """Look into the box."""
            return f"It holds {self.number}."

        return [look]

    @property
    def number(self) -> str:
        return str(self.history.task.data["n"])

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        return StepResult((Message("user", task.prompt),))

    async def astep(self, action: Action) -> StepResult:
        if action.tool_calls:
            return await self.call_tools(action)
        if not action.text:
            return StepResult((Message("user", "Well?"),))
        right = float(action.text == self.number)
        return StepResult(
            rewards={"success": right}, ending=Ending.SOLVED if right else Ending.FAILED
        )

    def oracle(self) -> str:
        if self.history.steps:
            return self.number
        return '<tool_call>{"name": "look", "arguments": {}}</tool_call>'


class Undocumented(Good):
    pass


class SeedsInTheConstructor(Good):
    """Its constructor seeds the generator that everyone shares."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        random.seed(time.perf_counter_ns())


class TakesItsTime(Good):
    """Its constructor is slow, always."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        time.sleep(1.05)


class StartsAThread(Good):
    """Its constructor starts a thread, which ends soon."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        threading.Thread(target=time.sleep, args=(0.3,), daemon=True).start()


class WritesAFile(Good):
    """Its constructor leaves a temporary file."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        tempfile.mkstemp()


class Warns(Good):
    """Warns at every reset."""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        warnings.warn("areset is not what it was", UserWarning, stacklevel=2)
        return await super().areset(task, rng)


class NeedsAFunction(Good):
    """Registered with an argument that does not pickle."""

    def __init__(self, *, score: Any = None, **options: Any) -> None:
        super().__init__(**options)


class OneForAll(Good):
    """Keeps the number in the class, where the next environment overwrites it."""

    shared: ClassVar[str] = ""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        OneForAll.shared = str(task.data["n"])
        return await super().areset(task, rng)

    @property
    def number(self) -> str:
        return OneForAll.shared


class OneProcess(Good):
    """Refuses to work in a forked process."""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        if os.getpid() != _FIRST_PROCESS:
            raise RuntimeError("wrong process")
        return await super().areset(task, rng)


def no_vector(**options: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    """A vector entry point that does not work."""
    raise RuntimeError("no vectors today")


class WantsASeed(Good):
    """After an episode it resets with a seed only."""

    async def begin(self, *, seed: int | None = None, task: Task | str | None = None) -> StepResult:
        if seed is None and self.task is not None and self.history.ending is not None:
            raise ValueError("seed is None")
        return await super().begin(seed=seed, task=task)


class TakesEpisode(Good):
    """Uses the info key of gymnasium's statistics."""

    async def astep(self, action: Action) -> StepResult:
        return replace(await super().astep(action), info={"episode": 1})


class Counts(Good):
    """Tells in its info how many resets there were."""

    resets = 0

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        self.resets += 1
        return replace(await super().areset(task, rng), info={"resets": self.resets})

    def save_state(self) -> bytes:
        return b""

    async def load_state(self, blob: bytes) -> None:
        pass


class Hashes(Good):
    """Shows a hash, which differs from process to process."""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        return StepResult((Message("user", f"{task.prompt} {hash(task.prompt)}"),))


class OneTask(Good):
    """Draws the first task always."""

    async def begin(self, *, seed: int | None = None, task: Task | str | None = None) -> StepResult:
        return await super().begin(seed=seed, task=task or (await self.tasks())[0])


class Shuffles(Good):
    """Draws from the global generator."""

    async def astep(self, action: Action) -> StepResult:
        random.random()
        return await super().astep(action)


class HalfAnOracle(Good):
    """Its oracle is wrong now and then."""

    def oracle(self) -> str:
        text = super().oracle()
        return "?" if text.endswith("4") else text


class PaysForNothing(Good):
    """Rewards empty messages."""

    async def astep(self, action: Action) -> StepResult:
        result = await super().astep(action)
        return result if action.raw else replace(result, rewards={"success": 0.1})


class Chokes(Good):
    """Cannot encode what it reads."""

    async def astep(self, action: Action) -> StepResult:
        action.raw.encode()
        return await super().astep(action)


class Tuples(Good):
    """Puts a tuple into its info."""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        return replace(await super().areset(task, rng), info={"size": (1, 2)})


class Integers(Good):
    """Gives reward components as integers."""

    async def advance(self, action: str | Action) -> StepResult:
        result = await super().advance(action)
        whole = {name: int(value) for name, value in result.rewards.items()}
        return replace(result, rewards=whole, info={**result.info, "rewards": whole})


class Forgets(Good):
    """Its saved state lacks what it has seen."""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        self.looked = 0
        return await super().areset(task, rng)

    async def astep(self, action: Action) -> StepResult:
        self.looked += 1
        return replace(await super().astep(action), info={"looked": self.looked})

    def save_state(self) -> bytes:
        return b"0"

    async def load_state(self, blob: bytes) -> None:
        self.looked = int(blob)


class ResetsAlone(Good):
    """Cannot bear that another of its kind is reset at the same time, as forks are."""

    busy: ClassVar[bool] = False

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        if ResetsAlone.busy:
            raise RuntimeError("one at a time")
        ResetsAlone.busy = True
        try:
            await asyncio.sleep(0)
            return await super().areset(task, rng)
        finally:
            ResetsAlone.busy = False


class ClosesOnce(Good):
    """Its second close fails."""

    held: list[int] | None = None

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        self.held = [1]
        return await super().areset(task, rng)

    async def aclose(self) -> None:
        if self.held is not None:
            self.held.remove(1)


class Abandons(Good):
    """Starts a process in a step, and forgets it when cancelled."""

    async def astep(self, action: Action) -> StepResult:
        process = await asyncio.create_subprocess_exec("sleep", "30")
        await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
        return await super().astep(action)


class Swallows(Good):
    """Takes its cancellation for a failure of its own."""

    async def astep(self, action: Action) -> StepResult:
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            raise RuntimeError("cancelled?") from None
        return await super().astep(action)


class Hoards(Good):
    """Keeps 400 kB of every episode."""

    kept: ClassVar[list[bytearray]] = []

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        self.kept.append(bytearray(os.urandom(400_000)))
        return await super().areset(task, rng)


class LeaksProcesses(Good):
    """Starts a process at every reset and ends none."""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return await super().areset(task, rng)


class LeaksDescriptors(Good):
    """Opens a file at every reset and closes none."""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        os.open(os.devnull, os.O_RDONLY)
        return await super().areset(task, rng)


class LeaksFolders(Good):
    """Makes a temporary folder at every reset."""

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        tempfile.mkdtemp()
        return await super().areset(task, rng)


class LeaksTasks(Good):
    """Starts a task at every reset that waits for ever."""

    tasks_of_mine: ClassVar[set[asyncio.Task[bool]]] = set()

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        self.tasks_of_mine.add(asyncio.ensure_future(asyncio.Event().wait()))
        return await super().areset(task, rng)


_KWARGS: Mapping[type[TextEnv], dict[str, Any]] = {
    NeedsAFunction: {"score": lambda: 1},
}


def register(kind: type[TextEnv]) -> str:
    """An id for one of these environments."""
    env_id = f"bad/{kind.__name__}-v0"
    if env_id not in gym.registry:
        gym.register(
            env_id,
            entry_point=f"{kind.__module__}:{kind.__name__}",
            kwargs=_KWARGS.get(kind, {}),
        )
    return env_id
