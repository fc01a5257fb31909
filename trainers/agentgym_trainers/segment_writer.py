"""One segment while it is written, token by token."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agentgym import Generation, Segment


@dataclass(slots=True)
class SegmentWriter:
    """Collects the tokens of one segment."""

    token_ids: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    turn_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def observe(self, token_ids: tuple[int, ...]) -> None:
        """Add what the policy did not write: everything up to ``token_ids``' end."""
        new = token_ids[len(self.token_ids) :]
        self.token_ids += new
        self.mask += [False] * len(new)
        self.turn_ids += [-1] * len(new)
        self.logprobs += [0.0] * len(new)
        self.versions += [-1] * len(new)

    def act(self, generation: Generation, turn: int) -> tuple[int, int]:
        """Add what the policy sampled; returns its half-open span."""
        start, count = len(self.token_ids), len(generation.token_ids)
        self.token_ids += generation.token_ids
        self.mask += [True] * count
        self.turn_ids += [turn] * count
        self.logprobs += generation.logprobs
        self.versions += generation.token_versions
        return start, start + count

    def segment(self) -> Segment:
        """The finished segment."""
        return Segment(
            np.asarray(self.token_ids, np.int32),
            np.asarray(self.mask, np.bool_),
            np.asarray(self.turn_ids, np.int32),
            np.asarray(self.logprobs, np.float32),
            np.asarray(self.versions, np.int32),
        )
