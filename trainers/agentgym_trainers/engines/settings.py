"""What an engine is told when it starts, whatever kind it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What follows from the rest of a run's configuration.

    Args:
        concurrency: Calls at once, at most.
        context_tokens: Longest prompt with what is sampled after it.
        own_weights: Whether the engine must compute with weights of its own, because the learner
            changes its weights while calls run.
        seed: Of the run.
        folder: For what the engine has to write; gone with the run's folder.
    """

    concurrency: int
    context_tokens: int
    own_weights: bool = False
    seed: int = 0
    folder: Path | None = None
