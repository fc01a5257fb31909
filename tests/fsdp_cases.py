"""What one process computes from a batch, and what two do; and how one of the two may fail."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_models import small_policy

from agentgym import Ending, Episode, Segment
from agentgym_trainers.algorithms import Algorithm
from agentgym_trainers.batch import Batch, make_batch
from agentgym_trainers.distributed.ranks import Ranks
from agentgym_trainers.distributed.sharded_learner import ShardedLearner
from agentgym_trainers.distributed.sharding import whole
from agentgym_trainers.divergence import DivergedError
from agentgym_trainers.experience import gather
from agentgym_trainers.forward import TokenScores
from agentgym_trainers.learner import BatchLoss, Learner, OptimizerSettings
from agentgym_trainers.lora import LoraSettings, add_lora
from agentgym_trainers.objective import Objective
from agentgym_trainers.rows import Rows

TEMPERATURE = 0.7


def _segment(rng: np.random.Generator, length: int) -> Segment:
    """Twenty tokens that all share, then some that count as sampled."""
    ids = rng.integers(5, 250, length).astype(np.int32)
    ids[:20] = np.arange(20) + 5
    mask = rng.random(length) < 0.4
    mask[:21], mask[21] = False, True
    logprobs = np.where(mask, -5 + rng.random(length), 0).astype(np.float32)
    turns = np.where(mask, 0, -1).astype(np.int32)
    return Segment(ids, mask, turns, logprobs, turns)


def some_batch(algorithm: Algorithm) -> Batch:
    """Two groups of four episodes with one to three rows each."""
    rng = np.random.default_rng(0)
    groups = [
        [
            Episode(
                id=f"{group}.{member}",
                group_id=str(group),
                task_key="k",
                seed=0,
                turns=(),
                segments=tuple(
                    _segment(rng, int(length)) for length in rng.integers(25, 60, 1 + member % 3)
                ),
                rewards={"total": float(member % 2)},
                ending=Ending.SOLVED,
            )
            for member in range(4)
        ]
        for group in range(2)
    ]
    return make_batch(gather(groups, token_limit=64), algorithm)[0]


@dataclass(frozen=True, slots=True)
class Case:
    """A batch, and how it is computed."""

    name: str
    algorithm: Algorithm
    batch: Batch
    packed: bool = False
    micro_batch_tokens: int = 200
    recompute: bool = False
    tied: bool = False
    adapters: bool = False

    def model(self) -> Any:
        policy = small_policy(tie_word_embeddings=self.tied)
        if self.adapters:
            add_lora(policy, LoraSettings(rank=4), seed=0)
        return policy.model

    def learner(self, make: Any, *ranks: Ranks) -> Any:
        return make(
            self.model(),
            OptimizerSettings(learning_rate=1e-3, weight_decay=0.1),
            *ranks,
            micro_batch_tokens=self.micro_batch_tokens,
            packed=self.packed,
            recompute=self.recompute,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Loss and gradient of the batch; then two optimiser steps: metrics, weights and state."""

    loss: float
    gradient: list[torch.Tensor]
    metrics: list[dict[str, float]]
    weights: dict[str, torch.Tensor]
    state: dict[str, Any]


def alone(case: Case) -> Outcome:
    """By one process."""
    learner: Learner = case.learner(Learner)
    loss, gradient = _gradient(learner, case)
    metrics = [_step(learner, case) for _ in range(2)]
    return Outcome(loss, gradient, metrics, learner.model.state_dict(), learner.state_dict())


def together(case: Case, ranks: Ranks) -> Outcome | None:
    """By all ranks; what rank 0 sees."""
    learner: ShardedLearner = case.learner(ShardedLearner, ranks)
    loss, gradient = _gradient(learner, case)
    if not ranks.leads:
        learner.follow()
        return None
    metrics = [_step(learner, case) for _ in range(2)]
    state = learner.state_dict()
    learner.stop()
    assert learner.whole_model is not None  # this is rank 0
    return Outcome(loss, gradient, metrics, learner.whole_model.state_dict(), state)


def _gradient(learner: Learner, case: Case) -> tuple[float, list[torch.Tensor]]:
    objective = Objective(case.batch, case.algorithm)
    loss, _ = learner.gradients(case.batch.rows, objective, temperature=TEMPERATURE)
    trained = (one for one in learner.model.parameters() if one.requires_grad)
    gradient = [whole(one.grad).clone() for one in trained]
    return loss, gradient


def _step(learner: Learner, case: Case) -> dict[str, float]:
    objective = Objective(case.batch, case.algorithm)
    metrics = learner.update(case.batch.rows, objective, temperature=TEMPERATURE)
    return {**metrics, **objective.extremes}


def compute(ranks: Ranks, cases: list[Case]) -> dict[str, Outcome | None]:
    """All cases; the outcomes are at rank 0."""
    return {case.name: together(case, ranks) for case in cases}


@dataclass(frozen=True, slots=True)
class Fault:
    """What one rank does in its second optimiser step, instead of computing the loss."""

    rank: int
    kind: str

    def strike(self) -> None:
        if self.kind == "raises":
            raise ValueError("no such colour")
        os.kill(os.getpid(), {"dies": signal.SIGKILL, "hangs": signal.SIGSTOP}[self.kind])


@dataclass(slots=True)
class FaultyLoss:
    """A loss that one rank does not survive."""

    objective: Objective
    fault: Fault

    def __call__(self, scores: TokenScores, rows: Rows, numbers: torch.Tensor) -> BatchLoss:
        if int(os.environ["RANK"]) == self.fault.rank:
            self.fault.strike()
        return self.objective(scores, rows, numbers)


@dataclass(slots=True)
class BrokenLoss:
    """A loss that is not a number for one row."""

    guilty: int

    def __call__(self, scores: TokenScores, rows: Rows, numbers: torch.Tensor) -> BatchLoss:
        sampled_B = rows.mask_ST.any(dim=1)  # a dummy row is nobody's
        factor_B = torch.where((numbers == self.guilty) & sampled_B, torch.inf, 1.0)
        return BatchLoss((scores.logp_BT.sum(dim=1) * factor_B).sum(), {})


def diverge(ranks: Ranks, folder: Path) -> tuple[str, dict[str, float]] | None:
    """One step that diverges and one that does not; the error, and the metrics of the second."""
    chosen = Algorithm()
    case = Case("", chosen, some_batch(chosen))
    model = small_policy().model
    learner = ShardedLearner(
        model, OptimizerSettings(), ranks, micro_batch_tokens=200, diverged_folder=folder
    )
    if not ranks.leads:
        learner.follow()
        return None
    try:
        learner.update(case.batch.rows, BrokenLoss(2), temperature=1.0)
    except DivergedError as error:
        message = str(error)
    metrics = _step(learner, case)
    learner.stop()
    return message, metrics


def fail(ranks: Ranks, fault: Fault) -> None:
    """Two optimiser steps, in the second of which a rank fails."""
    chosen = Algorithm()
    case = Case("", chosen, some_batch(chosen))
    learner: ShardedLearner = case.learner(ShardedLearner, ranks)
    if not ranks.leads:
        return learner.follow()
    _step(learner, case)
    faulty = FaultyLoss(Objective(case.batch, chosen), fault)
    learner.update(case.batch.rows, faulty, temperature=TEMPERATURE)
