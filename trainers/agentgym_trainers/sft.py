"""Warm start: imitate demonstrations. The loss is on what the player wrote only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

from agentgym import Episode, TextEnv
from agentgym_trainers.collector import rollout_limits
from agentgym_trainers.config import RunConfig, ScratchConfig
from agentgym_trainers.demonstrations import demonstrate
from agentgym_trainers.env_pool import EnvPool
from agentgym_trainers.forward import TokenScores
from agentgym_trainers.learner import BatchLoss, Learner, LossFunction
from agentgym_trainers.losses import aggregate
from agentgym_trainers.policy import Policy, load_policy, pick_device
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.rollout import RolloutLimits
from agentgym_trainers.rows import Rows, make_rows
from agentgym_trainers.scratch import new_policy, new_tokenizer
from agentgym_trainers.task_cursor import TaskCursor
from agentgym_trainers.trainer import optimizer_settings

Report = Callable[[int, Mapping[str, float]], None]


async def starting_policy(config: RunConfig) -> Policy:
    """The model to warm-start: an existing one, or a new one with a tokenizer of its own."""
    if config.sft.scratch is None:
        return load_policy(config.model, device=config.device, dtype=config.dtype)
    scratch = config.sft.scratch
    tokenizer = new_tokenizer(await _texts(config, scratch), vocab_size=scratch.vocab_size)
    device = pick_device(config.device)
    return new_policy(
        scratch.architecture, scratch.settings, tokenizer, seed=config.seed, device=device
    )


async def warm_start(config: RunConfig, policy: Policy, report: Report) -> None:
    """Train ``policy`` in place on fresh demonstrations at every step."""
    settings = config.sft
    learner = Learner(
        policy.model,
        optimizer_settings(settings.optimizer, settings.steps),
        micro_batch_tokens=settings.optimizer.micro_batch_tokens,
        compute_dtype=policy.compute_dtype,
    )
    pool = EnvPool(config.env.id, config.env.kwargs, split="train", size=1)
    limits = rollout_limits(config.rollout)
    async with pool.env() as env:
        cursor = TaskCursor(await env.tasks(), seed=config.seed)
        renderer = Renderer(policy.tokenizer, env.tools(), env.action_format)
        for step in range(1, settings.steps + 1):
            started = time.perf_counter()
            episodes = await _episodes(config, env, renderer, cursor, settings.episodes, limits)
            rows = make_rows(episodes)
            stats = learner.update(rows, imitation_loss(rows), temperature=1.0)
            report(
                step,
                {
                    "sft/loss": stats["loss"],
                    "sft/entropy": stats["entropy_sum"] / rows.sampled_tokens,
                    "sft/grad_norm": stats["grad_norm"],
                    "sft/learning_rate": stats["learning_rate"],
                    "time/step_s": time.perf_counter() - started,
                },
            )
    await pool.aclose()


def imitation_loss(whole: Rows) -> LossFunction:
    """Mean negative log-likelihood of the sampled tokens of the whole batch."""
    denom = float(whole.sampled_tokens)

    def loss_of(scores: TokenScores, rows: Rows, numbers: torch.Tensor) -> BatchLoss:
        mask_BT = rows.mask_ST.to(scores.logp_BT.device)
        loss = aggregate(-scores.logp_BT, mask_BT, "token", denom=denom)
        return BatchLoss(loss, {"entropy_sum": float(scores.entropy_BT.sum())})

    return loss_of


async def _texts(config: RunConfig, scratch: ScratchConfig) -> list[str]:
    """What the tokenizer is trained on: whole demonstrations as the model will see them."""
    pool = EnvPool(config.env.id, config.env.kwargs, split="train", size=1)
    bytes_only = new_tokenizer()
    async with pool.env() as env:
        cursor = TaskCursor(await env.tasks(), seed=config.seed + 1)
        renderer = Renderer(bytes_only, env.tools(), env.action_format)
        roomy = RolloutLimits(turn_tokens=10**6, episode_tokens=10**7, context_tokens=10**7)
        count = scratch.tokenizer_episodes
        episodes = await _episodes(config, env, renderer, cursor, count, roomy)
    await pool.aclose()
    return [bytes_only.decode(s.token_ids) for episode in episodes for s in episode.segments]


async def _episodes(
    config: RunConfig,
    env: TextEnv,
    renderer: Renderer,
    cursor: TaskCursor,
    count: int,
    limits: RolloutLimits,
) -> list[Episode]:
    first = cursor.position
    return [
        await demonstrate(
            env,
            renderer,
            task,
            mistake_rate=config.sft.mistake_rate,
            seed=config.seed * 10**9 + first + offset,
            limits=limits,
        )
        for offset, task in enumerate(cursor.take(count))
    ]
