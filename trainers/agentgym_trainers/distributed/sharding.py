"""Weights that no device holds whole (FSDP2, arXiv:2304.11277), and how they become whole again.

Shape letters: ``B`` rows of a micro-batch, ``T`` tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from agentgym_trainers.forward import TokenScores, score
from agentgym_trainers.rows import Rows

_log = logging.getLogger(__name__)


class ShardedScoring(torch.nn.Module):
    """Scores rows with a model whose blocks are gathered one at a time.

    The scoring as a whole is FSDP's root, not the model: trunk and output layer are called apart,
    and both need what lies outside the blocks. Gradients are summed over ranks, since each rank's
    loss is already its share of the whole batch's.
    """

    def __init__(self, model: Any, mesh: DeviceMesh) -> None:
        super().__init__()
        self.model = model
        blocks = [one for one in model.modules() if isinstance(one, GradientCheckpointingLayer)]
        if not blocks:
            _log.warning("%s has no known blocks: gathered as a whole", type(model).__name__)
        for block in blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(self, mesh=mesh)
        for module in self.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def forward(
        self, rows: Rows, temperature: float, packed: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies of :func:`~agentgym_trainers.forward.score`, (B, T).

        All ranks call it equally often, with any rows: a shared prefix, which some micro-batches
        have, would gather the blocks once more.
        """
        scores = score(self.model, rows, temperature=temperature, packed=packed, share_prefix=False)
        return scores.logp_BT, scores.entropy_BT

    def scores(self, rows: Rows, temperature: float, packed: bool) -> TokenScores:
        """The same as :class:`TokenScores`."""
        return TokenScores(*self(rows, temperature, packed))


def whole(value: Any) -> Any:
    """A sharded tensor as an ordinary one, on every rank; anything else as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def sharded_like(value: torch.Tensor | None, like: DTensor) -> DTensor:
    """Rank 0's ``value``, of the shape of ``like``, cut up as ``like`` is; elsewhere it is None."""
    given = torch.empty(like.shape, dtype=like.dtype) if value is None else value
    return distribute_tensor(
        given.to(like.device, like.dtype), like.device_mesh, like.placements, src_data_rank=0
    )


def gathered_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's state as that of an optimiser over whole tensors; on the CPU."""
    state = optimizer.state_dict()
    return {
        "param_groups": state["param_groups"],
        "state": {
            number: {name: _on_cpu(whole(value)) for name, value in slots.items()}
            for number, slots in state["state"].items()
        },
    }


def scatter_state(
    optimizer: torch.optim.Optimizer, groups: Any, state: Mapping[int, Mapping[str, Any]]
) -> None:
    """Load what :func:`gathered_state` gave; its large tensors are there on rank 0 only."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    mine = {
        number: {
            name: sharded_like(value, parameters[number]) if _is_large(value) else value
            for name, value in slots.items()
        }
        for number, slots in state.items()
    }
    optimizer.load_state_dict({"param_groups": groups, "state": mine})


def without_large(state: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """What other ranks need to take part in :func:`scatter_state`."""
    return {
        number: {name: None if _is_large(value) else value for name, value in slots.items()}
        for number, slots in state.items()
    }


def _is_large(value: Any) -> bool:
    return value is None or (isinstance(value, torch.Tensor) and value.dim() > 0)


def _on_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, torch.Tensor) else value
