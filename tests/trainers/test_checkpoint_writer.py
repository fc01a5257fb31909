"""Checkpoints beside the run: from copies, one at a time, the best kept, a full disk survived."""

import asyncio
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from full_disk import files_of_at_most

from agentgym import UsageError
from agentgym_trainers.checkpoint import (
    best_checkpoint,
    best_score,
    list_checkpoints,
    load_state,
    save_checkpoint,
)
from agentgym_trainers.checkpoint_writer import CheckpointWriter
from agentgym_trainers.policy import Policy, load_policy
from agentgym_trainers.snapshot import copied, random_state, restore_random_state


@pytest.fixture
def policy(policy_folder: Path) -> Policy:
    return load_policy(str(policy_folder))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_it_writes_what_was_there_when_it_was_asked(policy: Policy, tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, keep=2, best=True)
    before = {name: one.clone() for name, one in policy.model.state_dict().items()}
    state = {"moment": [torch.ones(3)], "step": 1}
    await writer.save(1, policy, state)
    with torch.no_grad():  # while it is written
        for one in policy.model.parameters():
            one.fill_(9.0)
    state["moment"][0].fill_(9.0)  # type: ignore[index]  # a list
    await writer.finish()
    await writer.aclose()
    saved = load_policy(str(tmp_path / "step-000001")).model.state_dict()
    assert all(torch.equal(saved[name], before[name]) for name in before)
    assert torch.equal(load_state(tmp_path / "step-000001")[1]["moment"][0], torch.ones(3))


async def test_a_checkpoint_equals_one_that_the_run_waited_for(
    policy: Policy, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "at once", 1, policy, {"x": 1}, keep=1)
    writer = CheckpointWriter(tmp_path / "beside", keep=1, best=True)
    await writer.save(1, policy, {"x": 1})
    await writer.finish()
    await writer.aclose()
    one, other = tmp_path / "at once" / "step-000001", tmp_path / "beside" / "step-000001"
    assert names(one) == names(other)
    weights = "model.safetensors"
    assert (one / weights).read_bytes() == (other / weights).read_bytes()


async def test_the_best_stays_beside_the_newest_and_is_linked(
    policy: Policy, tmp_path: Path
) -> None:
    writer = CheckpointWriter(tmp_path, keep=2, best=True)
    for step, score in ((1, 0.2), (2, 0.7), (3, None), (4, 0.7), (5, 0.1)):
        assert writer.better(score) == (step in (1, 2))
        await writer.save(step, policy, {}, score=score)
        await writer.finish()
    await writer.aclose()
    assert names(tmp_path) == ["best", "step-000002", "step-000004", "step-000005"]
    assert best_checkpoint(tmp_path) == tmp_path / "step-000002"
    load_policy(str(tmp_path / "best"))
    resumed = CheckpointWriter(tmp_path, keep=1, best=True, there=5)
    assert not resumed.better(0.7)
    await resumed.save(5, policy, {})  # there already
    await resumed.save(6, policy, {}, score=0.9)
    await resumed.finish()
    await resumed.aclose()
    assert names(tmp_path) == ["best", "step-000006"]
    assert best_score(tmp_path) == 0.9


async def test_without_best_only_the_newest_stay(policy: Policy, tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, keep=1, best=False)
    for step, score in ((1, 0.9), (2, 0.1)):
        assert not writer.better(score)
        await writer.save(step, policy, {}, score=score)
    await writer.finish()
    await writer.aclose()
    assert names(tmp_path) == ["step-000002"]
    assert best_score(tmp_path) == -np.inf


def test_a_best_checkpoint_that_was_deleted_or_damaged_is_none(
    policy: Policy, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, 1, policy, {}, keep=1, score=0.5)
    (tmp_path / "step-000001" / "manifest.json").write_text("{")
    assert best_score(tmp_path) == -np.inf
    shutil.rmtree(tmp_path / "step-000001")
    assert best_checkpoint(tmp_path) is None
    assert best_score(tmp_path) == -np.inf


@pytest.mark.parametrize("size", [0, 300, 20_000])
async def test_a_full_disk_is_a_warning_and_the_checkpoints_before_are_whole(
    policy: Policy, tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    writer = CheckpointWriter(tmp_path, keep=1, best=True)
    state = {"moments": torch.randn(100_000)}
    await writer.save(1, policy, state, score=0.1)
    await writer.finish()
    with files_of_at_most(size):
        await writer.save(2, policy, state, score=0.9)
        with pytest.raises(UsageError, match="checkpoint of step 2 cannot be written") as raised:
            await writer.finish()
    assert "\n" not in str(raised.value)
    assert "make room, and go on with resume=true" in str(raised.value)
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]
    assert names(tmp_path) == ["best", "step-000001"]
    assert load_state(tmp_path / "step-000001")[0] == 1
    await writer.save(2, policy, state, score=0.9)  # there is room again
    await writer.finish()
    await writer.aclose()
    assert names(tmp_path) == ["best", "step-000002"]


async def test_the_next_one_waits_for_the_one_before(policy: Policy, tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, keep=5, best=False)
    await asyncio.gather(*(writer.save(step, policy, {}) for step in (1,)))
    await writer.save(2, policy, {})
    assert (tmp_path / "step-000001").is_dir()
    await writer.finish()
    await writer.aclose()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000001", "step-000002"]


def test_what_a_killed_process_left_is_cleared_away(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / ".partial-000001-1").mkdir()
    (tmp_path / ".partial-step-000000").mkdir()
    save_checkpoint(tmp_path, 2, policy, {}, keep=1)
    assert names(tmp_path) == ["step-000002"]


def test_a_copy_shares_memory_where_the_original_does() -> None:
    whole = torch.arange(10.0)
    state: dict[str, Any] = {"a": whole[2:5], "b": [whole, (whole.view(2, 5), "text", None)]}
    copy = copied(state)
    whole.zero_()
    assert copy["a"].tolist() == [2, 3, 4]
    assert copy["b"][1][1:] == ("text", None)
    assert len({one.untyped_storage().data_ptr() for one in (copy["a"], copy["b"][0])}) == 1
    assert copy["b"][1][0].shape == (2, 5)


def test_all_generators_go_on_where_they_were(tmp_path: Path) -> None:
    torch.save(random_state(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)

    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    before = [draw(), draw()]
    restore_random_state(saved)
    assert [draw(), draw()] == before


def test_a_link_is_replaced_whole(policy: Policy, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, policy, {}, keep=2, score=0.1)
    save_checkpoint(tmp_path, 2, policy, {}, keep=2, score=0.2)
    assert os.readlink(tmp_path / "best") == "step-000002"
