"""Writing checkpoints while the run goes on."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym_trainers.checkpoint import best_score, save_checkpoint
from agentgym_trainers.lora import has_lora
from agentgym_trainers.policy import Policy
from agentgym_trainers.snapshot import copied

_log = logging.getLogger(__name__)


class CheckpointWriter:
    """Saves one checkpoint at a time in a thread, from copies that are made at once.

    One that cannot be written is a warning, and the run goes on: those before it are whole, and
    the next may find more room. Only at the end, by :meth:`finish`, is it an error.

    Args:
        folder: Of all checkpoints of the run.
        keep: How many of the newest stay.
        best: Whether the best by validation stays too.
        there: Step of the checkpoint that the run went on from; it is not written again.
    """

    def __init__(self, folder: Path, *, keep: int, best: bool, there: int | None = None) -> None:
        self._folder = folder
        self._keep = keep
        self._best = best
        self._step = there
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: asyncio.Future[str] | None = None

    def better(self, score: float | None) -> bool:
        """Whether no checkpoint so far has this score of validation."""
        return self._best and score is not None and score > best_score(self._folder)

    async def save(
        self, step: int, policy: Policy, state: dict[str, Any], *, score: float | None = None
    ) -> None:
        """Copy it all, and begin to write; waits for the one before, and for LoRA's small ones.

        One that is there already is not written again.
        """
        await self._written()
        if step == self._step:
            return
        self._step = step
        # Which adapters a model saves depends on those that are active, and learning changes them.
        live = has_lora(policy.model)
        weights = None if live else copied(policy.model.state_dict())
        self._writing = asyncio.get_running_loop().run_in_executor(
            self._thread, self._write, step, policy, copied(state), weights, score
        )
        if live:
            await self._written()

    async def finish(self) -> None:
        """Wait until the last one is there. May be called twice.

        Raises:
            UsageError: It could not be written.
        """
        problem = await self._written()
        if problem:
            raise UsageError(f"{problem}; make room, and go on with resume=true")

    async def aclose(self) -> None:
        """Wait for what is being written, whatever comes of it."""
        await self._written()
        self._thread.shutdown(wait=False)

    async def _written(self) -> str:
        """What went wrong with the last one, in a line."""
        return await asyncio.shield(self._writing) if self._writing else ""

    def _write(
        self, step: int, policy: Policy, state: dict[str, Any], weights: Any, score: float | None
    ) -> str:
        best = score if self._best else None
        try:
            save_checkpoint(
                self._folder, step, policy, state, keep=self._keep, weights=weights, score=best
            )
        except Exception as error:  # libraries in three languages write these files
            self._step = None  # so that it may be tried again
            reason = " ".join(str(error).split()) or type(error).__name__
            problem = f"the checkpoint of step {step} cannot be written to {self._folder}: {reason}"
            _log.warning("%s; those before it are whole", problem)
            return problem
        return ""
