"""The training loop end to end, on a small random model: it learns, repeats itself, and resumes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from metric_names import undocumented
from rich.console import Console

from agentgym import DataError, Task, TaskSet, UsageError
from agentgym.episode_io import read_episodes
from agentgym_trainers.checkpoint import list_checkpoints, load_state, save_checkpoint
from agentgym_trainers.commands import train as train_command
from agentgym_trainers.config import RunConfig, load_config
from agentgym_trainers.forward import score
from agentgym_trainers.policy import load_policy
from agentgym_trainers.rows import make_rows
from agentgym_trainers.run_folder import RunFolder, read_metrics
from agentgym_trainers.task_cursor import TaskCursor

TIMES = ("time/", "wall")


def config_for(policy: Path, run_dir: Path, *overrides: str) -> RunConfig:
    settings = [
        f"model={policy}",
        f"run_dir={run_dir}",
        "env.id=test/Even-v0",
        "rollout.turn_tokens=6",
        "train.steps=6",
        "train.groups=4",
        "train.group_size=4",
        "train.optimizer.learning_rate=0.01",
        "eval.tasks=5",
        "eval.every=3",
        "eval.every_tasks=4",
        "checkpoint.every=2",
    ]
    return load_config(None, [*settings, *overrides])


async def train(config: RunConfig) -> list[dict[str, Any]]:
    """Run, and give back the metrics without what depends on the clock."""
    await train_command.run(config, Console(quiet=True))
    assert config.run_dir is not None
    lines = read_metrics(config.run_dir)
    return [{k: v for k, v in line.items() if not k.startswith(TIMES)} for line in lines]


async def test_it_learns_what_is_rewarded(policy_folder: Path, tmp_path: Path) -> None:
    lines = await train(
        config_for(
            policy_folder,
            tmp_path / "run",
            "train.steps=25",
            "train.groups=8",
            "train.group_size=8",
        )
    )
    rewards = [line["episode/reward"] for line in lines if "episode/reward" in line]
    assert sum(rewards[:3]) / 3 < 0.7
    assert sum(rewards[-3:]) / 3 > 0.9


async def test_the_same_seed_gives_the_same_run(policy_folder: Path, tmp_path: Path) -> None:
    one = await train(config_for(policy_folder, tmp_path / "one", "train.minibatches=2"))
    two = await train(config_for(policy_folder, tmp_path / "two", "train.minibatches=2"))
    other = await train(
        config_for(policy_folder, tmp_path / "three", "train.minibatches=2", "seed=1")
    )
    assert one == two
    assert one != other


async def test_a_resumed_run_equals_one_that_was_never_stopped(
    policy_folder: Path, tmp_path: Path
) -> None:
    whole = await train(config_for(policy_folder, tmp_path / "whole"))
    stopped = tmp_path / "stopped"
    await train(config_for(policy_folder, stopped, "train.steps=4"))
    # As a kill would leave it: a newer line of metrics than the last checkpoint.
    with (stopped / "metrics.jsonl").open("a") as out:
        out.write('{"step": 5, "episode/reward": 99}\n{"step": 6, "epi')
    resumed = await train(config_for(policy_folder, stopped, "resume=true"))
    steps = [line for line in resumed if "episode/reward" in line]
    assert steps == [line for line in whole if "episode/reward" in line]
    last = [list_checkpoints(tmp_path / name / "checkpoints")[-1] for name in ("whole", "stopped")]
    weights = [load_policy(str(path)).model.state_dict() for path in last]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


async def test_the_learner_agrees_with_the_recorded_logprobs(
    policy_folder: Path, tmp_path: Path
) -> None:
    config = config_for(policy_folder, tmp_path / "run", "train.steps=1", "rollout.temperature=0.8")
    await train(config)
    episodes = list(read_episodes(tmp_path / "run" / "episodes" / "step-000001.jsonl.zst"))
    assert len(episodes) == 16
    rows = make_rows(episodes)
    policy = load_policy(str(policy_folder))
    with torch.no_grad():
        logp = score(policy.model, rows, temperature=0.8).logp_BT
    assert (logp - rows.behaviour_logp_ST).abs()[rows.mask_ST].max() < 1e-4
    assert rows.sampled_tokens > 100


async def test_groups_share_task_and_seed(policy_folder: Path, tmp_path: Path) -> None:
    await train(config_for(policy_folder, tmp_path / "run", "train.steps=1"))
    episodes = list(read_episodes(tmp_path / "run" / "episodes" / "step-000001.jsonl.zst"))
    groups: dict[str, set[tuple[str, int]]] = {}
    for episode in episodes:
        groups.setdefault(episode.group_id, set()).add((episode.task_key, episode.seed))
    assert [len(group) for group in groups.values()] == [1] * 4
    assert len({episode.id for episode in episodes}) == 16


async def test_environment_errors_are_refilled_and_counted(
    policy_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    lines = await train(config_for(policy_folder, run, "env.kwargs.die_every=2"))
    steps = [line for line in lines if "episode/reward" in line]
    failed = sum(line["env_errors"] for line in steps)
    assert failed > 0
    assert sum(line.get("env_error/server_died", 0) for line in steps) == failed
    for line in steps:
        episodes = list(read_episodes(run / "episodes" / f"step-{line['step']:06d}.jsonl.zst"))
        assert line["ending/env_error"] == 0
        assert len(episodes) == 16
        assert not any(episode.ending.masked for episode in episodes)


async def test_a_run_is_never_overwritten(policy_folder: Path, tmp_path: Path) -> None:
    config = config_for(policy_folder, tmp_path / "run", "train.steps=1")
    await train(config)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(UsageError, match="already holds a run"):
        await train(config)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    with pytest.raises(UsageError, match="holds no run to resume"):
        await train(config_for(policy_folder, tmp_path / "nothing", "resume=true"))


@pytest.mark.parametrize("file", ["model.safetensors", "trainer.pt", "manifest.json"])
async def test_a_truncated_checkpoint_is_named_and_nothing_is_touched(
    policy_folder: Path, tmp_path: Path, file: str
) -> None:
    config = config_for(policy_folder, tmp_path / "run", "train.steps=4", "eval.every=0")
    await train(config)
    newest = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    damaged = newest / file
    damaged.write_bytes(damaged.read_bytes()[:100])
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=r"step-000004: .* delete .* to resume from step-000002"):
        await train(config_for(policy_folder, tmp_path / "run", "train.steps=6", "resume=true"))
    assert {
        path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()
    } == before


def test_only_the_newest_checkpoints_are_kept(policy_folder: Path, tmp_path: Path) -> None:
    policy = load_policy(str(policy_folder))
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, policy, {"x": torch.tensor([step])}, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000002", "step-000003"]
    assert not list(tmp_path.glob(".partial*"))
    step, state = load_state(tmp_path / "step-000003")
    assert (step, state["x"].tolist()) == (3, [3])


def test_the_cursor_visits_every_task_once_an_epoch_and_its_position_is_enough() -> None:
    tasks = TaskSet(Task.create("t/T-v0", str(n), {}) for n in range(10))
    cursor = TaskCursor(tasks, seed=4)
    first, second = cursor.take(10), cursor.take(10)
    assert (
        {task.key for task in first}
        == {task.key for task in second}
        == {task.key for task in tasks}
    )
    assert [task.key for task in first] != [task.key for task in second]
    assert TaskCursor(tasks, seed=4, position=7).take(6) == [*first[7:], *second[:3]]


def test_the_saved_configuration_is_the_resolved_one(tmp_path: Path, policy_folder: Path) -> None:
    config = config_for(policy_folder, tmp_path / "run")
    RunFolder(tmp_path / "run", config, resume=False).close()
    assert "learning_rate: 0.01" in (tmp_path / "run" / "config.yaml").read_text()


async def test_metrics_are_json_lines_and_tensorboard_and_a_picture(
    policy_folder: Path, tmp_path: Path
) -> None:
    await train(config_for(policy_folder, tmp_path / "run", "train.steps=1"))
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        assert isinstance(json.loads(line)["step"], int)
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
    assert (tmp_path / "run" / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


async def test_every_metric_is_documented(policy_folder: Path, tmp_path: Path) -> None:
    lines = await train(config_for(policy_folder, tmp_path / "run", "env.kwargs.die_every=2"))
    raw = {name for line in read_metrics(tmp_path / "run") for name in line}
    assert lines
    assert undocumented(raw) == []


async def test_a_run_stopped_before_its_first_checkpoint_starts_again(
    policy_folder: Path, tmp_path: Path
) -> None:
    config = config_for(policy_folder, tmp_path / "run", "train.steps=1")
    RunFolder(tmp_path / "run", config, resume=False).close()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 0, "te')
    resumed = await train(
        config_for(policy_folder, tmp_path / "run", "train.steps=1", "resume=true")
    )
    assert [line["step"] for line in resumed] == [0, 1, 1]
