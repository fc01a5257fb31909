"""``agentgym launch``: everything a run on one machine needs, started and ended together."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from agentgym_trainers.commands.arguments import read_arguments
from agentgym_trainers.config import ClusterConfig
from agentgym_trainers.distributed.launching import Launch
from agentgym_trainers.distributed.parts import parts_of


def main(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[RECIPE] [KEY=VALUE]...", help="Recipe and overrides.")
    ] = [],  # noqa: B006  # typer reads the default, and nobody changes it
    dry_run: Annotated[bool, typer.Option(help="Say what would be started, and stop.")] = False,
) -> None:
    """Start learners, servers and workers as the recipe's `cluster` says, and train.

    Ctrl-C once finishes the step and saves; twice ends everything at once.
    """
    config = read_arguments(arguments, "train")
    parts = parts_of(config, arguments)
    if dry_run:
        for part in parts:
            typer.echo(f"{part.name}: {part.shown()}")
        for line in _started_by_trainer(config.cluster):
            typer.echo(line)
        return
    assert config.run_dir is not None  # read_arguments fills it in
    try:
        asyncio.run(_run(Launch(parts, config.run_dir / "logs")))
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo(f"interrupted; go on with resume=true run_dir={config.run_dir}", err=True)
        raise typer.Exit(130) from None


async def _run(launch: Launch) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(launch.run(typer.echo))

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        launch.finish()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    await task


def _started_by_trainer(cluster: ClusterConfig) -> list[str]:
    where = f"at {cluster.ray_address}" if cluster.ray_address else "here"
    lines = [
        f"rollout worker {number}: a Ray actor {where}, {cluster.worker_gpus:g} GPUs; started by "
        "the trainer"
        for number in range(cluster.workers)
    ]
    return lines + [
        f"environment worker {number}: a Ray actor {where}; started by the trainer"
        for number in range(cluster.env_workers)
    ]
