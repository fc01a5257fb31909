"""Policy losses: per token and unreduced, then one aggregation with a global normaliser.

Shape letters: ``B`` rows of a micro-batch, ``T`` tokens. ``mask`` is True where the policy sampled.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from agentgym.errors import UnknownName

MAX_LOG_RATIO = 20.0
"""Log-ratios are clamped to ± this, so that no ratio overflows."""


def log_ratio(
    logp_BT: torch.Tensor, old_logp_BT: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    """``logp - old_logp`` where the policy sampled, clamped; exactly 0 elsewhere.

    Both inputs are replaced before they are subtracted, so an inf or NaN under a False mask reaches
    neither the value nor the gradient.
    """
    zero = torch.zeros_like(logp_BT)
    difference_BT = torch.where(mask_BT, logp_BT, zero) - torch.where(mask_BT, old_logp_BT, zero)
    return difference_BT.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def _ppo(
    logp_BT: torch.Tensor,
    old_logp_BT: torch.Tensor,
    advantages_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
) -> torch.Tensor:
    ratio_BT = log_ratio(logp_BT, old_logp_BT, mask_BT).exp()
    clipped_BT = ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    loss_BT = torch.maximum(-advantages_BT * ratio_BT, -advantages_BT * clipped_BT)
    if dual_clip is not None:
        capped_BT = torch.minimum(loss_BT, -advantages_BT * dual_clip)
        loss_BT = torch.where(advantages_BT < 0, capped_BT, loss_BT)
    return loss_BT


def _reinforce(
    logp_BT: torch.Tensor,
    old_logp_BT: torch.Tensor,
    advantages_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
) -> torch.Tensor:
    return -advantages_BT * torch.where(mask_BT, logp_BT, torch.zeros_like(logp_BT))


_KINDS: dict[str, Callable[..., torch.Tensor]] = {"ppo": _ppo, "reinforce": _reinforce}


def policy_loss(
    kind: str,
    logp_BT: torch.Tensor,
    old_logp_BT: torch.Tensor,
    advantages_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    weight_BT: torch.Tensor | None = None,
) -> torch.Tensor:
    """Per-token loss, unreduced; 0 where ``mask_BT`` is False.

    Source: ``ppo`` is the clipped ratio (arXiv:1707.06347; ``clip_high=0.28`` is DAPO's
    clip-higher, arXiv:2503.14476; ``dual_clip`` caps at ``-A·c`` where A < 0, arXiv:1912.09729);
    ``reinforce`` is ``-A·logp``.

    Args:
        weight_BT: Detached importance weights to multiply with.

    Raises:
        UnknownName: Not a kind of loss.
    """
    if kind not in _KINDS:
        raise UnknownName("policy loss", kind, _KINDS)
    loss_BT = _KINDS[kind](
        logp_BT, old_logp_BT, advantages_BT, mask_BT, clip_low, clip_high, dual_clip
    )
    if weight_BT is not None:
        loss_BT = loss_BT * torch.where(mask_BT, weight_BT, torch.zeros_like(weight_BT)).detach()
    return torch.where(mask_BT, loss_BT, torch.zeros_like(loss_BT))


def aggregate(
    loss_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    mode: str,
    *,
    denom: float,
    row_to_episode: torch.Tensor | None = None,
) -> torch.Tensor:
    """Reduce a per-token loss to the micro-batch's share of the whole batch's loss.

    ``denom`` counts over the whole optimiser batch (all ranks and micro-batches), so shares add up
    to the same loss however the batch is cut.

    Args:
        mode: ``token`` (Σ / tokens; DAPO), ``sequence`` (Σ of row means / rows; GRPO paper),
            ``sequence_sum`` (Σ of row sums / denom; Dr.GRPO), ``episode`` (each episode's tokens
            weigh 1 together; ``row_to_episode`` (B,) must hold all of an episode's rows).

    Raises:
        UnknownName: Not a mode.
    """
    row_sums_B = torch.where(mask_BT, loss_BT, torch.zeros_like(loss_BT)).sum(dim=1)
    row_counts_B = mask_BT.sum(dim=1).clamp(min=1)
    if mode in ("token", "sequence_sum"):
        return row_sums_B.sum() / denom
    if mode == "sequence":
        return (row_sums_B / row_counts_B).sum() / denom
    if mode == "episode":
        if row_to_episode is None:
            raise ValueError("mode 'episode' needs row_to_episode")
        _, episode_B = torch.unique(row_to_episode, return_inverse=True)
        tokens_B = torch.zeros_like(row_sums_B).index_add(
            0, episode_B, mask_BT.sum(dim=1).to(row_sums_B.dtype)
        )
        return (row_sums_B / tokens_B[episode_B].clamp(min=1)).sum() / denom
    raise UnknownName("aggregation mode", mode, ("token", "sequence", "sequence_sum", "episode"))
