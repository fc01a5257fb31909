"""``agentgym train`` under torchrun: the run of two processes is the run of one."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from installed_plugins import register
from short_runs import SETTINGS, TIMES, short_config, train_as_command

from agentgym_trainers.checkpoint import list_checkpoints
from agentgym_trainers.policy import load_policy
from agentgym_trainers.run_folder import read_metrics

TESTS = Path(__file__).parent.parent
SHAPE = ("train.groups=2", "train.minibatches=2", "checkpoint.keep=9", "dtype=float64")


def train_on_two(site: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """As ``torchrun --nproc-per-node 2 -m agentgym train`` does."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, "--nproc-per-node=2", "-m", "agentgym", "train", *SETTINGS, *overrides]
    return subprocess.run(
        [*command, "train.learner=fsdp", "device=cpu"],
        env={**os.environ, "PYTHONPATH": f"{site}:{TESTS}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where the test environment is installed, for processes of their own."""
    folder = tmp_path / "site"
    folder.mkdir()
    register(folder, "agentgym-tests", "test/Even-v0 = counting_env:EvenEnv")
    return folder


def steps_of(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    steps = [line for line in lines if "episode/reward" in line]
    return [{k: v for k, v in line.items() if not k.startswith(TIMES)} for line in steps]


@pytest.mark.slow
async def test_two_processes_train_as_one_and_each_goes_on_where_the_other_stopped(
    warm_policy_folder: Path, tmp_path: Path, site: Path
) -> None:
    whole = await train_as_command(
        short_config(warm_policy_folder, tmp_path / "whole", *SHAPE, "train.steps=4")
    )
    run = tmp_path / "run"
    where = (f"model={warm_policy_folder}", f"run_dir={run}", *SHAPE)
    first = train_on_two(site, *where, "train.steps=2")
    assert first.returncode == 0, first.stderr
    await train_as_command(
        short_config(warm_policy_folder, run, *SHAPE, "train.steps=3", "resume=true")
    )
    last = train_on_two(site, *where, "train.steps=4", "resume=true")
    assert last.returncode == 0, last.stderr
    together = steps_of(read_metrics(run))
    assert [line["step"] for line in together] == [1, 2, 3, 4]
    for one, two in zip(whole, together, strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-4)
    assert any(line["learner/grad_norm"] > 0 for line in whole)
    models = [
        load_policy(str(list_checkpoints(folder / "checkpoints")[-1])).model.state_dict()
        for folder in (tmp_path / "whole", run)
    ]
    for name, weight in models[0].items():
        assert torch.allclose(weight, models[1][name], atol=1e-4), name


def test_a_mistake_that_rank_0_finds_ends_all_ranks(
    warm_policy_folder: Path, tmp_path: Path, site: Path
) -> None:
    run = tmp_path / "run"
    done = train_on_two(site, f"model={warm_policy_folder}", f"run_dir={run}", "resume=true")
    assert done.returncode != 0
    assert "holds no run to resume" in done.stderr
    assert "PeerError" not in done.stderr
