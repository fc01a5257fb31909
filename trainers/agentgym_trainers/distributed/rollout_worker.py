"""A Ray actor that plays whole groups, with environments and an engine of its own."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import torch

from agentgym import Task
from agentgym.errors import PluginError, UsageError
from agentgym_trainers.collector import Group, PlaysGroups
from agentgym_trainers.config import ClusterConfig, RunConfig
from agentgym_trainers.lora import adapt
from agentgym_trainers.policy import load_policy
from agentgym_trainers.session import Session, open_session

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class PlaySettings:
    """Of which split, how, and whether with the context of evaluations."""

    split: str
    temperature: float
    evaluating: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """A version of the trained weights; the arrays lie in Ray's object store.

    ``arrays`` is a list of one reference, since Ray would fetch a bare one for every call.
    """

    version: int
    arrays: list[Any]


def trained_arrays(model: Any) -> Arrays:
    """The weights that training changes, by name."""
    trained = ((name, one) for name, one in model.named_parameters() if one.requires_grad)
    return {name: np.array(weight.detach().cpu().numpy()) for name, weight in trained}


class RolloutWorker:
    """The actor. It holds what the run's configuration says, as the trainer's process would."""

    def __init__(self, name: str, config: RunConfig) -> None:
        self._name = name
        # What is played here is played here, by the weights the trainer sends.
        here: dict[str, Any] = {"cluster": ClusterConfig()}
        if not config.cluster.worker_gpus:
            here["device"] = "cpu"
        self._config = config.model_copy(update=here)
        self._version = -1
        self._stack = AsyncExitStack()
        self._opened: Session | None = None
        self._collectors: dict[PlaySettings, PlaysGroups] = {}
        self._changing = asyncio.Lock()

    async def start(self) -> str:
        """Load the policy and open engine and environments; says where this is."""
        async with self._changing:
            if self._opened is None:
                self._opened = await self._stack.enter_async_context(self._open())
        return f"{socket.gethostname()}, pid {os.getpid()}"

    async def play(
        self, settings: PlaySettings, task: Task, size: int, group_id: str, weights: Weights
    ) -> Group:
        """One group with these weights, or newer ones that came meanwhile.

        Raises:
            UsageError: The caller's mistake.
        """
        try:
            await self._take(weights)
            collector = await self._collector(settings, size)
            return await collector.play(task, size, group_id)
        except (UsageError, PluginError) as error:  # in a form that any process can unpickle
            raise UsageError(f"{self._name}: {error}") from None

    def _open(self) -> Any:
        config = self._config
        policy = load_policy(config.model, device=config.device, dtype=config.dtype)
        adapt(policy, config)
        return open_session(config, policy)

    @property
    def _session(self) -> Session:
        assert self._opened is not None  # started before anything else is asked
        return self._opened

    async def _take(self, weights: Weights) -> None:
        """Let the engine go on with these weights; calls under way are answered first."""
        async with self._changing:
            if weights.version <= self._version:
                return
            arrays: Arrays = await weights.arrays[0]
            engine, model = self._session.engine, self._session.policy.model
            timeout_s = self._config.rollout.generate_s
            await engine.pause(timeout_s=timeout_s)
            try:
                _load(model, arrays)
                await engine.update_weights(model, weights.version, timeout_s=timeout_s)
            finally:
                await engine.resume()
            self._version = weights.version

    async def _collector(self, settings: PlaySettings, size: int) -> PlaysGroups:
        if settings not in self._collectors:
            self._collectors[settings] = await self._session.collector(
                settings.split, temperature=settings.temperature, evaluating=settings.evaluating
            )
            await self._collectors[settings].prepare(size)
        return self._collectors[settings]


@torch.no_grad()
def _load(model: Any, arrays: Arrays) -> None:
    parameters = dict(model.named_parameters())
    for name, array in arrays.items():
        parameters[name].copy_(torch.from_numpy(array))


def new_worker(name: str, config: RunConfig) -> Any:
    """The handle of a worker that is being started."""
    cluster = config.cluster
    made: Any = ray.remote(num_cpus=1, num_gpus=cluster.worker_gpus, max_restarts=0)(RolloutWorker)
    return made.options(max_concurrency=cluster.worker_groups + 8).remote(name, config)
