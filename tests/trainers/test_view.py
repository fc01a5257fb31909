"""``agentgym view``: what it says of a run and of an episode."""

import asyncio
from pathlib import Path

import pytest
from short_runs import short_config, train_as_command
from typer.testing import CliRunner

from agentgym import DataError
from agentgym.cli import app
from agentgym.episode_io import read_episodes


@pytest.fixture(scope="module")
def run(warm_policy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view") / "run"
    overrides = ["train.trace=true", "train.staleness=1", "eval.every=1", "eval.every_tasks=2"]
    asyncio.run(train_as_command(short_config(warm_policy_folder, folder, *overrides)))
    return folder


def view(*arguments: object) -> str:
    result = CliRunner().invoke(
        app, ["view", *map(str, arguments)], catch_exceptions=False, env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0
    return result.output


def test_it_says_how_a_run_stands(run: Path) -> None:
    said = view(run)
    assert "step 2" in said
    assert "time/idle_learner" in said
    assert "staleness/max" in said
    assert "episodes as of step-000002: " in said
    assert "trained" in said
    assert "validation: " in said
    assert f"best: {run / 'checkpoints'}" in said
    assert f"timeline: {run / 'trace.json'}" in said
    (run / "trace.json").rename(run / "kept.json")
    assert "timeline: none; train.trace=true leaves one" in view(run)


def test_it_shows_an_episode_turn_by_turn(run: Path) -> None:
    (episode, *_) = read_episodes(run / "episodes" / "step-000001.jsonl.zst")
    said = view(run, "--episode", episode.id)
    assert said.startswith(f"{episode.id}: solved, reward {episode.reward:g}")
    assert said.count("── turn") == 2
    assert "[user] Say something" in said
    assert episode.turns[0].action.text in said
    assert "weights of step 0" in said
    assert "rewards: success" in said


def test_what_is_not_there_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no episode 'train9' in 2 files; ids are such as"):
        view(run, "--episode", "train9")
    with pytest.raises(DataError, match="is it a run folder"):
        view(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(DataError, match="no training step in metrics"):
        view(tmp_path)
