"""Log-probabilities of the sampled tokens under the current weights.

Two savings, neither of which changes a number: what rows begin with in common is computed once
(padded: what all rows of a micro-batch begin with; packed: what any of them do), and logits are
computed only where a token was sampled.

Shape letters: ``B`` rows, ``T`` tokens, ``M`` sampled tokens, ``V`` vocabulary, ``E`` embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer

from agentgym.errors import UsageError
from agentgym_trainers.packing import hidden_of_pack, pack_rows
from agentgym_trainers.rows import Rows

_WORTH_SHARING = 16
_CHUNK_LOGITS = 2**24
"""Logits held at once (64 MiB in float32)."""


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Of every sampled token, its log-probability (with gradient) and the entropy there (without).

    Both have shape (B, T), and are 0 where the policy sampled nothing.
    """

    logp_BT: torch.Tensor
    entropy_BT: torch.Tensor


def score(
    model: Any,
    rows: Rows,
    *,
    temperature: float,
    packed: bool = False,
    share_prefix: bool = True,
) -> TokenScores:
    """Score ``rows`` with ``model``.

    Args:
        temperature: The one they were sampled at.
        packed: Lay the rows out in one sequence; only for a model that
            :func:`~agentgym_trainers.packing.prepare_packing` accepted.
        share_prefix: Compute what all padded rows begin with once, by a pass of its own.
    """
    device = model.device
    token_ids_BT, mask_BT = rows.token_ids_ST.to(device), rows.mask_ST.to(device)
    sampled_BT = mask_BT.clone()
    sampled_BT[:, 0] = False  # nothing predicts the first token
    row_M, column_M = sampled_BT.nonzero(as_tuple=True)
    # The token at position t is predicted from position t - 1.
    hidden_ME = hidden_at(
        model, rows, row_M, column_M - 1, packed=packed, share_prefix=share_prefix
    )
    logp_M, entropy_M = _score_hidden(
        model.get_output_embeddings(), hidden_ME, token_ids_BT[row_M, column_M], temperature
    )
    zeros_BT = torch.zeros(token_ids_BT.shape, dtype=logp_M.dtype, device=device)
    return TokenScores(
        zeros_BT.index_put((row_M, column_M), logp_M),
        zeros_BT.index_put((row_M, column_M), entropy_M),
    )


def hidden_at(
    model: Any,
    rows: Rows,
    row_M: torch.Tensor,
    column_M: torch.Tensor,
    *,
    packed: bool,
    share_prefix: bool = True,
) -> torch.Tensor:
    """Last hidden states (M, E) after the tokens at these places.

    Args:
        rows: A place before the token that precedes a row's first sampled one cannot be read.
        packed, share_prefix: As for :func:`score`.
    """
    if packed:
        return _packed_hidden(model, rows, row_M, column_M)
    recomputes = any(layer.training for layer in _layers_that_recompute(model))
    shares = share_prefix and not recomputes  # recomputing layers have no cache
    return _padded_hidden(model, rows, row_M, column_M, shared_prefix(rows) if shares else 0)


def allow_recomputation(model: Any) -> None:
    """Let :func:`recomputing_activations` work on ``model`` (arXiv:1604.06174).

    Raises:
        UsageError: The architecture cannot, or has dropout, which would then be switched on.
    """
    refused = f"no activation checkpointing for {type(model).__name__}; switch it off: "
    dropout = [key for key, value in model.config.to_dict().items() if "drop" in key and value]
    if dropout:
        raise UsageError(f"{refused}{dropout[0]} is not 0")
    # The second is the name that releases of transformers 5 had at first.
    new_name = getattr(model, "activation_checkpointing_enable", None)
    enable = new_name or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
    except ValueError as error:
        raise UsageError(f"{refused}{error}") from error
    if not _layers_that_recompute(model):
        raise UsageError(f"{refused}its layers cannot")


