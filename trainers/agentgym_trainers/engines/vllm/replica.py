"""One vLLM that generates, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file

from agentgym.messages import FinishReason

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Weights:
    """What a replica shall compute with.

    Args:
        folder: What it is started with, in transformers' layout.
        version: Their number.
        label: By which a replica says that it computes with them.
        tensors: The weights by name, on the CPU; ``None`` if they are those of the folder.
    """

    folder: Path
    version: int
    label: str
    tensors: Mapping[str, torch.Tensor] | None = None

    def in_memory(self) -> Mapping[str, torch.Tensor]:
        """The weights by name, on the CPU."""
        return load_file(self.folder / WEIGHTS_FILE) if self.tensors is None else self.tensors


@dataclass(frozen=True, slots=True)
class Request:
    """One call to a replica; ``sampling`` are fields of vLLM's ``SamplingParams``."""

    id: str
    token_ids: Sequence[int]
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``labels`` name the weights that sampled each token; ``cached`` counts the
    prompt tokens found in the cache, ``None`` where vLLM does not say."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    labels: tuple[str, ...]
    cached: int | None


class ReplicaLost(Exception):
    """A replica did not answer, or answered with weights that it should not have."""


class Replica(Protocol):
    """What the engine asks of a vLLM. All but ``start`` and ``aclose`` raise ``ReplicaLost``."""

    @property
    def name(self) -> str:
        """For messages."""

    async def start(self, weights: Weights) -> None:
        """Have it running, started anew unless it runs and computes with ``weights``.

        Raises:
            EnvError: It does not start.
        """

    async def holds(self, weights: Weights) -> bool:
        """Whether it is alive and computes with these weights."""

    async def generate(self, request: Request) -> Answer:
        """Answer a request; cancelled, the request is ended in vLLM too."""

    async def abort(self, request_id: str) -> None:
        """Have the request answered with what was sampled so far, if it is there."""

    async def pause(self) -> None:
        """Answer all requests with what was sampled so far; compute nothing; forget the cache."""

    async def load(self, weights: Weights) -> None:
        """Take weights. It is paused afterwards."""

    async def ask_workers(self, method: str, *arguments: Any) -> Sequence[Any]:
        """Call a method of each of its workers; what they answer."""

    async def resume(self) -> None:
        """Compute again."""

    async def aclose(self) -> None:
        """Stop it, if it was started here."""
