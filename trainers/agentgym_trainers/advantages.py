"""How much better than expected an episode was. Pure functions on tensors.

Shape letters: ``N`` episodes, ``S`` rows (one row is one segment), ``T`` tokens.
"""

from __future__ import annotations

import torch

from agentgym.errors import UnknownName

BASELINES = ("mean", "loo", "none")
SCALES = ("std", "none", "batch")


def group_advantage(
    returns_N: torch.Tensor,
    group_N: torch.Tensor,
    *,
    baseline: str = "mean",
    scale: str = "std",
    ddof: int = 1,
    eps: float = 1e-6,
    valid_N: torch.Tensor | None = None,
) -> torch.Tensor:
    """Each episode's return against its group's.

    Source: GRPO (arXiv:2402.03300); ``scale="none"`` is Dr.GRPO (arXiv:2503.20783),
    ``baseline="loo"`` RLOO (arXiv:2402.14740), ``scale="batch"`` REINFORCE++-baseline
    (arXiv:2501.03262). Departure: a lone episode gets 0, since it has no baseline, and a constant
    group gets exactly 0.

    Args:
        returns_N: Scalar return of each episode, shape (N,).
        group_N: Group number of each episode, shape (N,).
        valid_N: False for environment errors: out of all statistics, advantage 0.

    Returns:
        Advantages, shape (N,).

    Raises:
        UnknownName: Not a baseline or scale.
    """
    if baseline not in BASELINES:
        raise UnknownName("baseline", baseline, BASELINES)
    if scale not in SCALES:
        raise UnknownName("scale", scale, SCALES)
    valid_N = torch.ones_like(returns_N, dtype=torch.bool) if valid_N is None else valid_N
    advantages_N = torch.zeros_like(returns_N)
    for group in torch.unique(group_N):
        member_N = (group_N == group) & valid_N
        advantages_N[member_N] = _within_group(returns_N[member_N], baseline, scale, ddof, eps)
    if scale == "batch":
        used_N = advantages_N[valid_N]
        if len(used_N) > ddof and bool((used_N != used_N[0]).any()):
            advantages_N[valid_N] = (used_N - used_N.mean()) / (used_N.std(correction=ddof) + eps)
        else:
            advantages_N[valid_N] = 0.0
    return advantages_N


def _within_group(
    returns_G: torch.Tensor, baseline: str, scale: str, ddof: int, eps: float
) -> torch.Tensor:
    count = len(returns_G)
    if baseline == "none":
        centred_G = returns_G.clone()
    elif count < 2 or bool((returns_G == returns_G[0]).all()):
        return torch.zeros_like(returns_G)
    else:
        centred_G = returns_G - returns_G.mean()
        if baseline == "loo":
            centred_G = centred_G * (count / (count - 1))
    if scale == "std":
        if count <= ddof or bool((returns_G == returns_G[0]).all()):
            return torch.zeros_like(returns_G)
        centred_G = centred_G / (returns_G.std(correction=ddof) + eps)
    return centred_G


def spread_episodes(
    per_episode_N: torch.Tensor, row_to_episode_S: torch.Tensor, mask_ST: torch.Tensor
) -> torch.Tensor:
    """Each episode's value on every sampled token of every one of its segments.

    Source: SUPO (arXiv:2510.06727): summary tokens are sampled, so they get it too.

    Returns:
        Shape (S, T); 0 where ``mask_ST`` is False.
    """
    per_row_S1 = per_episode_N[row_to_episode_S].unsqueeze(1)
    return torch.where(mask_ST, per_row_S1, torch.zeros_like(per_row_S1))
