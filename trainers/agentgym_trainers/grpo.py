"""GRPO (arXiv:2402.03300): from groups of episodes to a batch, and from a batch to its loss.

Shape letters: ``N`` episodes, ``S`` rows, ``B`` rows of a micro-batch, ``T`` tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from agentgym import Episode
from agentgym_trainers.advantages import group_advantage, spread_episodes
from agentgym_trainers.collector import Group
from agentgym_trainers.config import TrainConfig
from agentgym_trainers.forward import TokenScores
from agentgym_trainers.learner import BatchLoss, LossFunction
from agentgym_trainers.losses import aggregate, log_ratio, policy_loss
from agentgym_trainers.rows import Rows, make_rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to train on, with the advantage of every sampled token.

    Groups in which all returns are equal have no gradient and are left out; ``constant_groups``
    counts them, ``short_groups`` those left with fewer than two valid episodes.
    """

    rows: Rows
    advantages_ST: torch.Tensor
    episodes: tuple[Episode, ...]
    constant_groups: int
    short_groups: int

    def split(self, parts: int, *, seed: int) -> list[Batch]:
        """Mini-batches of whole episodes, in a seeded random order."""
        if parts == 1 or len(self.rows) == 0:
            return [self]
        generator = torch.Generator().manual_seed(seed)
        order_N = torch.randperm(len(self.episodes), generator=generator)
        chunks = [chunk for chunk in order_N.chunk(parts) if len(chunk)]
        return [self._of_episodes(chunk) for chunk in chunks]

    def _of_episodes(self, chosen_N: torch.Tensor) -> Batch:
        rows = torch.isin(self.rows.episode_S, chosen_N).nonzero().squeeze(1)
        part = self.rows.take(rows)
        width = part.token_ids_ST.shape[1]
        return Batch(part, self.advantages_ST[rows][:, :width], self.episodes, 0, 0)


def make_batch(groups: Sequence[Group], config: TrainConfig) -> Batch:
    """Advantages over episodes (never over rows), spread over every sampled token."""
    usable = [group for group in groups if len(group.episodes) >= 2]
    varied = [g for g in usable if len({episode.reward for episode in g.episodes}) > 1]
    episodes = tuple(episode for group in varied for episode in group.episodes)
    numbers = [number for number, group in enumerate(varied) for _ in group.episodes]
    advantages_N = group_advantage(
        torch.tensor([episode.reward for episode in episodes], dtype=torch.float64),
        torch.tensor(numbers, dtype=torch.long),
        baseline=config.baseline,
        scale=config.scale,
    )
    rows = make_rows(episodes)
    advantages_ST = spread_episodes(advantages_N.float(), rows.episode_S, rows.mask_ST)
    short = len(groups) - len(usable)
    return Batch(rows, advantages_ST, episodes, len(usable) - len(varied), short)


def grpo_loss(batch: Batch, config: TrainConfig) -> LossFunction:
    """The clipped-ratio loss of a batch; the ratio is against the policy that sampled.

    Its metric sums end in ``_sum`` and are over sampled tokens.
    """
    denom = {
        "token": float(batch.rows.sampled_tokens),
        "sequence": float(len(batch.rows)),
        "episode": float(len(torch.unique(batch.rows.episode_S))),
    }[config.aggregation]
    tokens_per_episode_N = torch.zeros(len(batch.episodes)).index_add(
        0, batch.rows.episode_S, batch.rows.mask_ST.sum(dim=1).float()
    )

    def loss_of(scores: TokenScores, rows: Rows, numbers: torch.Tensor) -> BatchLoss:
        device = scores.logp_BT.device
        mask_BT = rows.mask_ST.to(device)
        old_logp_BT = rows.behaviour_logp_ST.to(device)
        width = mask_BT.shape[1]
        advantages_BT = batch.advantages_ST[numbers][:, :width].to(device)
        loss_BT = policy_loss(
            "ppo",
            scores.logp_BT,
            old_logp_BT,
            advantages_BT,
            mask_BT,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
        )
        if config.aggregation == "episode":  # an episode's rows may be in several micro-batches
            share_B1 = tokens_per_episode_N[rows.episode_S].unsqueeze(1).to(device)
            loss = aggregate(loss_BT / share_B1, mask_BT, "token", denom=denom)
        else:
            loss = aggregate(loss_BT, mask_BT, config.aggregation, denom=denom)
        return BatchLoss(loss, _sums(scores, old_logp_BT, mask_BT, config))

    return loss_of


def _sums(
    scores: TokenScores, old_logp_BT: torch.Tensor, mask_BT: torch.Tensor, config: TrainConfig
) -> dict[str, float]:
    with torch.no_grad():
        log_ratio_BT = log_ratio(scores.logp_BT.detach(), old_logp_BT, mask_BT)
        ratio_BT = log_ratio_BT.exp()
        above_BT = (ratio_BT > 1 + config.clip_high) & mask_BT
        below_BT = (ratio_BT < 1 - config.clip_low) & mask_BT
        k3_BT = torch.where(mask_BT, ratio_BT - 1 - log_ratio_BT, torch.zeros_like(ratio_BT))
        return {
            "tokens_sum": float(mask_BT.sum()),
            "entropy_sum": float(scores.entropy_BT[mask_BT].sum()),
            "kl_behaviour_sum": float(k3_BT.sum()),
            "log_ratio_abs_sum": float(log_ratio_BT.abs().sum()),
            "clip_high_sum": float(above_BT.sum()),
            "clip_low_sum": float(below_BT.sum()),
        }
