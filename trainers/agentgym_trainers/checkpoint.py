"""Checkpoints that are whole or not there, and that know when they are damaged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from agentgym.errors import DataError
from agentgym_trainers.policy import Policy

_MANIFEST = "manifest.json"
_STATE = "trainer.pt"


def save_checkpoint(
    folder: Path, step: int, policy: Policy, state: dict[str, Any], *, keep: int
) -> Path:
    """Save policy and ``state`` as ``folder/step-NNNNNN``, then drop all but the newest.

    Args:
        state: Tensors, numbers, strings, lists and dicts: optimiser, RNG, position in the tasks.
        keep: How many of the newest checkpoints stay.
    """
    target = folder / f"step-{step:06d}"
    partial = folder / f".partial-{step:06d}-{os.getpid()}"
    for unfinished in folder.glob(".partial-*"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)
    partial.mkdir(parents=True)
    policy.model.save_pretrained(partial)
    policy.tokenizer.save_pretrained(partial)
    torch.save(state, partial / _STATE)
    sums = {p.name: _sha256(p) for p in sorted(partial.iterdir())}
    (partial / _MANIFEST).write_text(json.dumps({"step": step, "sha256": sums}, indent=1))
    for path in partial.iterdir():
        _sync(path)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    _sync(folder)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def load_state(checkpoint: Path) -> tuple[int, dict[str, Any]]:
    """Step and state of a checkpoint, after checking every file of it.

    Raises:
        DataError: A file is missing or not what was saved; names it and what to do.
    """
    others = [path.name for path in list_checkpoints(checkpoint.parent) if path != checkpoint]
    advice = f"delete {checkpoint} to resume from {others[-1]}" if others else "start a new run"
    try:
        manifest = json.loads((checkpoint / _MANIFEST).read_text(encoding="utf-8"))
        step, sums = int(manifest["step"]), dict(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{checkpoint}: the checkpoint has no readable manifest; {advice}"
        ) from error
    for name, expected in sums.items():
        path = checkpoint / name
        if not path.is_file() or _sha256(path) != expected:
            what = "damaged or cut off" if path.is_file() else "missing"
            raise DataError(f"{checkpoint}: {name} is {what}; {advice}")
    state: dict[str, Any] = torch.load(checkpoint / _STATE, weights_only=True)
    return step, state


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
