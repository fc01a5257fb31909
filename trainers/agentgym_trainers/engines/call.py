"""One call of the ``hf`` engine while it is answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from agentgym.engine import Generation, Sampling
from agentgym.messages import FinishReason
from agentgym_trainers.engines.stop_strings import Decode, says_stop


@dataclass(slots=True, eq=False)
class Call:
    """A prompt, what was sampled after it so far, and who waits for the answer.

    ``versions`` are those of the weights that sampled each token. ``slot`` is where the
    conversation is cached, -1 before it has a place.
    """

    token_ids: list[int]
    sampling: Sampling
    conversation: str
    done: asyncio.Future[Generation]
    random: np.random.Generator
    decode: Decode | None = None
    slot: int = -1
    prefilled: int = 0
    aborted: bool = False
    sampled: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        """The prompt and what was sampled after it."""
        return self.token_ids + self.sampled

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why there is nothing more to sample; ``None`` while there is."""
        if self.sampled and (self.sampled[-1] in self.sampling.stop_ids or self._says_stop()):
            return "stop"
        if len(self.sampled) >= self.sampling.max_tokens:
            return "length"
        return "abort" if self.aborted else None

    def answer(self, reason: FinishReason, version: int) -> None:
        """Give back what was sampled."""
        if self.done.done():
            return
        newest = self.versions[-1] if self.versions else version
        spans = any(one != newest for one in self.versions)
        generation = Generation(
            tuple(self.sampled),
            tuple(self.logprobs),
            reason,
            newest,
            self.prefilled,
            tuple(self.versions) if spans else (),
        )
        self.done.set_result(generation)

    def fail(self, error: Exception) -> None:
        """Have the call raise."""
        if not self.done.done():
            self.done.set_exception(error)

    def _says_stop(self) -> bool:
        if self.decode is None or not self.sampling.stop:
            return False
        return says_stop(self.sampled, self.sampling.stop, self.decode)
