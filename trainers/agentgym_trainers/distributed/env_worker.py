"""Environments that live in Ray actors, and their stand-ins in the trainer's process.

For environments whose own work would hold up the trainer: each worker is a process. The stand-in
reads actions and knows the tasks; starting, stepping and ending happen at the worker.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import ray
from gymnasium.error import ResetNeeded

from agentgym import Action, EnvError, History, Step, StepResult, Task, TaskSet, TextEnv, ToolSpec
from agentgym_trainers.distributed.ray_cluster import WorkerLost, answer
from agentgym_trainers.env_pool import EnvPool

_SLACK_S = 30.0
"""A worker notices an overlong step itself; beyond this it is gone."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the environments of a pool are made."""

    env_id: str
    kwargs: Mapping[str, Any]
    split: str

    def pool(self) -> EnvPool:
        """A pool of them in this process."""
        return EnvPool(self.env_id, dict(self.kwargs), split=self.split, size=1)


@dataclass(frozen=True, slots=True)
class Opening:
    """What the stand-in learns of a new episode."""

    task: Task
    result: StepResult
    tools: tuple[ToolSpec, ...]


class EnvWorker:
    """The actor: environments by number, made when their first episode begins."""

    def __init__(self) -> None:
        self._envs: dict[int, TextEnv] = {}

    async def where(self) -> str:
        """Host and process."""
        return f"{socket.gethostname()}, pid {os.getpid()}"

    async def begin(
        self, number: int, recipe: Recipe, seed: int, task: Task | str | None
    ) -> Opening:
        """See :meth:`agentgym.TextEnv.begin`."""
        if number not in self._envs:
            self._envs[number] = recipe.pool().new()
        env = self._envs[number]
        result = await env.begin(seed=seed, task=task)
        assert env.task is not None  # it has begun
        return Opening(env.task, result, tuple(env.tools()))

    async def advance(self, number: int, action: Action) -> StepResult:
        """See :meth:`agentgym.TextEnv.advance`."""
        return await self._envs[number].advance(action)

    async def end(self, number: int) -> None:
        """See :meth:`agentgym.TextEnv.end`."""
        env = self._envs.pop(number, None)
        if env is not None:
            await env.end()


@dataclass(slots=True)
class _Seat:
    """One worker, the actor that is it just now, and how many environments it holds."""

    name: str
    actor: Any
    held: int = 0


class EnvWorkers:
    """The workers; a new environment goes to the one that holds fewest."""

    def __init__(self, count: int) -> None:
        self._seats = [_Seat(f"environment worker {n}", _new_actor()) for n in range(count)]
        self._numbers = itertools.count()

    async def where(self, number: int) -> str:
        """Host and process of a worker."""
        seat = self._seats[number]
        told = await answer(seat.actor.where.remote(), seat.name, "to say where it is", _SLACK_S)
        return str(told)

    def number(self) -> int:
        """For an environment, unlike all others."""
        return next(self._numbers)

    def seat(self) -> _Seat:
        """The worker for one more environment."""
        seat = min(self._seats, key=lambda one: one.held)
        seat.held += 1
        return seat

    def replace(self, seat: _Seat, actor: Any) -> None:
        """Start another in the place of one that was lost."""
        if seat.actor is actor:
            ray.kill(actor)
            seat.actor = _new_actor()

    def close(self) -> None:
        """End the workers, and with them their environments."""
        for seat in self._seats:
            ray.kill(seat.actor)


class RemoteEnv(TextEnv):
    """Stands in for an environment at a worker. Same seed and actions, same episode.

    A worker that dies or does not answer is an ``EnvError`` (``env_worker_lost``); the next episode
    begins at the one that replaces it.

    Args:
        twin: Made alike, and never reset here: it has the tasks and reads actions.
    """

    def __init__(self, workers: EnvWorkers, recipe: Recipe, twin: TextEnv) -> None:
        self._twin, self._workers, self._recipe = twin, workers, recipe
        self._number, self._seat, self._told = workers.number(), workers.seat(), tuple(twin.tools())
        self._actor: Any = None
        super().__init__(
            split=twin.split_name,
            action_format=twin.action_format.name,
            limits=twin.limits,
            max_chars=twin.max_chars,
        )

    @property
    def weights(self) -> Mapping[str, float]:
        return self._twin.weights

    def tools(self) -> Sequence[ToolSpec]:
        """The specs of the tools; those of other sources are there after a reset."""
        return self._told

    async def tasks(self) -> TaskSet:
        """The tasks of the split, loaded once for all that share the twin."""
        return await self._twin.tasks()

    async def begin(self, *, seed: int | None = None, task: Task | str | None = None) -> StepResult:
        """Start an episode at the worker. See :meth:`TextEnv.begin`."""
        gym.Env.reset(self, seed=seed)
        self._running, self.task, self._steps = False, None, []
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self._actor = self._seat.actor
        opening: Opening = await self._ask("begin", self._recipe, seed, task)
        self.task, self._opening, self._told = opening.task, opening.result, opening.tools
        self.transcript = list(opening.result.messages)
        self._running = True
        return self._opening

    async def advance(self, action: str | Action) -> StepResult:
        """Take one assistant turn at the worker. See :meth:`TextEnv.advance`."""
        if not self._running:
            raise ResetNeeded("no episode is running: call reset (or begin) first")
        action = self._read(action)
        self._running = False  # until the worker has answered
        result: StepResult = await self._ask("advance", action)
        self._steps.append(Step(action, result))
        self.transcript += [action.as_message(), *result.messages]
        self._running = result.ending is None
        return result

    async def end(self) -> None:
        """Have the worker free everything. May be called twice."""
        self._running = False
        if self._actor is not None and self._actor is self._seat.actor:
            await self._ask("end")
        self._actor = None

    @property
    def history(self) -> History:
        if self.task is None:
            raise ResetNeeded("no episode yet: call reset (or begin) first")
        return History(self.task, self._opening, tuple(self._steps))

    def load_tasks(self) -> TaskSet:
        """The twin's."""
        return self._twin.load_tasks()

    async def areset(self, task: Task, rng: Any) -> StepResult:
        """The worker does it, in :meth:`begin`."""
        raise NotImplementedError("reset by its worker: use begin")

    async def astep(self, action: Action) -> StepResult:
        """The worker does it, in :meth:`advance`."""
        raise NotImplementedError("stepped by its worker: use advance")

    async def _ask(self, method: str, *given: Any) -> Any:
        pending = getattr(self._actor, method).remote(self._number, *given)
        what = f"to {method} an episode of {self._recipe.env_id}"
        try:
            return await answer(pending, self._seat.name, what, self.limits.step_s + _SLACK_S)
        except WorkerLost as error:
            self._workers.replace(self._seat, self._actor)
            raise EnvError("env_worker_lost", str(error)) from error


class RemoteEnvPool(EnvPool):
    """A pool of stand-ins. See :class:`EnvPool`."""

    def __init__(self, workers: EnvWorkers, recipe: Recipe, *, size: int) -> None:
        super().__init__(recipe.env_id, dict(recipe.kwargs), split=recipe.split, size=size)
        self._workers, self._recipe = workers, recipe
        self._twin: TextEnv | None = None

    def new(self) -> TextEnv:
        """A new stand-in. Raises as :meth:`EnvPool.new`."""
        if self._twin is None:
            self._twin = super().new()
        return RemoteEnv(self._workers, self._recipe, self._twin)


def _new_actor() -> Any:
    made: Any = ray.remote(num_cpus=1, max_restarts=0)(EnvWorker)
    return made.remote()
