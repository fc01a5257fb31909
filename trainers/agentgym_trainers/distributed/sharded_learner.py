"""A learner over several processes: each holds a share of weights, gradients and optimiser.

Rank 0 plays episodes and gives credit; at :meth:`ShardedLearner.update` it sends the batch to the
others, which wait in :meth:`ShardedLearner.follow`. Loss and gradient are those of one process,
because every rank's loss is its share of the whole batch's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from agentgym_trainers.distributed.orders import GatherState, LoadState, Stop, Update
from agentgym_trainers.distributed.ranks import Ranks
from agentgym_trainers.distributed.sharding import (
    ShardedScoring,
    gathered_state,
    scatter_state,
    whole,
    without_large,
)
from agentgym_trainers.distributed.shares import share_of
from agentgym_trainers.divergence import DivergedError
from agentgym_trainers.dummy_rows import dummy_row
from agentgym_trainers.forward import TokenScores, allow_recomputation
from agentgym_trainers.learner import Learner, LossFunction, OptimizerSettings
from agentgym_trainers.objective import Objective
from agentgym_trainers.packing import prepare_packing
from agentgym_trainers.rows import Rows


class ShardedLearner(Learner):
    """One rank of a learner; all are made with the same arguments.

    Args:
        model: On rank 0 it stays whole, for the engine, the judges and checkpoints, and gets the
            new weights after every update; a copy is sharded. Elsewhere it is sharded itself.
        others: As for :class:`~agentgym_trainers.learner.Learner`.
    """

    def __init__(
        self,
        model: Any,
        settings: OptimizerSettings,
        ranks: Ranks,
        *,
        micro_batch_tokens: int,
        compute_dtype: torch.dtype = torch.float32,
        packed: bool = True,
        recompute: bool = False,
        diverged_folder: Path | None = None,
    ) -> None:
        self._ranks = ranks
        packed = packed and prepare_packing(model)  # by forward passes of the whole model
        self.whole_model = model if ranks.leads else None
        mine = copy.deepcopy(model) if ranks.leads else model
        if recompute:
            allow_recomputation(mine)
        self._scoring = ShardedScoring(mine, ranks.mesh)
        super().__init__(
            mine,
            settings,
            micro_batch_tokens=micro_batch_tokens,
            compute_dtype=compute_dtype,
            packed=packed,
            diverged_folder=diverged_folder,
        )

    def update(
        self,
        rows: Rows,
        loss_of: LossFunction,
        *,
        temperature: float,
        advantages_ST: torch.Tensor | None = None,
    ) -> dict[str, float]:
        """On rank 0: one optimiser step of all ranks. See :meth:`Learner.update`.

        Args:
            loss_of: Can be pickled; an :class:`Objective` can.

        Raises:
            DivergedError: As there.
            PeerError: A rank did not answer; the run is over.
        """
        self._ranks.tell(Update(rows, loss_of, temperature))
        metrics = super().update(
            rows, loss_of, temperature=temperature, advantages_ST=advantages_ST
        )
        self._publish()
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """On rank 0: what one process would save; any number of ranks can load it."""
        self._ranks.tell(GatherState())
        return self._gathered()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """On rank 0: the inverse of :meth:`state_dict`, of this class or of one process."""
        groups, slots = state["optimizer"]["param_groups"], state["optimizer"]["state"]
        self._ranks.tell(LoadState(state["steps"], groups, without_large(slots)))
        self._load(state["steps"], groups, slots)

    def stop(self) -> None:
        """On rank 0: let the others go."""
        self._ranks.tell(Stop())

    def follow(self) -> None:
        """On the other ranks: do what rank 0 tells, until it says stop.

        Raises:
            PeerError: Rank 0, or another, did not answer.
        """
        while not isinstance(order := self._ranks.hear(), Stop):
            match order:
                case Update(rows, loss_of, temperature):
                    with suppress(DivergedError):  # rank 0 raises it as well, and decides
                        super().update(rows, loss_of, temperature=temperature)
                        self._publish()
                case GatherState():
                    self._gathered()
                case LoadState(steps, groups, slots):
                    self._load(steps, groups, slots)

    def gradients(
        self, rows: Rows, loss_of: LossFunction, *, temperature: float
    ) -> tuple[float, dict[str, float]]:
        """Called by all ranks: each keeps its share of the whole batch's gradient.

        Returns:
            Loss and metric sums of the whole batch, on every rank.
        """
        with self._ranks.waiting(f"the gradient of optimiser step {self.steps + 1}"):
            total, sums = super().gradients(rows, loss_of, temperature=temperature)
        extremes = loss_of.extremes if isinstance(loss_of, Objective) else None
        what = f"the metrics of optimiser step {self.steps + 1}"
        told = self._ranks.collect((total, sums, extremes), what)
        if isinstance(loss_of, Objective):
            for _, _, theirs in told:
                loss_of.widen(theirs["ratio_min"], theirs["ratio_max"])
        return sum(total for total, _, _ in told), _added(sums for _, sums, _ in told)

    def _clip(self) -> float:
        with self._ranks.waiting(f"the gradient norm of optimiser step {self.steps + 1}"):
            return super()._clip()

    def _micro_batches(self, rows: Rows) -> Iterator[tuple[Rows, torch.Tensor]]:
        return share_of(
            rows,
            self._micro_batch_tokens,
            packed=self.packed,
            rank=self._ranks.rank,
            size=self._ranks.size,
        )

    def _score(self, part: Rows, temperature: float) -> TokenScores:
        return self._scoring.scores(part, temperature, self.packed)

    def _diverged(
        self,
        what: str,
        rows: Rows,
        loss_of: LossFunction,
        temperature: float,
        advantages_ST: torch.Tensor | None,
    ) -> DivergedError:
        with self._ranks.waiting(f"the rows that diverged in optimiser step {self.steps + 1}"):
            if self._ranks.leads:
                return super()._diverged(what, rows, loss_of, temperature, advantages_ST)
            if self._diverged_folder is not None:  # rank 0 looks for the guilty, row by row
                for number in range(len(rows)):
                    self._row_alone(rows, loss_of, temperature, number)
        self._optimizer.zero_grad(set_to_none=True)
        return DivergedError(what)

    def _alone(self, rows: Rows, number: int) -> tuple[Rows, torch.Tensor]:
        part, numbers = super()._alone(rows, number)
        return (part, numbers) if self._ranks.leads else (dummy_row(rows), torch.tensor([0]))

    @torch.no_grad()
    def _publish(self) -> None:
        """Bring the trained weights together in rank 0's whole model."""
        with self._ranks.waiting(f"the weights after optimiser step {self.steps}"):
            targets = self.whole_model.parameters() if self.whole_model is not None else None
            for parameter in self.model.parameters():
                target = None if targets is None else next(targets)
                if parameter.requires_grad:
                    gathered = whole(parameter)
                    if target is not None:
                        target.copy_(gathered)

    def _gathered(self) -> dict[str, Any]:
        with self._ranks.waiting("the optimiser's state"):
            return {"optimizer": gathered_state(self._optimizer), "steps": self.steps}

    def _load(self, steps: int, groups: Any, slots: Mapping[int, Mapping[str, Any]]) -> None:
        with self._ranks.waiting("the optimiser's saved state"):
            scatter_state(self._optimizer, groups, slots)
        self.steps = steps


def _added(many: Iterator[dict[str, float]]) -> dict[str, float]:
    added: dict[str, float] = {}
    for sums in many:
        for name, value in sums.items():
            added[name] = added.get(name, 0.0) + value
    return added
