"""Episodes played by the environment's own oracle, with a novice's mistakes mixed in."""

from __future__ import annotations

import numpy as np

from agentgym import Episode, Sampling, Task, TextEnv, UsageError
from agentgym_trainers.engines.scripted import ScriptedEngine
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.rollout import RolloutLimits, run_episode


async def demonstrate(
    env: TextEnv,
    renderer: Renderer,
    task: Task,
    *,
    mistake_rate: float,
    seed: int,
    limits: RolloutLimits,
) -> Episode:
    """One episode in which each turn is the novice's with probability ``mistake_rate``.

    Raises:
        UsageError: The environment has no oracle, or no novice and ``mistake_rate`` is positive.
    """
    rng = np.random.default_rng(seed)

    def reply(prompt: str) -> str:
        try:
            return env.novice(rng) if rng.random() < mistake_rate else env.oracle()
        except NotImplementedError as error:
            raise UsageError(f"cannot make demonstrations: {error}") from error

    return await run_episode(
        env,
        ScriptedEngine(renderer.tokenizer, reply),
        renderer,
        Sampling(),
        task=task,
        seed=seed,
        episode_id=f"demonstration.{seed}",
        group_id=f"demonstration.{seed}",
        limits=limits,
    )
