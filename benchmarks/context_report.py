"""What ``context.py`` shows of its results: a table, a line of numbers, and a figure."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

LONG, LONG_AND_MORE = "twice as long", "twice as long, twice the summaries"
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Student's t of 95 % intervals, by how many seeds there are."""

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float, float]
Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""By variant, what each seed gave."""


def over_seeds(results: Sequence[Mapping[str, Any]], part: str, key: str = "success") -> Interval:
    """The mean over seeds, with its 95 % interval of Student's t (nan for a single seed)."""
    values = np.array([one[part][key] for one in results], dtype=np.float64)
    mean, seeds = float(values.mean()), len(values)
    half = T_95[seeds] * float(values.std(ddof=1)) / seeds**0.5 if seeds > 1 else float("nan")
    return mean, mean - half, mean + half


def table(results: Results) -> Table:
    """A row a variant."""
    columns = (
        "variant", "seeds", "success", "twice as long, S", "twice as long, 2 S", "peak context",
        "sampled", "prefill", "GFLOP", "trained on",
    )  # fmt: skip
    shown = Table(*columns, title="held-out tasks; tokens and GFLOP of an episode; [95 %]")
    for name, ones in results.items():
        costs = [
            statistics.mean(one["held_out"][key] for one in ones)
            for key in ("peak_context", "sampled_tokens", "prefill_tokens", "gflops")
        ]
        spent = statistics.mean(one["trained_on"] for one in ones)
        parts = [_cell(ones, part) for part in ("held_out", LONG, LONG_AND_MORE)]
        tokens = (f"{cost:.0f}" for cost in costs[:3])
        shown.add_row(name, str(len(ones)), *parts, *tokens, f"{costs[3]:.3f}", f"{spent:.0f}")
    return shown


def _cell(ones: Sequence[Mapping[str, Any]], part: str) -> str:
    if any(part not in one for one in ones):
        return ""
    mean, low, high = over_seeds(ones, part)
    if len(ones) == 1:
        return f"{mean:.1%}"
    return f"{mean:.1%} [{max(low, 0):.0%}, {min(high, 1):.0%}]"


def summary(results: Results) -> dict[str, float]:
    """The numbers of the last line."""
    numbers: dict[str, float] = {}
    for name, ones in results.items():
        for part in ("held_out", LONG, LONG_AND_MORE):
            if all(part in one for one in ones):
                numbers[f"{name} {part}"] = over_seeds(ones, part)[0]
        for key in ("peak_context", "prefill_tokens", "gflops"):
            numbers[f"{name} {key}"] = over_seeds(ones, "held_out", key)[0]
    return {name: round(value, 4) for name, value in numbers.items()}


def draw(results: Results, path: Path, *, dashed: Collection[str]) -> None:
    """Success in training by tokens sampled, and held-out success by longest context."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.4), dpi=120)
    for number, (name, ones) in enumerate(results.items()):
        colour, style = f"C{number}", "--" if name in dashed else "-"
        if ones[0]["curve"]:
            across, mean, low, high = _band(ones)
            left.plot(across / 1_000, mean, style, color=colour, lw=1.5)
            left.fill_between(across / 1_000, low, high, color=colour, alpha=0.12, lw=0)
        rate, least, most = over_seeds(ones, "held_out")
        error = [[rate - max(least, 0)], [min(most, 1) - rate]] if len(ones) > 1 else None
        right.barh(name, rate, xerr=error, color=colour, alpha=0.8, capsize=3)
        if LONG_AND_MORE in ones[0]:
            right.plot(over_seeds(ones, LONG_AND_MORE)[0], name, "kd", ms=5)
        peak = over_seeds(ones, "held_out", "peak_context")[0]
        right.text(1.03, number, f"{peak:.0f}", va="center", fontsize=9)
    left.set(xlabel="thousand tokens sampled", ylabel="success in training", ylim=(0, 1))
    right.set(xlabel="held-out success; diamonds: tasks twice as long")
    right.set(xlim=(0, 1.15), xticks=np.linspace(0, 1, 6))
    right.set_title("longest context, tokens", loc="right", fontsize=9)
    right.invert_yaxis()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _band(
    ones: Sequence[Mapping[str, Any]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lowest and highest of the seeds' curves, each a mean of five steps, at 41 places."""
    across = np.linspace(0, min(one["curve"][-1][0] for one in ones), 41)
    curves = []
    for one in ones:
        spent, success = np.array(one["curve"]).T
        near = [success[max(0, n - 2) : n + 3].mean() for n in range(len(success))]
        curves.append(np.interp(across, spent, near))
    return across, np.mean(curves, axis=0), np.min(curves, axis=0), np.max(curves, axis=0)
