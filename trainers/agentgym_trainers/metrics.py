"""What is written down about a step. Each name is explained in docs/metrics.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from agentgym import Ending
from agentgym_trainers.collector import Group
from agentgym_trainers.grpo import Batch
from agentgym_trainers.rollout import error_of


def rollout_metrics(groups: Sequence[Group], batch: Batch) -> dict[str, float]:
    """Means over episodes (never over rows) of one round."""
    episodes = [episode for group in groups for episode in group.episodes]
    failed = [episode for group in groups for episode in group.failed]
    count = max(len(episodes), 1)
    turns = [turn for episode in episodes for turn in episode.turns]
    answered = [turn.result.telemetry for turn in turns if turn.result is not None]
    tokens = sum(len(segment) for episode in episodes for segment in episode.segments)
    sampled = sum(episode.sampled_tokens for episode in episodes)
    metrics = {
        "episode/success": _mean([episode.ending is Ending.SOLVED for episode in episodes]),
        "episode/reward": _mean([episode.reward for episode in episodes]),
        "episode/turns": len(turns) / count,
        "episode/segments": _mean([len(episode.segments) for episode in episodes]),
        "tokens/sampled": float(sampled),
        "tokens/observed": float(tokens - sampled),
        "groups/trained": float(len(groups) - batch.constant_groups - batch.short_groups),
        "groups/constant": float(batch.constant_groups),
        "groups/short": float(batch.short_groups),
        "env_errors": float(len(failed)),
        "time/env_s": sum(one.get("env_s", 0.0) for one in answered),
    }
    for name in sorted({name for episode in episodes for name in episode.rewards}):
        metrics[f"reward/{name}"] = _mean([e.rewards.get(name, 0.0) for e in episodes])
    endings = Counter(episode.ending for episode in episodes)
    metrics |= {f"ending/{ending.value}": endings[ending] / count for ending in Ending}
    for kind, number in sorted(Counter(error_of(episode) for episode in failed).items()):
        metrics[f"env_error/{kind}"] = float(number)
    return metrics


def per_token(updates: Sequence[dict[str, float]]) -> dict[str, float]:
    """One round's optimiser steps: means over steps, and per-token means of the sums.

    ``learner/mismatch`` is of the first optimiser step: there the weights are still those that
    sampled, so it shows how far the learner's log-probs are from the engine's.
    """
    if not updates:
        return {"learner/optimizer_steps": 0.0}
    tokens = sum(update["tokens_sum"] for update in updates)

    def mean(name: str) -> float:
        return sum(update[name] for update in updates) / tokens

    first = updates[0]
    return {
        "learner/optimizer_steps": float(len(updates)),
        "learner/loss": _mean([update["loss"] for update in updates]),
        "learner/grad_norm": _mean([update["grad_norm"] for update in updates]),
        "learner/learning_rate": updates[-1]["learning_rate"],
        "learner/entropy": mean("entropy_sum"),
        "learner/kl_behaviour": mean("kl_behaviour_sum"),
        "learner/clip_high": mean("clip_high_sum"),
        "learner/clip_low": mean("clip_low_sum"),
        "learner/mismatch": first["log_ratio_abs_sum"] / first["tokens_sum"],
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
