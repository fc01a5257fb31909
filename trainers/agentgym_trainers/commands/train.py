"""``agentgym train``: multi-turn policy optimisation, with held-out success before and after."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agentgym_trainers.checkpoint import list_checkpoints, load_state
from agentgym_trainers.commands.arguments import quiet_libraries, read_arguments
from agentgym_trainers.commands.evaluate import held_out
from agentgym_trainers.commands.interrupts import Interrupts
from agentgym_trainers.commands.progress import progress
from agentgym_trainers.commands.tables import report_table
from agentgym_trainers.config import RunConfig
from agentgym_trainers.distributed.learning import train_together
from agentgym_trainers.evaluate import EvalReport
from agentgym_trainers.lora import adapt
from agentgym_trainers.plot import plot_runs
from agentgym_trainers.policy import load_policy
from agentgym_trainers.run_folder import RunFolder, read_metrics
from agentgym_trainers.session import open_session
from agentgym_trainers.trainer import MakeLearner, Trainer, make_trainer


def main(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[RECIPE] [KEY=VALUE]...", help="Recipe and overrides.")
    ] = [],  # noqa: B006  # typer reads the default, and nobody changes it
) -> None:
    """Train a policy: train.algorithm=grpo, ppo, … Ctrl-C finishes the step and saves."""
    quiet_libraries()
    config = read_arguments(arguments, "train")
    try:
        if config.train.learner == "fsdp":
            train_together(config, partial(run, config, Console()))
        else:
            asyncio.run(run(config, Console()))
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with resume=true run_dir={config.run_dir}", err=True)
        raise typer.Exit(130) from None


async def run(config: RunConfig, console: Console, make_learner: MakeLearner | None = None) -> None:
    """Evaluate, train, evaluate again, draw the curve."""
    assert config.run_dir is not None  # read_arguments fills it in
    step, state, model = 0, None, config.model
    checkpoints = list_checkpoints(config.run_dir / "checkpoints") if config.resume else []
    if checkpoints:  # a run stopped before its first one starts again
        step, state = load_state(checkpoints[-1])
        model = str(checkpoints[-1])
    policy = load_policy(model, device=config.device, dtype=config.dtype)
    adapt(policy, config)
    async with open_session(config, policy) as session:
        await session.tasks(config.eval.split)  # bad tasks are found before anything is written
        await session.tasks("train")
        folder = RunFolder(config.run_dir, config, resume=config.resume)
        try:
            trainer = await make_trainer(
                config, session, folder, step=step, state=state, make_learner=make_learner
            )
            await _run(trainer, console)
        finally:
            folder.close()


async def _run(trainer: Trainer, console: Console) -> None:
    config, session, folder = trainer.config, trainer.session, trainer.run
    steps = config.train.steps
    console.print(f"{config.model} in {config.env.id} → {folder.path}", soft_wrap=True)
    folder.forget_after(trainer.step)
    before = _logged(folder.path) if config.resume else None
    if before is None:
        before = await held_out(session, name="test-before")
        folder.log(trainer.step, _flat(before))
    console.print(f"before: {_short(before)}")
    started = time.perf_counter()
    await _train(trainer, console)
    seconds = time.perf_counter() - started
    if trainer.step < steps:
        console.print(
            f"stopped after step {trainer.step}; go on with resume=true run_dir={folder.path}",
            soft_wrap=True,
        )
        return
    after = await held_out(session, name="test-after")
    folder.log(trainer.step, _flat(after))
    curve = folder.path / "learning_curve.png"
    plot_runs([folder.path], curve)
    title = f"held-out tasks, before and after {steps} steps ({seconds:.0f} s)"
    console.print(report_table({"before": before, "after": after}, title))
    console.print(f"learning curve: {curve}", soft_wrap=True)


async def _train(trainer: Trainer, console: Console) -> None:
    steps, interrupts = trainer.config.train.steps, Interrupts(console)
    with progress(console, "train", steps, _describe, done=trainer.step) as show, interrupts:
        try:
            await trainer.train(show, lambda: interrupts.stop)
        except asyncio.CancelledError:
            if not interrupts.cancelled:
                raise
            interrupts.heard()


def _flat(report: EvalReport) -> dict[str, float]:
    values: dict[str, Any] = asdict(report)
    numbers = {f"test/{k}": float(v) for k, v in values.items() if isinstance(v, int | float)}
    for kind in ("components", "endings"):
        numbers |= {f"test/{kind}/{name}": float(v) for name, v in values[kind].items()}
    return numbers


_NEWER = ("peak_context", "prefill_tokens", "summaries", "recalls")
"""What evaluations of older runs did not say."""


def _logged(run_dir: Path) -> EvalReport | None:
    """The evaluation before training, as an earlier start of this run logged it."""
    for line in read_metrics(run_dir):
        if "test/success" in line:
            parts = {
                kind: {
                    name.removeprefix(f"test/{kind}/"): value
                    for name, value in line.items()
                    if name.startswith(f"test/{kind}/")
                }
                for kind in ("components", "endings")
            }
            return EvalReport(
                success=line["test/success"],
                low=line["test/low"],
                high=line["test/high"],
                episodes=int(line["test/episodes"]),
                env_errors=int(line["test/env_errors"]),
                turns=line["test/turns"],
                sampled_tokens=line["test/sampled_tokens"],
                **{name: line.get(f"test/{name}", math.nan) for name in _NEWER},
                components=parts["components"],
                endings={name: int(value) for name, value in parts["endings"].items()},
            )
    return None


def _short(report: EvalReport) -> str:
    return f"{report.success:.1%} of {report.episodes} held-out tasks solved"


def _describe(metrics: Mapping[str, float]) -> str:
    text = f"success {metrics['episode/success']:.0%}"
    if "val/success" in metrics:
        text += f"  validation {metrics['val/success']:.0%}"
    if metrics["env_errors"]:
        text += f"  environment errors {metrics['env_errors']:.0f}"
    return text + f"  {metrics['time/step_s']:.1f} s/step"
