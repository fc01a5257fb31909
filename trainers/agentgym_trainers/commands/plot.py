"""``agentgym plot``: the learning curves of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentgym_trainers.plot import plot_runs


def main(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    out: Annotated[Path | None, typer.Option(help="PNG; default: RUN/learning_curve.png.")] = None,
) -> None:
    """Draw success over training steps as a PNG."""
    target = out or runs[0] / "learning_curve.png"
    plot_runs(runs, target)
    typer.echo(str(target))
