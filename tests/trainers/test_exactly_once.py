"""``kill -9`` at twenty moments: every copy has one end, and nothing is trained on twice."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agentgym.episode_io import read_episodes
from agentgym_trainers.checkpoint import list_checkpoints, load_state
from agentgym_trainers.ledger import CopyState, Ledger
from agentgym_trainers.run_folder import read_metrics

SCRIPT = Path(__file__).parents[1] / "killed_runs.py"
STEPS, GROUPS, SIZE = 6, 2, 3
KILLS = 20


def killed_runs(policy: Path, folder: Path, *, staleness: int, kills: int) -> list[Path]:
    """Runs that were killed and went on, until each came to its end."""
    arguments = [policy, folder, staleness, 11, kills]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] == kills
    return [folder / f"run{number}" for number in range(told["runs"])]


def loss_curve(run: Path) -> list[dict[str, Any]]:
    """All metrics but those of the clock."""
    return [
        {name: value for name, value in line.items() if not name.startswith("time/")}
        for line in read_metrics(run)
    ]


def ledger_of(run: Path) -> Ledger:
    _, state = load_state(list_checkpoints(run / "checkpoints")[-1])
    ledger = Ledger(SIZE)
    ledger.load_state_dict(state["ledger"])
    return ledger


def check_exactly_once(run: Path) -> None:
    ledger, counts = ledger_of(run), ledger_of(run).counts()
    assert ledger.unsettled() == []
    assert sum(counts.values()) == ledger.groups * SIZE == STEPS * GROUPS * SIZE
    steps = [line["step"] for line in read_metrics(run) if "episode/reward" in line]
    assert steps == list(range(1, STEPS + 1))
    files = sorted((run / "episodes").glob("step-*.jsonl.zst"))
    assert len(files) == STEPS
    played = Counter(one.id for file in files for one in read_episodes(file))
    assert set(played.values()) == {1}
    assert len(played) == counts["trained"] + counts["filtered"]
    for number in range(ledger.groups):
        step, place = divmod(number, GROUPS)
        states = ledger.states(number)
        used = [f"train{step}.{place}.{member}.0" in played for member in range(SIZE)]
        assert used == [s in (CopyState.TRAINED, CopyState.FILTERED) for s in states]


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    warm_policy_folder: Path, tmp_path: Path
) -> None:
    runs = killed_runs(warm_policy_folder, tmp_path, staleness=0, kills=KILLS)
    whole = tmp_path / "whole"
    check_exactly_once(whole)
    for run in runs:
        check_exactly_once(run)
        assert loss_curve(run) == loss_curve(whole)
        assert any(line.get("learner/grad_norm", 0) > 0 for line in loss_curve(run))
        assert ledger_of(run).state_dict() == ledger_of(whole).state_dict()
        weights = [
            list_checkpoints(one / "checkpoints")[-1] / "model.safetensors" for one in (run, whole)
        ]
        assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_a_killed_run_that_plays_ahead_trains_on_no_copy_twice(
    warm_policy_folder: Path, tmp_path: Path
) -> None:
    for run in killed_runs(warm_policy_folder, tmp_path, staleness=1, kills=KILLS // 2):
        check_exactly_once(run)
        lags = [line.get("staleness/max", 0) for line in read_metrics(run)]
        assert max(lags) <= 1
