"""From a batch to the loss that an algorithm puts on it.

Shape letters: ``N`` episodes, ``S`` rows, ``B`` rows of a micro-batch, ``T`` tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from agentgym_trainers.algorithms import CLIPPED_LOSSES, Algorithm
from agentgym_trainers.batch import Batch
from agentgym_trainers.forward import TokenScores
from agentgym_trainers.learner import BatchLoss
from agentgym_trainers.losses import (
    KL_PENALTIES,
    aggregate,
    kl_penalty,
    log_ratio,
    policy_loss,
    sampled_divergence,
)
from agentgym_trainers.rows import Rows

_DENOMINATORS: dict[str, Callable[[Batch], float]] = {
    "token": lambda batch: float(batch.rows.sampled_tokens),
    "sequence": lambda batch: float(batch.rows.mask_ST.any(dim=1).sum()),
    "sequence_sum": lambda batch: float(
        len(torch.unique(batch.rows.episode_S)) * batch.token_limit
    ),
    "episode": lambda batch: float(len(torch.unique(batch.rows.episode_S))),
}


class Objective:
    """The loss of each micro-batch of ``batch``, as a share of the whole batch's.

    Metric sums end in ``_sum`` and are over sampled tokens; ``extremes`` are of the ratio that the
    loss clips, over the micro-batches so far.
    """

    def __init__(self, batch: Batch, algorithm: Algorithm) -> None:
        self.extremes = {"ratio_min": 1.0, "ratio_max": 1.0}
        self._batch = replace(batch, episodes=())  # a rank that is sent this needs no texts
        self._algorithm = algorithm
        self._denom = _DENOMINATORS[algorithm.aggregation](batch)
        self._tokens_N = torch.zeros(len(batch.episodes)).index_add(
            0, batch.rows.episode_S, batch.rows.mask_ST.sum(dim=1).float()
        )

    def widen(self, low: float, high: float) -> None:
        """Let ``extremes`` reach this far, too."""
        self.extremes = {
            "ratio_min": min(self.extremes["ratio_min"], low),
            "ratio_max": max(self.extremes["ratio_max"], high),
        }

    def __call__(self, scores: TokenScores, rows: Rows, numbers: torch.Tensor) -> BatchLoss:
        algorithm, batch, logp_BT = self._algorithm, self._batch, scores.logp_BT
        mask_BT = rows.mask_ST.to(logp_BT.device)

        def taken(x_ST: torch.Tensor | None) -> torch.Tensor | None:
            return None if x_ST is None else x_ST[numbers][:, : mask_BT.shape[1]].to(logp_BT.device)

        behaviour_BT = rows.behaviour_logp_ST.to(logp_BT.device)
        proximal_BT, reference_BT = taken(batch.proximal_logp_ST), taken(batch.reference_logp_ST)
        old_BT = behaviour_BT if proximal_BT is None else proximal_BT
        advantages_BT = taken(batch.advantages_ST)
        assert advantages_BT is not None  # every batch has them
        loss_BT = policy_loss(
            algorithm.loss,
            logp_BT,
            old_BT,
            advantages_BT,
            mask_BT,
            clip_low=algorithm.clip_low,
            clip_high=algorithm.clip_high,
            dual_clip=algorithm.dual_clip,
            weight_BT=taken(batch.weight_ST),
        )
        sums = self._sums(scores, behaviour_BT, old_BT, mask_BT)
        if reference_BT is not None:
            kl_BT = _divergence(algorithm.kl, logp_BT, reference_BT, mask_BT)
            loss_BT = loss_BT + algorithm.kl_coefficient * kl_BT
            sums["kl_reference_sum"] = _k3(log_ratio(reference_BT, logp_BT.detach(), mask_BT))
        return BatchLoss(self._reduced(loss_BT, mask_BT, rows), sums)

    def _reduced(self, loss_BT: torch.Tensor, mask_BT: torch.Tensor, rows: Rows) -> torch.Tensor:
        return aggregate(
            loss_BT,
            mask_BT,
            self._algorithm.aggregation,
            denom=self._denom,
            row_to_episode=rows.episode_S.to(loss_BT.device),
            tokens_per_episode=self._tokens_N.to(loss_BT.device),
        )

    def _sums(
        self,
        scores: TokenScores,
        behaviour_BT: torch.Tensor,
        old_BT: torch.Tensor,
        mask_BT: torch.Tensor,
    ) -> dict[str, float]:
        with torch.no_grad():
            moved_BT = log_ratio(scores.logp_BT.detach(), behaviour_BT, mask_BT)
            ratio_BT = self._ratio(log_ratio(scores.logp_BT.detach(), old_BT, mask_BT), mask_BT)
            above_BT = (ratio_BT > 1 + self._algorithm.clip_high) & mask_BT
            below_BT = (ratio_BT < 1 - self._algorithm.clip_low) & mask_BT
            clips = self._algorithm.loss in CLIPPED_LOSSES
            if mask_BT.any():
                self.widen(float(ratio_BT[mask_BT].min()), float(ratio_BT.max()))
            return {
                "tokens_sum": float(mask_BT.sum()),
                "entropy_sum": float(scores.entropy_BT[mask_BT].sum()),
                "kl_behaviour_sum": _k3(moved_BT),
                "log_ratio_abs_sum": float(moved_BT.abs().sum()),
                "clip_high_sum": float(above_BT.sum()) if clips else 0.0,
                "clip_low_sum": float(below_BT.sum()) if clips else 0.0,
            }

    def _ratio(self, log_ratio_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        if self._algorithm.loss in ("gspo", "luspo"):
            mean_B1 = log_ratio_BT.sum(1, keepdim=True) / mask_BT.sum(1, keepdim=True).clamp(min=1)
            log_ratio_BT = mean_B1.expand_as(log_ratio_BT)
        return log_ratio_BT.exp()


def _k3(log_ratio_BT: torch.Tensor) -> float:
    """Estimates KL(q ‖ p) from samples of q and ``log p/q``, summed; never negative."""
    return float((log_ratio_BT.exp() - 1 - log_ratio_BT).sum())


def _divergence(
    kind: str, logp_BT: torch.Tensor, reference_BT: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    measure = kl_penalty if kind in KL_PENALTIES else sampled_divergence
    return measure(logp_BT, reference_BT, kind, mask=mask_BT)
