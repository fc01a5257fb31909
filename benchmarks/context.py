"""Context management on a task that does not fit the window: none, window, summaries, memory.

    python benchmarks/context.py [--quick | --report] [--folder FOLDER] [--only NAME ...] [--docs]

The task is ``agentgym/Ledger-v0``'s chain of 28 pages, which takes 4.2 windows of L = 96 tokens to
read without summing up. Every variant is trained until it has sampled the same number of tokens,
each from the warm start of its own kind of context, and then played on the same held-out tasks.
``untrained`` sums up as the warm start does, and ``fixed`` trains every turn but the summaries.
Three are also played on tasks twice as long, with as many summaries as in training and with twice
as many. The ablations are SUPO's (arXiv:2510.06727): without masking what limits cut, and with a
group's statistics over rows.

A process that has used ``--slice`` seconds of processor time stops after the step it is at, with
status 3 if something is left; started again it goes on there. A warm start is made in one go where
it is missing. Results are files in FOLDER, and what is there is not done again. With all of them
there, or with ``--report``, a table is printed (means over seeds, with 95 % intervals of Student's
t) and, as the last line, one JSON object; ``--docs`` also writes the curves and the figure into
docs/. All of it takes about 70 minutes of one core.

Compute is of an episode of the evaluation: 2 · parameters for each token that was computed, sampled
or of a prompt not cached, and 2 · layers · width · n² for attention in a segment of n tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from context_report import LONG, LONG_AND_MORE, Results, draw, summary, table
from rich.console import Console

from agentgym import Episode
from agentgym_trainers.batch import Batch
from agentgym_trainers.checkpoint import list_checkpoints, load_state
from agentgym_trainers.collector import Group
from agentgym_trainers.commands.arguments import quiet_libraries
from agentgym_trainers.commands.sft import run as run_warm_start
from agentgym_trainers.config import RunConfig, load_config
from agentgym_trainers.evaluate import EvalReport, choose_tasks, evaluate
from agentgym_trainers.policy import Policy, load_policy
from agentgym_trainers.run_folder import RunFolder, read_metrics
from agentgym_trainers.session import Session, open_session
from agentgym_trainers.trainer import Trainer, make_trainer

ROOT = Path(__file__).parent.parent
WARM_START = ROOT / "examples" / "ledger_sft.yaml"
TRAINING = ROOT / "examples" / "ledger_grpo.yaml"
CURVES = ROOT / "docs" / "curves" / "context.jsonl"
FIGURE = ROOT / "docs" / "context.png"


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to keep the context, and how it is trained.

    Args:
        kind: Of the context manager.
        windows: Tokens of context, in windows L.
        warm: The warm start it begins from, a kind of context.
        trained: What is trained: every turn, all but the summaries, or nothing.
        algorithm: Overrides of the recipe.
        longer: Whether it is also played on tasks twice as long.
    """

    kind: str
    windows: int = 1
    warm: str = "none"
    trained: Literal["all", "acts", "nothing"] = "all"
    algorithm: tuple[str, ...] = ()
    longer: bool = False


