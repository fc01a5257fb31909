"""Whether training ahead of the weights costs success: held-out tasks after the same steps.

    python benchmarks/async_learning.py [--quick] [--results FILE] [--seeds 0,1,2,3,4]

The recipe is ``examples/search_grpo.yaml`` with fewer steps: the embedded policy learns to search.
Synchronous (``train.staleness=0``) against two updates ahead, as it is and with decoupled PPO and
truncated importance weights (arXiv:2505.24298), which is what stale episodes call for. Afterwards
200 held-out tasks are played, the same for all. Runs that FILE has already are not done again.

A mean over seeds comes with its 95 % interval (Student's t). The last line is one JSON object:
``inside`` is 1 where a mean lies in the interval of the synchronous runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from agentgym_trainers.commands.arguments import quiet_libraries
from agentgym_trainers.commands.evaluate import held_out
from agentgym_trainers.config import load_config
from agentgym_trainers.policy import load_policy
from agentgym_trainers.run_folder import RunFolder
from agentgym_trainers.session import open_session
from agentgym_trainers.trainer import make_trainer

RECIPE = Path(__file__).parent.parent / "examples" / "search_grpo.yaml"
SYNCHRONOUS = "η=0"
VARIANTS: Mapping[str, tuple[str, ...]] = {
    SYNCHRONOUS: (),
    "η=2, decoupled": (
        "train.staleness=2",
        "train.algorithm.decoupled=true",
        "train.algorithm.importance=token",
    ),
    "η=2": ("train.staleness=2",),
}
T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Quantiles of Student's distribution, by the number of values."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. ``staleness`` is the mean over steps of updates that a step's tokens lagged."""

    variant: str
    seed: int
    success: float
    staleness: float
    seconds: float


async def train(variant: str, seed: int, steps: int, tasks: int) -> Outcome:
    """Train once, then play held-out tasks."""
    lags: list[float] = []

    def report(step: int, metrics: Mapping[str, float]) -> None:
        lags.append(metrics["staleness/mean"])

    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"seed={seed}",
            f"run_dir={folder}/run",
            f"train.steps={steps}",
            f"eval.tasks={tasks}",
            "eval.every=0",
            "checkpoint.every=0",
            *VARIANTS[variant],
        ]
        config = load_config(RECIPE, overrides)
        async with open_session(config, load_policy(config.model)) as session:
            run = RunFolder(Path(folder, "run"), config, resume=False)
            trainer = await make_trainer(config, session, run)
            started = time.perf_counter()
            await trainer.train(report, lambda: False)
            seconds = time.perf_counter() - started
            result = await held_out(session, name="test-after")
            run.close()
    return Outcome(variant, seed, result.success, statistics.mean(lags), seconds)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval; an infinite one for a lone value."""
    if len(values) < 2:
        return values[0], math.inf
    half = T_95[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), half


def show(console: Console, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """A row for each variant; returns its mean, and whether it is inside the synchronous one's."""
    table = Table(
        "variant", "seeds", "held-out success", "95 % interval", "lag, updates", "s a run"
    )
    found: dict[str, float] = {}
    low, high = -math.inf, math.inf
    for variant in VARIANTS:
        runs = [one for one in outcomes if one.variant == variant]
        if not runs:
            continue
        mean, half = interval([one.success for one in runs])
        if variant == SYNCHRONOUS:
            low, high = mean - half, mean + half
        found[f"{variant}: success"] = mean
        found[f"{variant}: inside"] = float(low <= mean <= high)
        table.add_row(
            variant,
            str(len(runs)),
            f"{mean:.3f} ({', '.join(f'{one.success:.3f}' for one in runs)})",
            f"±{half:.3f}",
            f"{statistics.mean(one.staleness for one in runs):.2f}",
            f"{statistics.median(one.seconds for one in runs):.0f}",
        )
    console.print(table)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one seed, three steps, nothing kept")
    parser.add_argument("--results", type=Path, default=Path("runs/async_learning.jsonl"))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--steps", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quiet_libraries()
    console, path = Console(width=110), arguments.results
    seeds = [0] if arguments.quick else [int(text) for text in arguments.seeds.split(",")]
    steps, tasks = (3, 20) if arguments.quick else (arguments.steps, 200)
    kept = path.exists() and not arguments.quick
    lines = path.read_text(encoding="utf-8").splitlines() if kept else []
    outcomes = [Outcome(**json.loads(line)) for line in lines]
    done = {(one.variant, one.seed) for one in outcomes}
    for variant in VARIANTS:
        for seed in seeds:
            if (variant, seed) in done:
                continue
            outcome = asyncio.run(train(variant, seed, steps, tasks))
            outcomes.append(outcome)
            console.print(f"{variant}, seed {seed}: {outcome.success:.3f}", style="dim")
            if not arguments.quick:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(asdict(outcome)) + "\n")
    found = show(console, outcomes)
    print(json.dumps({name: round(value, 3) for name, value in found.items()}, ensure_ascii=False))


if __name__ == "__main__":
    main()
