"""What is written down about a step. Each name is explained in docs/metrics.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from agentgym import Ending
from agentgym_trainers.batch import Batch
from agentgym_trainers.rollout import error_of
from agentgym_trainers.rollouts import Round
from agentgym_trainers.rows import Rows, micro_batches

_TURNS = 4
"""Turns whose advantages are logged: later ones are rare, and each has two metrics."""


def rollout_metrics(round_: Round, batch: Batch) -> dict[str, float]:
    """Means over episodes (never over rows) of one round."""
    groups = round_.groups
    episodes = [episode for group in groups for episode in group.episodes]
    failed = [one for group in (*groups, *round_.rejected) for one in group.failed]
    count = max(len(episodes), 1)
    turns = [turn for episode in episodes for turn in episode.turns]
    kinds = Counter(turn.kind for turn in turns)
    choices = Counter(decision.choice for one in episodes for decision in one.decisions)
    answered = [turn.result.telemetry for turn in turns if turn.result is not None]
    tokens = sum(len(segment) for episode in episodes for segment in episode.segments)
    sampled = sum(episode.sampled_tokens for episode in episodes)
    metrics = {
        "episode/success": _mean([episode.ending is Ending.SOLVED for episode in episodes]),
        "episode/reward": _mean([episode.reward for episode in episodes]),
        "episode/turns": kinds["act"] / count,
        "episode/tokens": sampled / count,
        "episode/segments": _mean([len(episode.segments) for episode in episodes]),
        "episode/peak_context": _mean([episode.peak_context for episode in episodes]),
        "rollout/prefill_tokens": _mean(
            [episode.telemetry.get("prefill_tokens", 0.0) for episode in episodes]
        ),
        "tokens/sampled": float(sampled),
        "tokens/observed": float(tokens - sampled),
        "groups/trained": float(len(groups) - batch.dropped.constant - batch.dropped.short),
        "groups/constant": float(batch.dropped.constant),
        "groups/short": float(batch.dropped.short),
        "groups/rejected": float(len(round_.rejected)),
        "episodes/overlong_masked": float(batch.dropped.overlong),
        "env_errors": float(len(failed)),
        "time/env_s": sum(one.get("env_s", 0.0) for one in answered),
    }
    if choices:
        metrics["context/summaries"] = kinds["summary"] / count
        metrics["context/recalls"] = kinds["recall"] / count
        metrics["context/drops"] = choices["drop"] / count
        metrics["context/stops"] = choices["stop"] / count
    for name in sorted({name for episode in episodes for name in episode.rewards}):
        metrics[f"reward/{name}"] = _mean([e.rewards.get(name, 0.0) for e in episodes])
    endings = Counter(episode.ending for episode in episodes)
    metrics |= {f"ending/{ending.value}": endings[ending] / count for ending in Ending}
    for kind, number in sorted(Counter(error_of(episode) for episode in failed).items()):
        metrics[f"env_error/{kind}"] = float(number)
    return metrics


def staleness_metrics(round_: Round, version: int) -> dict[str, float]:
    """How many updates ago tokens were sampled, as shares; ``version`` updates into the run."""
    segments = [
        segment for group in round_.groups for one in group.episodes for segment in one.segments
    ]
    sampled = [segment.versions[segment.mask] for segment in segments]
    lags = version - np.concatenate(sampled) if sampled else np.zeros(0, np.int64)
    if not len(lags):
        return {"staleness/mean": 0.0, "staleness/max": 0.0}
    shares = np.bincount(np.maximum(lags, 0)) / len(lags)
    return {
        "staleness/mean": float(lags.mean()),
        "staleness/max": float(lags.max()),
        **{f"staleness/lag{lag}": float(share) for lag, share in enumerate(shares)},
    }


def batch_metrics(batch: Batch, *, padded_to: int | None) -> dict[str, float]:
    """Of what is trained on: padding, importance weights, and advantages by turn.

    A turn's advantage is the mean over its tokens, so every turn counts once.

    Args:
        padded_to: Tokens of a micro-batch, if its rows are padded; ``None`` if they are packed.
    """
    rows, metrics = batch.rows, dict(batch.weight_facts)
    metrics["tokens/padding"] = 0.0 if padded_to is None else _padding(rows, padded_to)
    for turn in range(_TURNS):
        here_ST = rows.mask_ST & (rows.turn_id_ST == turn)
        row_S = here_ST.any(dim=1)
        if row_S.any():
            counts_S = here_ST.sum(dim=1)[row_S]
            means_S = (batch.advantages_ST * here_ST).sum(dim=1)[row_S] / counts_S
            metrics[f"advantage/turn{turn}_mean"] = float(means_S.mean())
            metrics[f"advantage/turn{turn}_std"] = float(means_S.std(correction=0))
    return metrics


def _padding(rows: Rows, max_tokens: int) -> float:
    lengths = [rows.length_S[numbers] for numbers in micro_batches(rows, max_tokens)]
    return float(sum(len(one_B) * int(one_B.max()) - int(one_B.sum()) for one_B in lengths))


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
    reference = {}
    if "kl_reference_sum" in first:
        reference["learner/kl_reference"] = mean("kl_reference_sum")
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
        "learner/ratio_min": min(update["ratio_min"] for update in updates),
        "learner/ratio_max": max(update["ratio_max"] for update in updates),
        **reference,
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
