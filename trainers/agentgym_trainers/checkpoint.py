"""Checkpoints that are whole or not there, and that know when they are damaged."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from agentgym.errors import DataError
from agentgym_trainers.policy import Policy

_MANIFEST = "manifest.json"
_STATE = "trainer.pt"
_BEST = "best"


def save_checkpoint(
    folder: Path,
    step: int,
    policy: Policy,
    state: dict[str, Any],
    *,
    keep: int,
    weights: Mapping[str, torch.Tensor] | None = None,
    score: float | None = None,
) -> Path:
    """Save policy and ``state`` as ``folder/step-NNNNNN``, then drop all but the newest.

    Args:
        state: Tensors, numbers, strings, lists and dicts: optimiser, RNG, position in the tasks.
        keep: How many of the newest checkpoints stay; the best one stays beside them.
        weights: Saved in place of those that the policy's model has now.
        score: What validation said of it. Better than of any before, and the link ``folder/best``
            leads to this checkpoint.

    Raises:
        OSError, RuntimeError: It cannot be written, and nothing of it is there.
    """
    target = folder / f"step-{step:06d}"
    partial = folder / f".partial-{step:06d}-{os.getpid()}"
    for unfinished in folder.glob(".partial-*"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write(partial, step, policy, state, weights, score)
        _drop(target)  # one of this step may be there: damaged, or of a run that was taken back
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # on a full disk it is in the way
        raise
    _sync(folder)
    if score is not None and score > best_score(folder):
        _point_to(folder / _BEST, target)
    best = best_checkpoint(folder)
    for old in list_checkpoints(folder)[:-keep]:
        if old != best:
            _drop(old)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def best_checkpoint(folder: Path) -> Path | None:
    """Where ``folder/best`` leads, if there is one."""
    with suppress(OSError):
        best = folder / os.readlink(folder / _BEST)
        return best if best.is_dir() else None
    return None


def best_score(folder: Path) -> float:
    """What validation said of the best checkpoint; minus infinity if there is none."""
    best = best_checkpoint(folder)
    with suppress(OSError, ValueError, TypeError):  # no score can be read
        return float(_manifest(best)["score"]) if best else -math.inf
    return -math.inf


def load_state(checkpoint: Path) -> tuple[int, dict[str, Any]]:
    """Step and state of a checkpoint, after checking every file of it.

    Raises:
        DataError: A file is missing or not what was saved; names it and what to do.
    """
    others = [path.name for path in list_checkpoints(checkpoint.parent) if path != checkpoint]
    advice = f"delete {checkpoint} to resume from {others[-1]}" if others else "start a new run"
    try:
        manifest = _manifest(checkpoint)
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


def _write(
    partial: Path,
    step: int,
    policy: Policy,
    state: dict[str, Any],
    weights: Mapping[str, torch.Tensor] | None,
    score: float | None,
) -> None:
    policy.model.save_pretrained(partial, state_dict=weights)
    policy.tokenizer.save_pretrained(partial)
    torch.save(state, partial / _STATE)
    sums = {p.name: _sha256(p) for p in sorted(partial.iterdir())}
    manifest = {"step": step, "score": score, "sha256": sums}
    (partial / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in partial.iterdir():
        _sync(path)


def _manifest(checkpoint: Path) -> dict[str, Any]:
    manifest = json.loads((checkpoint / _MANIFEST).read_text(encoding="utf-8"))
    return {"score": None, **manifest}  # older runs wrote none


def _drop(checkpoint: Path) -> None:
    """Delete a checkpoint; killed meanwhile, none is left that looks whole."""
    hidden = checkpoint.with_name(f".partial-{checkpoint.name}")
    with suppress(FileNotFoundError):
        checkpoint.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _point_to(link: Path, target: Path) -> None:
    partial = link.with_name(f".{link.name}-{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target.name)
    partial.replace(link)


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
