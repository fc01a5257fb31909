"""Asking an engine, and what the learner says of the answer."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import torch

from agentgym import Generation, Sampling
from agentgym_trainers.engines.hf import HFEngine
from agentgym_trainers.forward import score
from agentgym_trainers.policy import Policy
from agentgym_trainers.rows import Rows

Weights = Mapping[str, torch.Tensor]

PROMPTS = [list(range(5, 5 + n)) for n in (3, 40, 40, 17, 1)] + [[9] * 30]


async def answer(engine: HFEngine, ids: list[int], name: str, **options: Any) -> Generation:
    sampling = Sampling(**{"max_tokens": 8, "seed": 3, **options})
    return await engine.generate(ids, sampling, request_id=name, timeout_s=30)


def learner_logprobs(
    policy: Policy, prompt: list[int], sampled: tuple[int, ...], temperature: float
) -> list[float]:
    ids = torch.tensor([[*prompt, *sampled]])
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[:, len(prompt) :] = True
    length = torch.tensor([ids.shape[1]])
    rows = Rows(ids, mask, mask.long() - 1, torch.zeros(ids.shape), length, torch.zeros(1).long())
    with torch.no_grad():
        logp = score(policy.model, rows, temperature=temperature).logp_BT
    logprobs: list[float] = logp[0, len(prompt) :].tolist()
    return logprobs


async def until(happened: Callable[[], bool]) -> None:
    """Return as soon as it has."""
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.001)  # a loop that never waits would keep the engine from work


def change(model: Any, seed: int) -> None:
    """Other weights, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def weights_of(model: Any) -> Weights:
    """A copy of the weights as they are now."""
    return {name: one.detach().clone() for name, one in model.named_parameters()}
