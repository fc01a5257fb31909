"""Rows that teach nothing, so that every rank of a data-parallel step gets as many as the others.

How many rows a batch has is known only once its episodes are played: each has one per segment.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from agentgym_trainers.batch import Batch
from agentgym_trainers.rows import Rows


def with_dummy_rows(batch: Batch, world_size: int) -> Batch:
    """The batch with so many rows more that ``world_size`` divides their number.

    A dummy row is one token that nobody sampled: its loss and its gradient are 0, and it is not
    counted in any normaliser. Split into mini-batches first. An empty batch stays empty.
    """
    missing = -len(batch.rows) % world_size
    return replace(
        batch,
        rows=_padded_rows(batch.rows, missing),
        advantages_ST=_longer(batch.advantages_ST, missing),
        proximal_logp_ST=_maybe_longer(batch.proximal_logp_ST, missing),
        weight_ST=_maybe_longer(batch.weight_ST, missing),
        reference_logp_ST=_maybe_longer(batch.reference_logp_ST, missing),
    )


def dummy_row(rows: Rows) -> Rows:
    """One dummy row alone, for a rank that has no row of the micro-batch."""
    return _padded_rows(rows.take(torch.tensor([0])), 1).take(torch.tensor([1]))


def _padded_rows(rows: Rows, missing: int) -> Rows:
    episode_S = rows.episode_S
    return Rows(
        token_ids_ST=_longer(rows.token_ids_ST, missing),
        mask_ST=_longer(rows.mask_ST, missing),
        turn_id_ST=_longer(rows.turn_id_ST, missing, -1),
        behaviour_logp_ST=_longer(rows.behaviour_logp_ST, missing),
        length_S=torch.cat([rows.length_S, rows.length_S.new_ones(missing)]),
        # Of an episode that is there anyway, so that no number of episodes changes.
        episode_S=torch.cat([episode_S, episode_S[:1].expand(missing)]),
    )


def _maybe_longer(x_ST: torch.Tensor | None, missing: int) -> torch.Tensor | None:
    return None if x_ST is None else _longer(x_ST, missing)


def _longer(x_ST: torch.Tensor, missing: int, fill: float = 0) -> torch.Tensor:
    return torch.cat([x_ST, x_ST.new_full((missing, x_ST.shape[1]), fill)])
