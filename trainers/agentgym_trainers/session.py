"""What every command needs to play episodes: policy, engine, renderer, environments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import torch

from agentgym import Engine, Sampling, TaskSet
from agentgym_trainers.collector import Collector, rollout_limits
from agentgym_trainers.config import RunConfig
from agentgym_trainers.context import ContextSettings, require_fit, tools_told
from agentgym_trainers.engines.opening import open_engine
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.env_pool import EnvPool
from agentgym_trainers.policy import Policy
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.timeline import Timeline

_TRACED_SPANS = 200_000


@dataclass(slots=True)
class Session:
    """A policy with its engine, and pools of environments by split."""

    config: RunConfig
    policy: Policy
    engine: Engine
    timeline: Timeline
    _pools: dict[str, EnvPool]

    def pool(self, split: str) -> EnvPool:
        """The environments of a split."""
        if split not in self._pools:
            env = self.config.env
            size = self.config.rollout.concurrency
            self._pools[split] = EnvPool(env.id, env.kwargs, split=split, size=size)
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
    ) -> Collector:
        """Plays episodes of a split with the session's engine.

        Args:
            evaluating: With the context of ``eval``, where it differs from training's.

        Raises:
            ConfigError: No task would fit into the context.
        """
        rollout = self.config.evaluation_rollout if evaluating else self.config.rollout
        pool, renderer = self.pool(split), await self.renderer(split, rollout.context)
        limits = rollout_limits(rollout)
        require_fit(rollout.context, limits, renderer)
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
    engine = await open_engine(
        config.engine.name, config.engine.options, policy, engine_settings(config)
    )
    timeline = Timeline(keep=_TRACED_SPANS if config.train.trace else 0)
    session = Session(config, policy, engine, timeline, {})
    try:
        yield session
    finally:
        await engine.aclose()
        await asyncio.gather(*(pool.aclose() for pool in session._pools.values()))


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
