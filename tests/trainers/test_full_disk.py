"""A full disk: one clear line, nothing half-written, and a run that goes on where there is room."""

from pathlib import Path
from typing import Any

import pytest
from full_disk import files_of_at_most
from short_runs import short_config, train_as_command

from agentgym import UsageError
from agentgym_trainers.checkpoint import list_checkpoints
from agentgym_trainers.config import RunConfig

STEPS = 4


@pytest.fixture
async def whole(warm_policy_folder: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """The metrics of a run that always had room."""
    config = short_config(warm_policy_folder, tmp_path / "whole", f"train.steps={STEPS}")
    return await train_as_command(config)


@pytest.mark.parametrize("what", ["metrics", "episodes"])
async def test_a_full_disk_stops_the_run_with_one_line_and_it_can_be_resumed(
    warm_policy_folder: Path, tmp_path: Path, whole: list[dict[str, Any]], what: str
) -> None:
    run = tmp_path / "run"

    def config(*overrides: str) -> RunConfig:
        return short_config(warm_policy_folder, run, f"train.steps={STEPS}", *overrides)

    await train_as_command(config("train.steps=2"))
    before = (run / "metrics.jsonl").read_bytes()
    room = len(before) + 10 if what == "metrics" else 600
    with files_of_at_most(room), pytest.raises(UsageError, match="cannot be written") as raised:
        await train_as_command(config("resume=true"))
    assert "\n" not in str(raised.value)
    assert len((run / "metrics.jsonl").read_bytes()) <= len(before)
    assert not [path for path in run.rglob("*") if "partial" in path.name]
    assert list_checkpoints(run / "checkpoints")[-1].name == "step-000002"
    assert await train_as_command(config("resume=true")) == whole
