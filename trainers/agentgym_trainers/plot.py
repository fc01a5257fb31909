"""The learning curve of one or more runs as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentgym.errors import DataError
from agentgym_trainers.run_folder import read_metrics

_SMOOTH = 5


def plot_runs(runs: Sequence[Path], out: Path) -> None:
    """Success over training steps: training (running mean), validation and held-out tasks.

    Raises:
        DataError: A run has no metrics, or none of success.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=120)
    for number, run in enumerate(runs):
        lines = read_metrics(run)
        if not any("episode/success" in line or "test/success" in line for line in lines):
            raise DataError(
                f"{run}: no success in metrics.jsonl; only training runs can be plotted"
            )
        _draw(axes, lines, run.name, f"C{number}")
    axes.set_xlabel("training step")
    axes.set_ylabel("success")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(out)
    pyplot.close(figure)


def _draw(axes: Any, lines: Sequence[dict[str, Any]], name: str, colour: str) -> None:
    train = [(line["step"], line["episode/success"]) for line in lines if "episode/success" in line]
    if train:
        steps = [step for step, _ in train]
        values = [value for _, value in train]
        smooth = [
            sum(values[max(0, i - _SMOOTH + 1) : i + 1])
            / len(values[max(0, i - _SMOOTH + 1) : i + 1])
            for i in range(len(values))
        ]
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
        axes.plot(steps, smooth, color=colour, linewidth=1.5, label=f"{name}: training")
    for key, marker, label in (("val", "o", "validation"), ("test", "D", "held out")):
        seen = [line for line in lines if f"{key}/success" in line]
        if seen:
            heights = [line[f"{key}/success"] for line in seen]
            below = [line[f"{key}/success"] - line[f"{key}/low"] for line in seen]
            above = [line[f"{key}/high"] - line[f"{key}/success"] for line in seen]
            axes.errorbar(
                [line["step"] for line in seen],
                heights,
                yerr=[below, above],
                fmt=marker,
                color=colour,
                markersize=4,
                capsize=3,
                linewidth=1,
                label=f"{name}: {label} (95 %)",
            )
