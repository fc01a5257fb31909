"""The optimiser step: micro-batches in, one update of the weights out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from agentgym_trainers.divergence import DivergedError, RowOutcome, offending_rows, save_rows
from agentgym_trainers.forward import (
    TokenScores,
    allow_recomputation,
    recomputing_activations,
    score,
)
from agentgym_trainers.packing import cut, prepare_packing
from agentgym_trainers.policy import computing_in
from agentgym_trainers.rows import Rows


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """AdamW (arXiv:1711.05101) with linear warm-up and, after it, a constant or cosine rate."""

    learning_rate: float = 3e-4
    warmup_steps: int = 0
    total_steps: int = 0
    schedule: str = "constant"
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    clip_norm: float = 1.0


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """What a loss function returns for one micro-batch.

    ``loss`` is the micro-batch's share of the whole batch's loss (global normaliser); ``sums`` are
    detached sums, which add up over micro-batches.
    """

    loss: torch.Tensor
    sums: dict[str, float]


LossFunction = Callable[[TokenScores, Rows, torch.Tensor], BatchLoss]
"""From scores, the micro-batch, and its row numbers in the whole batch."""


class Learner:
    """Owns the optimiser of one model.

    Args:
        model: Trained in place. Only parameters that require a gradient are updated.
        micro_batch_tokens: Tokens that one forward and backward pass computes: packed ones, or
            padded ones. The update does not depend on it.
        compute_dtype: What float32 weights compute in, for example bfloat16 on CUDA.
        packed: Lay the rows of a micro-batch out in one sequence. A model that cannot is padded,
            and the log says why.
        recompute: Activation checkpointing: less memory, about a third more time.
        diverged_folder: Where the rows go that made loss or gradient something else than a number.

    Raises:
        UsageError: ``recompute`` with a model that cannot.
    """

    def __init__(
        self,
        model: Any,
        settings: OptimizerSettings,
        *,
        micro_batch_tokens: int,
        compute_dtype: torch.dtype = torch.float32,
        packed: bool = True,
        recompute: bool = False,
        diverged_folder: Path | None = None,
    ) -> None:
        if recompute:
            allow_recomputation(model)
        self.packed = packed and prepare_packing(model)
        self._diverged_folder = diverged_folder
        self.model = model
        self._compute_dtype = compute_dtype
        self.settings = settings
        self.steps = 0
        self._micro_batch_tokens = micro_batch_tokens
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        decay = [p for p in self._parameters if p.dim() >= 2]
        rest = [p for p in self._parameters if p.dim() < 2]
        groups = [
            {"params": decay, "weight_decay": settings.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)

    def update(
        self,
        rows: Rows,
        loss_of: LossFunction,
        *,
        temperature: float,
        advantages_ST: torch.Tensor | None = None,
    ) -> dict[str, float]:
        """One optimiser step over all of ``rows``.

        Args:
            advantages_ST: Only to be saved with rows that diverge.

        Returns:
            The loss, the gradient norm before clipping, the learning rate, and the sums of the loss
            function.

        Raises:
            DivergedError: Loss or gradient is not finite; nothing was changed.
        """
        self._optimizer.zero_grad(set_to_none=True)
        total, sums = self.gradients(rows, loss_of, temperature=temperature)
        norm = self._clip()
        if not math.isfinite(total) or not math.isfinite(norm):
            what = f"optimiser step {self.steps + 1}: loss {total}, gradient norm {norm}"
            raise self._diverged(what, rows, loss_of, temperature, advantages_ST)
        rate = self._learning_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self.steps += 1
        return {"loss": total, "grad_norm": norm, "learning_rate": rate, **sums}

    def gradients(
        self, rows: Rows, loss_of: LossFunction, *, temperature: float
    ) -> tuple[float, dict[str, float]]:
        """Accumulate the gradient of the whole batch; returns its loss and the metric sums."""
        total = 0.0
        sums: dict[str, float] = {}
        for part, numbers in self._micro_batches(rows):
            _, outcome = self._backward(part, numbers, loss_of, temperature)
            total += float(outcome.loss.detach())
            for name, value in outcome.sums.items():
                sums[name] = sums.get(name, 0.0) + value
        return total, sums

    def _clip(self) -> float:
        """Clip the accumulated gradient; its norm before."""
        clip_norm = self.settings.clip_norm
        return _number(torch.nn.utils.clip_grad_norm_(self._parameters, clip_norm))

    def _micro_batches(self, rows: Rows) -> Iterator[tuple[Rows, torch.Tensor]]:
        """What this process computes, with its row numbers in ``rows``."""
        for numbers in cut(rows, self._micro_batch_tokens, packed=self.packed):
            yield rows.take(numbers), numbers

    def _score(self, part: Rows, temperature: float) -> TokenScores:
        return score(self.model, part, temperature=temperature, packed=self.packed)

    def _backward(
        self, part: Rows, numbers: torch.Tensor, loss_of: LossFunction, temperature: float
    ) -> tuple[TokenScores, BatchLoss]:
        with (
            computing_in(self._compute_dtype, self.model.device),
            recomputing_activations(self.model),
        ):
            scores = self._score(part, temperature)
        outcome = loss_of(scores, part, numbers)
        outcome.loss.backward()
        return scores, outcome

    def _diverged(
        self,
        what: str,
        rows: Rows,
        loss_of: LossFunction,
        temperature: float,
        advantages_ST: torch.Tensor | None,
    ) -> DivergedError:
        """The error to raise, after the rows it names are saved; no gradient stays."""
        advice = (
            f"{what}; the weights are those of the step before. Lower the learning rate, or resume "
            "from an earlier checkpoint"
        )
        path = None
        if self._diverged_folder is not None:
            outcome_of = partial(self._row_alone, rows, loss_of, temperature)
            guilty = offending_rows(rows, outcome_of)
            path = self._diverged_folder / f"diverged-step-{self.steps + 1}.jsonl"
            save_rows(path, rows, guilty, advantages_ST)
            advice += f"; {len(guilty)} of {len(rows)} rows are to blame: {path}"
        self._optimizer.zero_grad(set_to_none=True)
        return DivergedError(advice, path)

    def _row_alone(
        self, rows: Rows, loss_of: LossFunction, temperature: float, number: int
    ) -> RowOutcome:
        self._optimizer.zero_grad(set_to_none=True)
        scores, outcome = self._backward(*self._alone(rows, number), loss_of, temperature)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = _number(torch.nn.utils.get_total_norm(gradients))
        logp_T = scores.logp_BT[0].detach().cpu()
        return RowOutcome(number, float(outcome.loss.detach()), norm, logp_T)

    def _alone(self, rows: Rows, number: int) -> tuple[Rows, torch.Tensor]:
        numbers = torch.tensor([number])
        return rows.take(numbers), numbers

    def state_dict(self) -> dict[str, Any]:
        """Optimiser and schedule, for a checkpoint."""
        return {"optimizer": self._optimizer.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self._optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]

    def _learning_rate(self) -> float:
        settings, step = self.settings, self.steps
        if step < settings.warmup_steps:
            return settings.learning_rate * (step + 1) / settings.warmup_steps
        if settings.schedule == "cosine":
            span = max(settings.total_steps - settings.warmup_steps, 1)
            progress = min((step - settings.warmup_steps) / span, 1.0)
            return settings.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))
        return settings.learning_rate


def _number(norm: torch.Tensor) -> float:
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
