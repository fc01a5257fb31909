"""What generates tokens. Token ids in, token ids and log-probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from agentgym.messages import FinishReason


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample one turn.

    ``temperature`` 0 is greedy. ``top_k`` 0 and ``top_p`` 1 switch those filters off.
    ``max_tokens`` counts sampled tokens. Sampling ends after any of ``stop_ids``, or after the
    token that completes any of the ``stop`` strings; what stopped it is kept. ``seed`` makes the
    turn reproducible, whatever else is in the batch.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    stop_ids: tuple[int, ...] = ()
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """What was sampled, with the log-probability of each token under the sampled distribution.

    ``finish_reason`` is ``stop`` after a stop id, ``length`` when cut, ``abort`` when the engine
    gave the call up half-way. ``version`` is the policy version that sampled the last of these
    tokens; ``versions`` are those of each token, where the weights changed in between.
    ``prefilled_tokens`` are the prompt tokens that had to be computed, those cached left out;
    ``None`` where the engine does not know.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    version: int
    prefilled_tokens: int | None = None
    versions: tuple[int, ...] = ()

    @property
    def token_versions(self) -> tuple[int, ...]:
        """The policy version that sampled each token."""
        return self.versions or (self.version,) * len(self.token_ids)


@runtime_checkable
class Engine(Protocol):
    """The one seam between rollouts and models. Every wait has a time-out."""

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: Sampling,
        *,
        request_id: str,
        timeout_s: float,
    ) -> Generation:
        """Continue ``token_ids``. Calls with one ``request_id`` are turns of one conversation."""

    async def release(self, request_id: str) -> None:
        """Forget the conversation's cached state; its id may be used again."""

    async def abort(self, request_id: str) -> None:
        """End the conversation's call now: it returns what was sampled so far, as ``abort``."""

    async def pause(self, *, timeout_s: float, drain: bool = True) -> None:
        """Hold new work, and wait until nothing is computed.

        Args:
            drain: Let running calls end. Otherwise they are held between two tokens, and go on
                after :meth:`resume`, with whatever weights there are then.
        """

    async def update_weights(self, source: Any, version: int, *, timeout_s: float) -> None:
        """Number the weights ``version``, and forget what was cached under older ones.

        Args:
            source: Where to take them from: a model, or its state dict by parameter name; ``None``
                where the engine computes with the learner's own.
        """

    async def resume(self) -> None:
        """Take work again after :meth:`pause`."""

    async def aclose(self) -> None:
        """Stop, and fail what still waits."""
