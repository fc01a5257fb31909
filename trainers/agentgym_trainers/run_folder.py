"""The folder of a run: configuration, metrics, episodes, checkpoints, TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentgym import Episode
from agentgym.episode_io import append_whole, write_episodes
from agentgym.errors import DataError, UsageError
from agentgym.recorded_environment import RecordedEnvironment
from agentgym_trainers.config import RunConfig

_AFTER = "test/success"
"""Logged before the first step, and after the last."""


class RunFolder:
    """Writes what a run leaves behind. Nothing that is already there is overwritten.

    Args:
        path: The folder.
        config: Saved as ``config.yaml``.
        resume: Go on with a run that is there.

    Raises:
        UsageError: There is a run and ``resume`` is False, or none and it is True.
    """

    def __init__(self, path: Path, config: RunConfig, *, resume: bool) -> None:
        self.path = path
        self._metrics_path = path / "metrics.jsonl"
        exists = (path / "config.yaml").exists()
        if exists and not resume:
            raise UsageError(
                f"{path} already holds a run; go on with it by resume=true, or choose another "
                "folder by run_dir=..."
            )
        if resume and not exists:
            raise UsageError(f"{path} holds no run to resume; leave resume=true out")
        for part in ("episodes", "checkpoints", "tensorboard"):
            (path / part).mkdir(parents=True, exist_ok=True)
        if not exists:  # the configuration comes last: with it, there is a run
            RecordedEnvironment(config.env.id, config.env.kwargs).save(path)
            self._metrics_path.touch()
            _replace(path / "config.yaml", config.to_yaml())
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(path / "tensorboard"))

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go."""
        return self.path / "checkpoints"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line to ``metrics.jsonl``, whole or not at all, and the same to TensorBoard.

        Raises:
            UsageError: It cannot be written.
        """
        line = json.dumps({"step": step, **metrics}) + "\n"
        try:
            with self._metrics_path.open("ab", buffering=0) as out:
                append_whole(out, line.encode())
            for name, value in metrics.items():
                self._board.add_scalar(name, value, step)
        except OSError as error:
            raise UsageError(
                f"step {step} cannot be written down in {self.path}: {error.strerror or error}; "
                "make room, and go on with resume=true"
            ) from error

    def forget_after(self, step: int) -> None:
        """Drop metrics of steps that a resumed run will do again, and of the evaluation after."""
        if not self._metrics_path.exists():
            return
        kept = [
            line
            for line in read_metrics(self.path)
            if line["step"] < step or (line["step"] == step and not (step and _AFTER in line))
        ]
        _replace(self._metrics_path, "".join(json.dumps(line) + "\n" for line in kept))

    def save_episodes(self, name: str, episodes: Sequence[Episode]) -> None:
        """Write ``episodes/<name>.jsonl.zst``."""
        write_episodes(self.path / "episodes" / f"{name}.jsonl.zst", episodes)

    def close(self) -> None:
        """Flush TensorBoard."""
        with suppress(OSError):  # on a full disk; metrics.jsonl has it all
            self._board.close()


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's ``metrics.jsonl``; an unfinished last line is left out.

    Raises:
        DataError: No such file, or a bad line.
    """
    return list(_metric_lines(run / "metrics.jsonl"))


def _metric_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); is it a run folder?"
        ) from error
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            if number == len(lines) and not line.endswith("\n"):
                return  # the run was killed while it wrote this line
            raise DataError(f"{path}:{number}: not a line of metrics ({error})") from error
