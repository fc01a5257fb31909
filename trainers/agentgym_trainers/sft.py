"""Warm start: imitate demonstrations. The loss is on what the player wrote only."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import torch

from agentgym import Episode, TextEnv, UsageError
from agentgym_trainers.collector import rollout_limits
from agentgym_trainers.config import RunConfig, ScratchConfig, SftConfig
from agentgym_trainers.context import require_fit, tools_told
from agentgym_trainers.demonstrations import demonstrate, epochs, imitate, read_recordings
from agentgym_trainers.env_pool import EnvPool
from agentgym_trainers.forward import TokenScores
from agentgym_trainers.learner import BatchLoss, Learner, LossFunction
from agentgym_trainers.lora import adapt
from agentgym_trainers.losses import aggregate
from agentgym_trainers.policy import Policy, load_policy, pick_device
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.rollout import RolloutLimits
from agentgym_trainers.rows import Rows, make_rows
from agentgym_trainers.scratch import new_policy, new_tokenizer
from agentgym_trainers.task_cursor import TaskCursor
from agentgym_trainers.trainer import optimizer_settings

Report = Callable[[int, Mapping[str, float]], None]
_TOKEN_BYTES = 6
"""More bytes than a token has on the average of a text its tokenizer was trained on."""

Take = Callable[[int], Awaitable[list[Episode]]]
"""Gives the next so many demonstrations."""


async def starting_policy(config: RunConfig) -> Policy:
    """The model to warm-start: an existing one, or a new one with a tokenizer of its own.

    Raises:
        UsageError: Adapters are wanted beside a new model, which is saved nowhere.
    """
    if config.sft.scratch is None:
        policy = load_policy(config.model, device=config.device, dtype=config.dtype)
        adapt(policy, config)
        return policy
    if config.lora is not None:
        raise UsageError(
            "lora trains beside the weights of an existing model, and sft.scratch starts a new one:"
            " leave one of them out"
        )
    scratch = config.sft.scratch
    texts = await _texts(config, scratch)
    tokenizer = new_tokenizer(texts, vocab_size=scratch.vocab_size, phrases=scratch.phrases)
    device = pick_device(config.device)
    return new_policy(
        scratch.architecture, scratch.settings, tokenizer, seed=config.seed, device=device
    )


async def warm_start(config: RunConfig, policy: Policy, report: Report) -> None:
    """Train ``policy`` in place on the next demonstrations at every step."""
    settings = config.sft
    learner = Learner(
        policy.model,
        optimizer_settings(settings.optimizer, settings.steps),
        micro_batch_tokens=settings.optimizer.micro_batch_tokens,
        compute_dtype=policy.compute_dtype,
        packed=settings.optimizer.packed,
        recompute=settings.optimizer.activation_checkpointing,
        diverged_folder=config.run_dir,
    )
    limits = rollout_limits(config.rollout)
    async with _demonstrations(config, policy.tokenizer, config.seed, limits) as take:
        for step in range(1, settings.steps + 1):
            started = time.perf_counter()
            rows = make_rows(await take(settings.episodes))
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


async def check_recordings(config: RunConfig, policy: Policy) -> None:
    """Play ``sft.recordings`` once, to find one that cannot be imitated before a run begins.

    Raises:
        DataError: There is one, or there are none at all.
        EnvError: The environment failed.
    """
    if config.sft.recordings is not None:
        limits = rollout_limits(config.rollout)
        async with _demonstrations(config, policy.tokenizer, config.seed, limits):
            pass


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
    bytes_only = new_tokenizer(phrases=scratch.phrases)
    config, roomy = _in_bytes(config)
    async with _demonstrations(config, bytes_only, config.seed + 1, roomy) as take:
        episodes = await take(scratch.tokenizer_episodes)
    return [bytes_only.decode(s.token_ids) for episode in episodes for s in episode.segments]


def _in_bytes(config: RunConfig) -> tuple[RunConfig, RolloutLimits]:
    """The run as it is played with a token a byte: with about as many summaries."""
    rollout, context = config.rollout, config.rollout.context
    if context.kind == "none":
        return config, RolloutLimits(10**6, 10**7, 10**7)
    longer = context.model_copy(update={"summary_tokens": _TOKEN_BYTES * context.summary_tokens})
    changed = rollout.model_copy(update={"context": longer})
    limits = RolloutLimits(
        _TOKEN_BYTES * rollout.turn_tokens, 10**7, _TOKEN_BYTES * rollout.context_tokens
    )
    return config.model_copy(update={"rollout": changed}), limits


@asynccontextmanager
async def _demonstrations(
    config: RunConfig, tokenizer: Any, seed: int, limits: RolloutLimits
) -> AsyncIterator[Take]:
    """Where demonstrations come from: recordings, or else the oracle."""
    pool = EnvPool(config.env.id, config.env.kwargs, split="train", size=1)
    async with pool.env() as env:
        tasks = await env.tasks()
        tools = tools_told(config.rollout.context, env.tools())
        renderer = Renderer(tokenizer, tools, env.action_format)
        require_fit(config.rollout.context, limits, renderer)
        if config.sft.recordings is None:
            cursor = TaskCursor(tasks, seed=seed)
            yield partial(_episodes, config, env, renderer, cursor, limits)
        else:
            yield await _recordings(config.sft, env, renderer, seed, limits)
    await pool.aclose()


async def _recordings(
    settings: SftConfig, env: TextEnv, renderer: Renderer, seed: int, limits: RolloutLimits
) -> Take:
    assert settings.recordings is not None  # the caller looked
    recorded = read_recordings(settings.recordings, settings.recordings_min_reward)
    # All before the first step, so that a bad one is found at once.
    played = [await imitate(env, renderer, one, limits=limits) for one in recorded]
    order = epochs(len(played), seed=seed)

    async def take(count: int) -> list[Episode]:
        return [played[next(order)] for _ in range(count)]

    return take


async def _episodes(
    config: RunConfig,
    env: TextEnv,
    renderer: Renderer,
    cursor: TaskCursor,
    limits: RolloutLimits,
    count: int,
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
            context=config.rollout.context,
        )
        for offset, task in enumerate(cursor.take(count))
    ]