SUMS_UP = Variant("summarize", warm="summarize")
VARIANTS: Mapping[str, Variant] = {
    "none@L": Variant("none"),
    "window@L": Variant("window"),
    "untrained@L": replace(SUMS_UP, trained="nothing", longer=True),
    "fixed@L": replace(SUMS_UP, trained="acts"),
    "summarize@L": replace(SUMS_UP, longer=True),
    "memex@L": Variant("memex", warm="memex", longer=True),
    "none@8L": Variant("none", windows=8),
    "keep-overlong@L": replace(SUMS_UP, algorithm=("train.algorithm.overlong=keep",)),
    "per-row@L": replace(SUMS_UP, algorithm=("train.algorithm.per_row_statistics=true",)),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much work: tokens that a variant may sample, and overrides for quick runs."""

    sampled_tokens: int
    tasks: int
    overrides: tuple[str, ...] = ()
    warm_overrides: tuple[str, ...] = ()


FULL = Scale(sampled_tokens=300_000, tasks=100)
QUICK = Scale(
    sampled_tokens=300,
    tasks=2,
    overrides=("train.groups=1", "train.group_size=2", "env.kwargs.limits.turns=6"),
    warm_overrides=("sft.steps=2", "sft.episodes=2", "sft.scratch.tokenizer_episodes=20"),
)


PAGES = 28
MEMEX_TOKENS = 24
"""What the memory's indices and sentence take in a window, so that it holds as many pages."""


class SummariesFixed(Trainer):
    """Trains what is done, and not how it is summed up."""

    def update(self, groups: Sequence[Group]) -> tuple[Batch, dict[str, float]]:
        """As in the base class, with summaries taken for given."""
        return super().update(
            [replace(one, episodes=tuple(map(_without_summaries, one.episodes))) for one in groups]
        )


def _without_summaries(episode: Episode) -> Episode:
    """The episode as if nobody had sampled its summaries, each of which ends its own segment."""
    summaries = {turn.segment for turn in episode.turns if turn.kind == "summary"}
    segments = tuple(
        replace(one, mask=np.zeros_like(one.mask)) if number in summaries else one
        for number, one in enumerate(episode.segments)
    )
    return replace(episode, segments=segments)


def context_overrides(kind: str, windows: int) -> list[str]:
    """A recipe's keys for a kind of context; the recipe of training says what a window is."""
    window = load_config(TRAINING).rollout.context_tokens
    tokens = windows * window + (MEMEX_TOKENS if kind == "memex" else 0)
    return [f"rollout.context.kind={kind}", f"rollout.context_tokens={tokens}"]


async def warm_start(kind: str, folder: Path, scale: Scale) -> Path:
    """The policy that imitates the oracle under this kind of context."""
    run_dir = folder / f"warm-{kind}"
    policy = run_dir / "policy"
    if not policy.exists():
        shutil.rmtree(run_dir, ignore_errors=True)
        windows = 8 if kind == "none" else 1
        overrides = [*context_overrides(kind, windows), *scale.warm_overrides]
        if kind == "none":  # whose contexts are as long as its tasks
            overrides.append(f"env.kwargs.pages={PAGES}")
        config = load_config(WARM_START, [*overrides, f"run_dir={run_dir}"])
        await run_warm_start(config)
    return policy


async def run_variant(
    name: str, seed: int, folder: Path, scale: Scale, slice_s: float
) -> dict[str, Any] | None:
    """Train until the tokens are spent, then play held-out tasks; None if the slice is over."""
    variant = VARIANTS[name]
    model = await warm_start(variant.warm, folder, scale)
    run_dir = folder / f"{name.replace('@', '-')}-seed{seed}"
    checkpoints = list_checkpoints(run_dir / "checkpoints")
    overrides = [
        *context_overrides(variant.kind, variant.windows),
        f"env.kwargs.pages={PAGES}",
        f"env.kwargs.fewest={PAGES}",
        *scale.overrides,
        *variant.algorithm,
        *(f"{key}={value}" for key, value in {"model": model, "seed": seed}.items()),
        *(f"{key}={value}" for key, value in {"run_dir": run_dir, "train.steps": 10**6}.items()),
        f"resume={str(bool(checkpoints)).lower()}",
    ]
    config = load_config(TRAINING, overrides)
    latest = str(checkpoints[-1]) if checkpoints else config.model
    policy = load_policy(latest, device="cpu", dtype=config.dtype)
    spent = 0
    async with open_session(config, policy) as session:
        if variant.trained != "nothing":
            spent = await _train(
                config, session, checkpoints, variant, scale.sampled_tokens, slice_s
            )
            if spent < scale.sampled_tokens:
                return None
        result: dict[str, Any] = {"held_out": await _play(config, session, scale.tasks)}
    for part, changed in _twice_as_long(config).items() if variant.longer else ():
        longer = load_config(TRAINING, [*overrides, *changed])
        async with open_session(longer, policy) as session:
            result[part] = await _play(longer, session, scale.tasks)
    points = list(curve(run_dir)) if variant.trained != "nothing" else []
    return {"name": name, "seed": seed, "trained_on": spent, **result, "curve": points}


async def _train(
    config: RunConfig,
    session: Session,
    checkpoints: Sequence[Path],
    variant: Variant,
    budget: int,
    slice_s: float,
) -> int:
    """Train for a slice; returns the tokens sampled so far, the budget passed by a step at most."""
    assert config.run_dir is not None
    if not checkpoints:  # else it was stopped before its first one
        shutil.rmtree(config.run_dir, ignore_errors=True)
    step, state = load_state(checkpoints[-1]) if checkpoints else (0, None)
    folder = RunFolder(config.run_dir, config, resume=bool(checkpoints))
    try:
        folder.forget_after(step)
        metrics = read_metrics(config.run_dir) if step else ()
        spent = sum(line.get("tokens/sampled", 0.0) for line in metrics)

        def count(step: int, metrics: Mapping[str, float]) -> None:
            nonlocal spent
            spent += metrics["tokens/sampled"]

        trainer = await make_trainer(config, session, folder, step=step, state=state)
        if variant.trained == "acts":
            parts = (getattr(trainer, one.name) for one in fields(Trainer))
            trainer = SummariesFixed(*parts)
        await trainer.train(count, lambda: spent >= budget or time.process_time() >= slice_s)
    finally:
        folder.close()
    return int(spent)


async def _play(config: RunConfig, session: Session, count: int) -> dict[str, float]:
    """Success and cost on held-out tasks, the same for all variants."""
    tasks = choose_tasks(await session.tasks("test"), count, seed=0)
    collector = await session.collector("test", temperature=1.0, evaluating=True)
    report, episodes = await evaluate(collector, tasks, name="test")
    numbers = {k: v for k, v in asdict(report).items() if isinstance(v, int | float)}
    return {**numbers, "gflops": _gflops(session.policy, report, episodes)}


def _gflops(policy: Policy, report: EvalReport, episodes: Sequence[Episode]) -> float:
    """Of an episode, on average: see this module's text."""
    settings = policy.model.config
    parameters = sum(parameter.numel() for parameter in policy.model.parameters())
    width = settings.num_attention_heads * settings.head_dim
    squares = statistics.mean(
        sum(len(segment) ** 2 for segment in one.segments) for one in episodes
    )
    linear = 2 * parameters * (report.prefill_tokens + report.sampled_tokens)
    return float(linear + 2 * settings.num_hidden_layers * width * squares) / 1e9


def _twice_as_long(config: RunConfig) -> Mapping[str, list[str]]:
    """Overrides for tasks twice as long, with the summaries of training and with twice as many."""
    longer = [f"env.kwargs.pages={2 * PAGES}", f"env.kwargs.fewest={2 * PAGES}"]
    more = f"rollout.context.max_summaries={2 * config.rollout.context.max_summaries}"
    return {LONG: longer, LONG_AND_MORE: [*longer, more]}


def curve(run_dir: Path) -> Iterator[tuple[int, float]]:
    """Tokens sampled before each step of training, and the success of that step's episodes."""
    spent = 0
    for line in read_metrics(run_dir):
        if "tokens/sampled" in line:
            yield spent, line["episode/success"]
            spent += int(line["tokens/sampled"])


def write_docs(results: Results) -> None:
    """Every run as a line, and the figure of all."""
    lines = [json.dumps(one) for ones in results.values() for one in ones]
    CURVES.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    draw(results, FIGURE, dashed=[name for name, one in VARIANTS.items() if one.algorithm])


def main() -> None:
    """Do what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="see that all parts work")
    parser.add_argument("--folder", type=Path, help="default: runs/context, or -quick")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=None)
    parser.add_argument("--slice", type=float, default=500, help="processor seconds of a process")
    parser.add_argument("--report", action="store_true", help="run nothing, show what there is")
    parser.add_argument("--docs", action="store_true", help="write curves and figure into docs/")
    chosen = parser.parse_args()
    quiet_libraries()
    scale = QUICK if chosen.quick else FULL
    folder = chosen.folder or ROOT / "runs" / ("context-quick" if chosen.quick else "context")
    seeds = chosen.seeds or ([0] if chosen.quick else [0, 1, 2, 3, 4])
    console = Console(width=160)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen.only}
    for seed in seeds:
        for name in chosen.only:
            path = folder / f"{name.replace('@', '-')}-seed{seed}.json"
            if not path.exists() and chosen.report:
                continue
            if not path.exists():
                make(name, seed, path, scale, chosen.slice, console)
            results[name].append(json.loads(path.read_text(encoding="utf-8")))
    results = {name: ones for name, ones in results.items() if ones}
    console.print(table(results))
    if chosen.docs:
        write_docs(results)
    print(json.dumps(summary(results)))


def make(name: str, seed: int, path: Path, scale: Scale, slice_s: float, console: Console) -> None:
    """Write the result of one variant and seed.

    Raises:
        SystemExit: The slice is over (status 3).
    """
    result = asyncio.run(run_variant(name, seed, path.parent, scale, slice_s))
    if result is None:
        console.print(f"{name}, seed {seed}: to be continued; run the same command again")
        raise SystemExit(3)
    path.write_text(json.dumps(result), encoding="utf-8")
    console.print(f"{name}, seed {seed}: {result['held_out']['success']:.0%}")
    if time.process_time() >= slice_s:
        raise SystemExit(3)


if __name__ == "__main__":
    main()
