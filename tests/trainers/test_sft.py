"""The warm start: demonstrations, a new tokenizer, and a loss on the player's tokens only."""

from pathlib import Path

import numpy as np
import pytest
import torch
from counting_env import CountingEnv, EvenEnv

from agentgym import Ending, UsageError
from agentgym.formats import get_format
from agentgym_trainers.config import load_config
from agentgym_trainers.demonstrations import demonstrate
from agentgym_trainers.forward import TokenScores
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.rollout import RolloutLimits
from agentgym_trainers.rows import make_rows
from agentgym_trainers.scratch import new_tokenizer
from agentgym_trainers.sft import imitation_loss, starting_policy, warm_start


async def demonstrations(mistake_rate: float, count: int = 20):  # type: ignore[no-untyped-def]
    env = EvenEnv(split="all")
    tasks = await env.tasks()
    renderer = Renderer(new_tokenizer(), (), get_format("hermes"))
    return [
        await demonstrate(
            env, renderer, tasks[n], mistake_rate=mistake_rate, seed=n, limits=RolloutLimits()
        )
        for n in range(count)
    ]


async def test_the_mistake_rate_is_the_share_of_the_novices_turns() -> None:
    assert {e.reward for e in await demonstrations(0.0)} == {1.0}
    assert {e.reward for e in await demonstrations(1.0)} == {0.0}
    mixed = [e.reward for e in await demonstrations(0.5, 100)]
    assert 0.35 < np.mean(mixed) < 0.65


async def test_the_same_seed_gives_the_same_demonstration() -> None:
    assert [e.segments for e in await demonstrations(0.5)] == [
        e.segments for e in await demonstrations(0.5)
    ]


async def test_an_environment_without_a_novice_says_so() -> None:
    env = CountingEnv(split="all")
    renderer = Renderer(new_tokenizer(), env.tools(), get_format("hermes"))
    tasks = await env.tasks()
    good = await demonstrate(
        env, renderer, tasks[0], mistake_rate=0, seed=0, limits=RolloutLimits()
    )
    assert good.ending is Ending.SOLVED
    with pytest.raises(UsageError, match="CountingEnv has no novice"):
        await demonstrate(env, renderer, tasks[0], mistake_rate=1, seed=0, limits=RolloutLimits())


async def test_the_loss_is_on_the_players_tokens_only() -> None:
    rows = make_rows(await demonstrations(0.5, 4))
    logp = torch.full(rows.mask_ST.shape, -2.0).masked_fill(~rows.mask_ST, -1000.0)
    outcome = imitation_loss(rows)(TokenScores(logp, torch.zeros_like(logp)), rows, torch.arange(4))
    assert float(outcome.loss) == pytest.approx(2.0)


async def test_a_policy_from_nothing_learns_the_demonstrations(tmp_path: Path) -> None:
    settings = [
        "env.id=test/Even-v0",
        "sft.steps=40",
        "sft.episodes=8",
        "sft.mistake_rate=0.0",
        "sft.scratch.vocab_size=300",
        "sft.scratch.tokenizer_episodes=20",
        "sft.scratch.settings={hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2,"
        " num_key_value_heads: 1, head_dim: 16, intermediate_size: 32, initializer_range: 0.2}",
        "sft.optimizer.learning_rate=0.02",
        "sft.optimizer.warmup_steps=5",
    ]
    config = load_config(None, settings)
    policy = await starting_policy(config)
    losses: list[float] = []
    await warm_start(config, policy, lambda step, metrics: losses.append(metrics["sft/loss"]))
    assert losses[0] > 4
    assert losses[-1] < 0.5
