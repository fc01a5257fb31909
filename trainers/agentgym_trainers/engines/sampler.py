"""Drawing tokens, and the log-probability of each under the distribution it was drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from agentgym.engine import Sampling


def sample(
    logits_RV: torch.Tensor, settings: Sequence[Sampling], uniforms_R: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Draw one token a row.

    Args:
        logits_RV: Raw logits of R rows over V tokens.
        settings: Each row's temperature, top-k and top-p.
        uniforms_R: Each row's random number in [0, 1).

    Returns:
        Token ids, and their log-probabilities after temperature, top-k and top-p. A greedy token
        (temperature 0) has log-probability 0: its distribution is a single point.
    """
    tempered = [max(setting.temperature, 1e-6) for setting in settings]
    temperature_R1 = torch.tensor(tempered, device=logits_RV.device).unsqueeze(1)
    logprobs_RV = torch.log_softmax(logits_RV.float() / temperature_R1, dim=-1)
    if any(setting.top_k > 0 or setting.top_p < 1 for setting in settings):
        logprobs_RV = _filtered(logprobs_RV, settings)
    cumulative_RV = logprobs_RV.double().exp().cumsum(dim=-1)
    total_R1 = cumulative_RV[:, -1:]
    draws_R1 = torch.tensor(np.asarray(uniforms_R), device=logits_RV.device).unsqueeze(1) * total_R1
    drawn_R1 = torch.searchsorted(cumulative_RV, draws_R1, right=True)
    drawn_R1 = drawn_R1.clamp_(max=logits_RV.shape[1] - 1)
    greedy_R1 = torch.tensor([[s.temperature == 0] for s in settings], device=logits_RV.device)
    tokens_R1 = torch.where(greedy_R1, logits_RV.argmax(dim=-1, keepdim=True), drawn_R1)
    chosen_R1 = logprobs_RV.gather(1, tokens_R1).masked_fill(greedy_R1, 0.0)
    return tokens_R1.squeeze(1).tolist(), chosen_R1.squeeze(1).tolist()


def _filtered(logprobs_RV: torch.Tensor, settings: Sequence[Sampling]) -> torch.Tensor:
    """Renormalised log-probabilities with everything outside top-k and top-p at -inf."""
    vocabulary = logprobs_RV.shape[1]
    ordered_RV, order_RV = logprobs_RV.sort(dim=-1, descending=True, stable=True)
    device = logprobs_RV.device
    top_k_R1 = torch.tensor([[s.top_k or vocabulary] for s in settings], device=device)
    top_p_R1 = torch.tensor([[s.top_p] for s in settings], device=device)
    before_RV = ordered_RV.exp().cumsum(dim=-1) - ordered_RV.exp()
    drop_RV = torch.arange(vocabulary, device=device).unsqueeze(0) >= top_k_R1
    drop_RV = drop_RV | ((before_RV >= top_p_R1) & (top_p_R1 < 1))
    drop_RV[:, 0] = False
    dropped_RV = torch.zeros_like(drop_RV).scatter(1, order_RV, drop_RV)
    return torch.log_softmax(logprobs_RV.masked_fill(dropped_RV, -torch.inf), dim=-1)
