"""What every command needs to play episodes: policy, engine, renderer, environments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from agentgym import Engine, Sampling, TaskSet, UsageError
from agentgym_trainers.collector import Collector, PlaysGroups, rollout_limits
from agentgym_trainers.config import RunConfig
from agentgym_trainers.context import ContextSettings, require_fit, tools_told
from agentgym_trainers.engines.opening import open_engine
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.env_pool import EnvPool
from agentgym_trainers.policy import Policy
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.timeline import Timeline

_TRACED_SPANS = 200_000

if TYPE_CHECKING:
    from agentgym_trainers.distributed.elsewhere import Elsewhere


@dataclass(slots=True)
class Session:
    """A policy with its engine, and pools of environments by split."""

    config: RunConfig
    policy: Policy
    engine: Engine
    timeline: Timeline
    _pools: dict[str, EnvPool]
    elsewhere: Elsewhere | None = None

    async def rest(self) -> None:
        """Let an engine that sleeps give its memory back until :meth:`publish`.

        Nothing is done where episodes are played while the learner works.

        Raises:
            EnvError: The engine does not come to rest.
        """
        if self.config.engine.options.get("sleep") and not self.config.train.staleness:
            await self.engine.pause(timeout_s=self._longest_pause_s)

    async def publish(self, version: int) -> None:
        """Let all that play go on with the policy's present weights.

        Raises:
            EnvError: The engine does not take them.
        """
        settings, engine = self.config, self.engine
        await engine.pause(timeout_s=self._longest_pause_s, drain=settings.train.drain)
        try:
            await engine.update_weights(
                self.policy.model, version, timeout_s=settings.engine.update_s
            )
        finally:
            await engine.resume()
        if self.elsewhere is not None:
            await self.elsewhere.update_weights(self.policy.model, version)

    @property
    def _longest_pause_s(self) -> float:
        # Calls that run have generate_s themselves; they end before the pause does.
        return self.config.rollout.generate_s + self.config.engine.update_s

    def pool(self, split: str) -> EnvPool:
        """The environments of a split."""
        if split not in self._pools:
            env = self.config.env
            size = self.config.rollout.concurrency
            away = self.elsewhere.pool(self.config, split) if self.elsewhere else None
            self._pools[split] = away or EnvPool(env.id, env.kwargs, split=split, size=size)
        return self._pools[split]

    async def tasks(self, split: str) -> TaskSet:
        """The tasks of a split."""
        return await self.pool(split).tasks()

    async def renderer(self, split: str, context: ContextSettings | None = None) -> Renderer:
        """Writes the conversations of a split's environments, by default as in training."""
        context = context or self.config.rollout.context
        async with self.pool(split).env() as env:
            await env.tasks()
            tools = tools_told(context, env.tools())
            return Renderer(self.policy.tokenizer, tools, env.action_format)

    async def collector(
        self, split: str, *, temperature: float, evaluating: bool = False
    ) -> PlaysGroups:
        """Plays episodes of a split with the session's engine, or with those of the workers.

        Args:
            evaluating: With the context of ``eval``, where it differs from training's.

        Raises:
            ConfigError: No task would fit into the context.
        """
        rollout = self.config.evaluation_rollout if evaluating else self.config.rollout
        pool, renderer = self.pool(split), await self.renderer(split, rollout.context)
        limits = rollout_limits(rollout)
        require_fit(rollout.context, limits, renderer)
        if self.elsewhere is not None:
            away = self.elsewhere.collector(split, temperature=temperature, evaluating=evaluating)
            if away is not None:
                return away
        return Collector(
            pool,
            self.engine,
            renderer,
            Sampling(temperature=temperature, seed=self.config.seed),
            limits=limits,
            refills=rollout.refills,
            context=rollout.context,
            timeline=self.timeline,
        )


@asynccontextmanager
async def open_session(config: RunConfig, policy: Policy) -> AsyncIterator[Session]:
    """Start the engine; stop it and close all environments at the end."""
    torch.manual_seed(config.seed)
    timeline = Timeline(keep=_TRACED_SPANS if config.train.trace else 0)
    with _elsewhere(config, policy) as elsewhere:
        engine = await open_engine(
            config.engine.name, config.engine.options, policy, engine_settings(config)
        )
        session = Session(config, policy, engine, timeline, {}, elsewhere)
        try:
            yield session
        finally:
            await engine.aclose()
            await asyncio.gather(*(pool.aclose() for pool in session._pools.values()))


def _elsewhere(config: RunConfig, policy: Policy) -> AbstractContextManager[Elsewhere | None]:
    if not config.cluster.workers and not config.cluster.env_workers:
        return nullcontext()
    try:  # ray is an extra
        from agentgym_trainers.distributed.elsewhere import parts_elsewhere
    except ImportError as error:
        raise UsageError(
            f"cluster.workers needs {error.name!r}, which is not installed: "
            "pip install 'agentgym[ray]'"
        ) from error
    return parts_elsewhere(config, policy.model)


def engine_settings(config: RunConfig) -> EngineSettings:
    """What a run's configuration says of its engine."""
    longest = max(config.rollout.context_tokens, config.evaluation_rollout.context_tokens)
    return EngineSettings(
        concurrency=config.rollout.concurrency,
        context_tokens=longest,
        own_weights=config.train.staleness > 0,
        seed=config.seed,
        folder=config.run_dir / "engine" if config.run_dir else None,
    )