@contextmanager
def recomputing_activations(model: Any) -> Iterator[None]:
    """Forward passes inside keep only what enters each layer; the backward pass computes the rest.

    The results are the same; a pass takes about a third longer. Only for a model that
    :func:`allow_recomputation` accepted; others are left alone.
    """
    layers = _layers_that_recompute(model)
    for layer in layers:
        layer.training = True  # the layer alone, not what is inside: dropout stays off
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def _layers_that_recompute(model: Any) -> list[GradientCheckpointingLayer]:
    modules = (one for one in model.modules() if isinstance(one, GradientCheckpointingLayer))
    return [one for one in modules if one.gradient_checkpointing]


def _packed_hidden(
    model: Any, rows: Rows, row_M: torch.Tensor, column_M: torch.Tensor
) -> torch.Tensor:
    pack = pack_rows(rows, model.device)
    return hidden_of_pack(model, pack).index_select(0, pack.place_BT[row_M, column_M])


def _padded_hidden(
    model: Any, rows: Rows, row_M: torch.Tensor, column_M: torch.Tensor, shared: int
) -> torch.Tensor:
    token_ids_BT = rows.token_ids_ST.to(model.device)
    if shared:
        hidden_BTE = _hidden_after_prefix(model, token_ids_BT, shared)
    else:
        hidden_BTE = model.base_model(input_ids=token_ids_BT, use_cache=False).last_hidden_state
    return hidden_BTE[row_M, column_M - shared]  # `shared` positions are not there


def shared_prefix(rows: Rows) -> int:
    """Tokens that all rows begin with, leaving what predicts the first sampled one; else 0."""
    if len(rows) < 2:
        return 0
    first_sampled = int(rows.mask_ST.int().argmax(dim=1).min())
    limit = min(first_sampled, int(rows.length_S.min())) - 1
    same_T = (rows.token_ids_ST == rows.token_ids_ST[:1]).all(dim=0)[: max(limit, 0)]
    different = (~same_T).nonzero()
    length = int(different[0]) if len(different) else len(same_T)
    return length if length >= _WORTH_SHARING else 0


def _hidden_after_prefix(model: Any, token_ids_BT: torch.Tensor, shared: int) -> torch.Tensor:
    """Hidden states of positions ``shared`` on; gradients flow into the one copy of the prefix."""
    cache: Any = DynamicCache()
    model.base_model(input_ids=token_ids_BT[:1, :shared], past_key_values=cache, use_cache=True)
    for layer in cache.layers:
        layer.keys = layer.keys.expand(len(token_ids_BT), -1, -1, -1)
        layer.values = layer.values.expand(len(token_ids_BT), -1, -1, -1)
    rest_BT = token_ids_BT[:, shared:]
    positions_1T = torch.arange(shared, token_ids_BT.shape[1], device=rest_BT.device).unsqueeze(0)
    hidden: torch.Tensor = model.base_model(
        input_ids=rest_BT, position_ids=positions_1T, past_key_values=cache, use_cache=True
    ).last_hidden_state
    return hidden


def _score_hidden(
    head: Any, hidden_ME: torch.Tensor, targets_M: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """In chunks, so that the logits of the whole batch never exist at once."""
    chunk = max(1, _CHUNK_LOGITS // head.weight.shape[0])
    logps, entropies = [], []
    for start in range(0, max(len(hidden_ME), 1), chunk):
        part, targets = hidden_ME[start : start + chunk], targets_M[start : start + chunk]
        if len(hidden_ME) > chunk and torch.is_grad_enabled():
            logp, entropy = checkpoint(
                _score_chunk, head, part, targets, temperature, use_reentrant=False
            )
        else:
            logp, entropy = _score_chunk(head, part, targets, temperature)
        logps.append(logp)
        entropies.append(entropy)
    return torch.cat(logps), torch.cat(entropies)


def _score_chunk(
    head: Any, hidden_ME: torch.Tensor, targets_M: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    logits_MV = head(hidden_ME)
    if logits_MV.dtype != torch.float64:
        logits_MV = logits_MV.float()
    logp_MV = torch.log_softmax(logits_MV / temperature, dim=-1)
    entropy_M = -(logp_MV.detach().exp() * logp_MV.detach()).sum(dim=-1)
    return logp_MV.gather(1, targets_M.unsqueeze(1)).squeeze(1), entropy_M
