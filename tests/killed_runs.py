"""Training runs that are killed and go on: python killed_runs.py POLICY FOLDER STALENESS SEED KILLS

Imports torch once and forks a child for each start, so that twenty starts are cheap. Nothing is
computed before a fork. Leaves FOLDER/whole, never interrupted, and FOLDER/run0, run1, …, each
killed several times; prints what it did as JSON.
"""

import asyncio
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot  # noqa: F401  # what a run would import anyway, once for all children
import torch
import torch.utils.tensorboard
from rich.console import Console

from agentgym_trainers.commands import train as train_command
from agentgym_trainers.commands.arguments import quiet_libraries
from agentgym_trainers.config import RunConfig, load_config

KILLS_OF_A_RUN = 5


def config(policy: str, run: Path, staleness: int) -> RunConfig:
    resume = (run / "config.yaml").exists()
    settings = [
        f"model={policy}",
        f"run_dir={run}",
        f"resume={str(resume).lower()}",
        "env.id=test/Even-v0",
        "rollout.turn_tokens=8",
        "train.steps=6",
        "train.groups=2",
        "train.group_size=3",
        f"train.staleness={staleness}",
        "train.optimizer.learning_rate=0.001",
        "eval.tasks=2",
        "eval.every=3",
        "eval.every_tasks=2",
        "checkpoint.every=1",
    ]
    return load_config(None, settings)


def start(settings: RunConfig) -> int:
    """A child that trains; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        torch.set_num_threads(1)
        asyncio.run(train_command.run(settings, Console(quiet=True)))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def ended(pid: int, seconds: float | None) -> bool:
    """Whether the child ended by itself within that time."""
    handle = os.pidfd_open(pid)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def wait_for_a_write(pid: int, run: Path) -> None:
    """Until the child is in the midst of a checkpoint, or over."""
    while not any((run / "checkpoints").glob(".partial-*")) and not ended(pid, 0.001):
        pass


def finish(pid: int) -> None:
    """Wait for the end of a child that nobody kills."""
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"a run failed with status {status}")


def killed(pid: int) -> bool:
    """Kill the child; whether it was still running."""
    if not ended(pid, 0):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if status and os.WTERMSIG(status) != signal.SIGKILL:
        sys.exit(f"a run failed with status {status}")
    return status != 0


def main(policy: str, folder: Path, staleness: int, seed: int, kills: int) -> None:
    rng, done, runs = random.Random(seed), 0, 0
    started = time.monotonic()
    finish(start(config(policy, folder / "whole", staleness)))
    whole_s = time.monotonic() - started
    while done < kills:
        run, over, here = folder / f"run{runs}", False, 0
        while not over and done < kills and here < KILLS_OF_A_RUN:
            pid = start(config(policy, run, staleness))
            if here % 2:
                wait_for_a_write(pid, run)
                ended(pid, rng.uniform(0, 0.03))
            else:
                ended(pid, rng.uniform(0, whole_s))
            over = not killed(pid)
            here, done = here + (not over), done + (not over)
        if not over:
            finish(start(config(policy, run, staleness)))
        runs += 1
    print(json.dumps({"kills": done, "runs": runs, "whole_s": whole_s}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    gym.register("test/Even-v0", entry_point="counting_env:EvenEnv")
    quiet_libraries()
    given, place, *numbers = sys.argv[1:]
    main(given, Path(place), *map(int, numbers))
