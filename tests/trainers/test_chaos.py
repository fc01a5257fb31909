"""Five hundred episodes while everything fails: each ends as it should, and the rest as ever."""

import asyncio
import os
from collections import defaultdict
from pathlib import Path

import chaos
import gymnasium as gym
import pytest
import torch
from chaos import ChaosEngine, ChaosEnv, failing_tries, fault_of
from env_servers import hosting, until

from agentgym import Episode
from agentgym.episode_io import read_episodes
from agentgym_trainers.algorithms import Algorithm
from agentgym_trainers.batch import make_batch
from agentgym_trainers.config import load_config
from agentgym_trainers.experience import gather
from agentgym_trainers.ledger import CopyState, Ledger
from agentgym_trainers.policy import load_policy
from agentgym_trainers.run_folder import RunFolder, read_metrics
from agentgym_trainers.session import Session
from agentgym_trainers.timeline import Timeline
from agentgym_trainers.trainer import make_trainer

STEPS, GROUPS, SIZE = 5, 10, 10
COPIES = [f"train{s}.{g}.{m}" for s in range(STEPS) for g in range(GROUPS) for m in range(SIZE)]


async def train(policy_folder: Path, run: Path, url: str, *, faults: bool) -> Ledger:
    """A whole run against a server; its ledger."""
    config = load_config(
        None,
        [
            f"model={policy_folder}",
            f"run_dir={run}",
            "env.id=agentgym/Remote-v0",
            f"env.kwargs={{url: '{url}'}}",
            f"train.steps={STEPS}",
            f"train.groups={GROUPS}",
            f"train.group_size={SIZE}",
            "train.staleness=1",
            "train.trace=true",
            "rollout.concurrency=40",
            "eval.every=0",
            "checkpoint.every=2",
        ],
    )
    policy = load_policy(config.model)
    engine = ChaosEngine(policy.tokenizer, faults=faults)
    session = Session(config, policy, engine, Timeline(keep=1000), {})
    folder = RunFolder(run, config, resume=False)
    try:
        trainer = await make_trainer(config, session, folder)
        await trainer.train(lambda step, metrics: None, lambda: False)
        return trainer.rollouts.ledger
    finally:
        folder.close()
        for split in ("train",):
            await session.pool(split).aclose()


def episodes_of(run: Path) -> dict[str, Episode]:
    """Those that were trained on, by copy."""
    files = sorted((run / "episodes").glob("*.jsonl.zst"))
    found = [one for file in files for one in read_episodes(file)]
    by_copy = {one.id.rpartition(".")[0]: one for one in found}
    assert len(by_copy) == len(found)
    return by_copy


def advantages(episodes: list[Episode]) -> dict[str, torch.Tensor]:
    """Of one group: what each episode's tokens are worth."""
    batch = make_batch(gather([episodes], token_limit=4096), Algorithm())[0]
    worth = {}
    for row, number in enumerate(batch.rows.episode_S.tolist()):
        copy = batch.episodes[number].id.rpartition(".")[0]
        worth[copy] = batch.advantages_ST[row][batch.rows.mask_ST[row]]
    return worth


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> str:
    return "".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))


@pytest.mark.slow
async def test_whatever_fails_the_others_are_trained_on_as_if_nothing_had(
    policy_folder: Path, tmp_path: Path
) -> None:
    if "test/Chaos-v0" not in gym.registry:
        gym.register("test/Chaos-v0", entry_point="chaos:ChaosEnv")
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    with hosting("test/Chaos-v0", max_sessions=200) as hosted:
        async with chaos.bad_line(hosted.url) as url:
            await train(policy_folder, calm, url, faults=False)
            await until(lambda: len(asyncio.all_tasks()) == 1 and not len(hosted.sessions), 30)
            before = open_files(), children()
            ledger = await train(policy_folder, wild, url, faults=True)
            await until(lambda: len(asyncio.all_tasks()) == 1 and not len(hosted.sessions), 30)
            await until(lambda: open_files() <= before[0], 30)
            assert children() == before[1]
    assert ChaosEnv.living == set()

    hopeless = {copy for copy in COPIES if failing_tries(copy) > 3}
    failed = {
        copy
        for number in range(ledger.groups)
        for member, state in enumerate(ledger.states(number))
        if state is CopyState.FAILED
        for copy in [f"train{number // GROUPS}.{number % GROUPS}.{member}"]
    }
    assert failed == hopeless
    assert ledger.unsettled() == []
    assert sum(ledger.counts().values()) == len(COPIES)

    with_faults, without = episodes_of(wild), episodes_of(calm)
    assert set(without) == set(COPIES)
    assert set(with_faults) == set(COPIES) - hopeless
    for copy, episode in with_faults.items():
        assert (episode.ending, episode.rewards) == (without[copy].ending, without[copy].rewards)
        assert [turn.action for turn in episode.turns] == [t.action for t in without[copy].turns]
    groups = defaultdict(list)
    for copy in with_faults:
        groups[copy.rpartition(".")[0]].append(copy)
    for copies in groups.values():
        survivors = advantages([with_faults[copy] for copy in copies])
        expected = advantages([without[copy] for copy in copies])
        assert survivors.keys() == expected.keys()
        assert all(torch.equal(survivors[copy], expected[copy]) for copy in survivors)

    lines = read_metrics(wild)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert max(line["staleness/max"] for line in lines) <= 1
    scheduled = {fault_of(copy) for copy in COPIES if failing_tries(copy)}
    assert scheduled == set(chaos.FAULTS)
    tries = sum(min(failing_tries(copy), 3) for copy in COPIES)
    assert sum(line["env_errors"] for line in lines) >= tries  # a busy machine may add time-outs
    kinds = {name for line in lines for name in line if name.startswith("env_error/")}
    told = {
        "engine_failed",
        "engine_aborted",
        "server_died",
        "sandbox_died",
        "env_timeout",
        "remote_lost",
    }
    assert {f"env_error/{kind}" for kind in told} <= kinds
