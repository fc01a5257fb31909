"""What rank 0 tells the other ranks of a learner to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentgym_trainers.learner import LossFunction
from agentgym_trainers.rows import Rows


@dataclass(frozen=True, slots=True)
class Begin:
    """Hold a share of the policy at ``source``, which every rank can read."""

    source: str


@dataclass(frozen=True, slots=True)
class Update:
    """Take part in one optimiser step over these rows."""

    rows: Rows
    loss_of: LossFunction
    temperature: float


@dataclass(frozen=True, slots=True)
class GatherState:
    """Bring the optimiser's state together at rank 0."""


@dataclass(frozen=True, slots=True)
class LoadState:
    """Take a share of the state that rank 0 read: what of it is not a large tensor comes along."""

    steps: int
    groups: Any
    slots: Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Stop:
    """There is nothing more to do."""


Order = Begin | Update | GatherState | LoadState | Stop
