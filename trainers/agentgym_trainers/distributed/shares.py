"""Who computes what: the micro-batches of a batch, dealt out to the ranks."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from agentgym_trainers.dummy_rows import dummy_row
from agentgym_trainers.packing import cut
from agentgym_trainers.rows import Rows


def share_of(
    rows: Rows, max_tokens: int, *, packed: bool, rank: int, size: int
) -> Iterator[tuple[Rows, torch.Tensor]]:
    """The micro-batches of one rank, and their row numbers in the whole batch.

    Whole micro-batches go round, neighbours in length to different ranks; all ranks get equally
    many, if need be one of a dummy row. A batch that would fit into fewer micro-batches than there
    are ranks is cut finer.
    """
    widest = len(rows) * int(rows.length_S.max()) if len(rows) else 0
    fair = -(-(int(rows.length_S.sum()) if packed else widest) // size)
    parts = list(cut(rows, max(1, min(max_tokens, fair)), packed=packed))
    for start in range(0, len(parts), size):
        if start + rank < len(parts):
            numbers = parts[start + rank]
            yield rows.take(numbers), numbers
        else:
            yield dummy_row(rows), torch.tensor([0])
