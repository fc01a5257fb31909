"""Forward passes of the ``hf`` engine: which rows go together, and what comes out.

Shape letters: ``R`` rows of a pass, ``Q`` new tokens, ``L`` cached positions, ``E`` embedding,
``V`` vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from agentgym_trainers.engines.call import Call
from agentgym_trainers.engines.kv_cache import SlotCache
from agentgym_trainers.engines.sampler import sample
from agentgym_trainers.engines.slots import Slots
from agentgym_trainers.policy import computing_in

_log = logging.getLogger(__name__)

_GROW_POSITIONS = 256


@dataclass(frozen=True, slots=True)
class Failure:
    """A forward pass that raised, and the calls it was for."""

    calls: tuple[Call, ...]
    error: Exception


class Decoder:
    """Computes the next token of many calls at once. Not safe to use from two threads.

    Args:
        prefill_tokens: Bound on padded tokens of one pass over prompts.
    """

    def __init__(self, model: Any, *, prefill_tokens: int, compute_dtype: torch.dtype) -> None:
        self.model = model
        self._prefill_tokens = prefill_tokens
        self._compute_dtype = compute_dtype
        self._cache = SlotCache(model.config, slots=8, positions=_GROW_POSITIONS)
        self.slots = Slots(self._cache)
        self.generated_tokens = 0
        self.prefilled_tokens = 0
        self.passes = 0

    @torch.inference_mode()
    def advance(self, calls: Sequence[Call], version: int) -> list[Failure]:
        """One more token for each call: first those under way, then whose prompts are not cached.

        A call under way joins the latter after an update of the weights.

        Returns:
            The calls whose pass raised; they are as they were before.
        """
        under_way = [call for call in calls if call.sampled and self.slots.missing(call) == 1]
        computed = set(map(id, under_way))
        prompts = [call for call in calls if id(call) not in computed]
        failures = []
        with computing_in(self._compute_dtype, self.model.device):
            for batch in self._batches(under_way, prompts):
                try:
                    self._forward(batch, version)
                except Exception as error:  # one batch's failure is not the others'
                    _log.exception("a forward pass failed")
                    failures.append(Failure(tuple(batch), error))
        return failures

    def _batches(self, under_way: list[Call], prompts: list[Call]) -> list[list[Call]]:
        """What is computed together: all calls under way; prompts of similar length, within the
        token budget.
        """
        batches: list[list[Call]] = []
        for call in sorted(prompts, key=lambda call: (self.slots.missing(call), call.slot)):
            longest = self.slots.missing(call)
            call.prefilled += longest
            self.prefilled_tokens += longest
            if batches and (len(batches[-1]) + 1) * longest <= self._prefill_tokens:
                batches[-1].append(call)
            else:
                batches.append([call])
        first = [under_way] if under_way else []
        return [sorted(batch, key=lambda call: call.slot) for batch in (*first, *batches)]

    def _forward(self, calls: list[Call], version: int) -> None:
        device = self.model.device
        new = [self.slots.new_tokens(call) for call in calls]
        starts = [len(self.slots.cached[call.slot]) for call in calls]
        width = max(map(len, new))
        ids_RQ = torch.tensor([tokens + [0] * (width - len(tokens)) for tokens in new])
        positions_RQ = torch.tensor(starts).unsqueeze(1) + torch.arange(width).unsqueeze(0)
        positions_RQ = positions_RQ.to(device)
        length = max(starts) + width
        if length > self._cache.positions:
            self._cache.ensure(slots=0, positions=length + _GROW_POSITIONS)
        self._cache.select([call.slot for call in calls], positions_RQ, length)
        hidden_RQE = self.model.base_model(
            input_ids=ids_RQ.to(device),
            position_ids=positions_RQ,
            attention_mask=_causal_mask(positions_RQ, length, self.model.dtype),
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        last_R = torch.tensor([len(tokens) - 1 for tokens in new], device=device)
        hidden_RE = hidden_RQE[torch.arange(len(new), device=device), last_R]
        logits_RV = self.model.get_output_embeddings()(hidden_RE)
        uniforms = [call.random.random() for call in calls]
        tokens, logprobs = sample(logits_RV, [call.sampling for call in calls], uniforms)
        for call, added, token, logprob in zip(calls, new, tokens, logprobs, strict=True):
            self.slots.cached[call.slot].extend(added)
            call.sampled.append(token)
            call.logprobs.append(logprob)
            call.versions.append(version)
        self.generated_tokens += len(calls)
        self.passes += 1


def _causal_mask(positions_RQ: torch.Tensor, length: int, dtype: torch.dtype) -> torch.Tensor:
    """Additive mask (R, 1, Q, L): a query sees the keys at its own position and before."""
    keys_L = torch.arange(length, device=positions_RQ.device)
    hidden_RQL = keys_L > positions_RQ.unsqueeze(-1)
    zeros = torch.zeros(hidden_RQL.shape, dtype=dtype, device=positions_RQ.device)
    return zeros.masked_fill(hidden_RQL, torch.finfo(dtype).min).unsqueeze(1)
