"""Ctrl-C and the watchdog, as the user of ``agentgym train`` meets them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym_trainers.checkpoint import list_checkpoints
from agentgym_trainers.run_folder import read_metrics

CODE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import gymnasium as gym
gym.register("test/Stuck-v0", entry_point="stuck_env:StuckEnv")
from agentgym.cli import main
main()
"""
ENV = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
TURNS_OF_A_STEP = 2 * 2 * 2  # groups, episodes, turns
TURNS_BEFORE = 2 * 2  # of the evaluation


def train(policy: Path, run: Path, *overrides: str) -> subprocess.Popen[str]:
    settings = [
        f"model={policy}",
        f"run_dir={run}",
        "env.id=test/Stuck-v0",
        "rollout.turn_tokens=8",
        "rollout.episode_s=3600",
        "train.groups=2",
        "train.group_size=2",
        "train.steps=4",
        "train.watchdog_s=0.2",
        "eval.tasks=2",
        "eval.every=0",
        "checkpoint.every=0",
    ]
    command = [sys.executable, "-c", CODE, "train", *settings, *overrides]
    return subprocess.Popen(
        command,
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=run.parent,
    )


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of a test; none outlives it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """The first line with these words; fails at the end of the output."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return line
    raise AssertionError(f"{words!r} was never said, but: {''.join(seen)}")


def end(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def steps(run: Path) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in line.items() if not k.startswith("time/")}
        for line in read_metrics(run)
        if "episode/reward" in line
    ]


def test_ctrl_c_twice_saves_now_and_the_run_goes_on_as_if_nothing_had_happened(
    warm_policy_folder: Path, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    free = TURNS_BEFORE + 2 * TURNS_OF_A_STEP + 3  # the third step never ends
    process = train(warm_policy_folder, run, f"env.kwargs.free={free}")
    started.append(process)
    warning = wait_for(process, "no group ended for 0.2 s; 0 of 2 are there. Waiting for: train2.")
    assert ": step for" in warning
    process.send_signal(signal.SIGINT)
    assert "Ctrl-C again to save now" in wait_for(process, "stopping after this step")
    process.send_signal(signal.SIGINT)
    output = end(process)
    assert "saving; Ctrl-C again to quit at once" in output
    assert f"stopped after step 2; go on with resume=true run_dir={run}" in output
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step-000002"]
    assert [line["step"] for line in steps(run)] == [1, 2]

    started.append(train(warm_policy_folder, run, "resume=true", "env.kwargs.free=1000000"))
    end(started[-1])
    started.append(train(warm_policy_folder, whole))
    end(started[-1])
    assert steps(run) == steps(whole)
