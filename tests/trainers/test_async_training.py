"""Playing ahead of the learner: without staleness it is the plain loop, to the bit."""

from pathlib import Path
from typing import Any

import torch
from short_runs import short_config, train_only

from agentgym_trainers.config import RunConfig
from agentgym_trainers.policy import load_policy
from agentgym_trainers.rollouts import Round
from agentgym_trainers.run_folder import RunFolder
from agentgym_trainers.session import open_session
from agentgym_trainers.task_cursor import TaskCursor
from agentgym_trainers.trainer import make_trainer


async def plain_loop(config: RunConfig) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Collect, update, sync, with nothing around it: what each update said, and the weights."""
    assert config.run_dir is not None
    policy, told = load_policy(config.model), []
    async with open_session(config, policy) as session:
        folder = RunFolder(config.run_dir, config, resume=False)
        trainer = await make_trainer(config, session, folder)
        collector = await session.collector("train", temperature=config.rollout.temperature)
        cursor = TaskCursor(await session.tasks("train"), seed=config.seed)
        for step in range(config.train.steps):
            tasks = cursor.take(config.train.groups)
            groups = await collector.collect(tasks, config.train.group_size, name=f"train{step}")
            trainer.step = step
            _, metrics = trainer.update(groups)
            told.append(metrics)
            trainer.step = step + 1
            await trainer.publish()
        folder.close()
    return told, policy.model.state_dict()


async def test_without_staleness_it_is_the_plain_loop_to_the_bit(
    warm_policy_folder: Path, tmp_path: Path
) -> None:
    def config(name: str) -> RunConfig:
        return short_config(warm_policy_folder, tmp_path / name, "train.minibatches=2")

    told, weights = await plain_loop(config("plain"))
    trainer, lines = await train_only(config("trainer"))
    for metrics, line in zip(told, lines, strict=True):
        assert metrics["learner/grad_norm"] > 0
        assert {name: line[name] for name in metrics} == metrics
    ours = trainer.session.policy.model.state_dict()
    assert all(torch.equal(ours[name], weights[name]) for name in weights)
    assert all(line["staleness/max"] == 0 for line in lines)


async def test_with_staleness_no_token_is_older_and_every_copy_has_an_end(
    warm_policy_folder: Path, tmp_path: Path
) -> None:
    overrides = ["train.staleness=2", "train.steps=5", "train.algorithm.decoupled=true"]
    config = short_config(
        warm_policy_folder, tmp_path / "run", *overrides, "train.algorithm.importance=token"
    )
    trainer, lines = await train_only(config)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert 0 < max(line["staleness/max"] for line in lines) <= 2
    ledger = trainer.rollouts.ledger
    assert ledger.unsettled() == []
    assert sum(ledger.counts().values()) == 5 * 3 * 4
    assert ledger.counts()["trained"] > 0


async def test_a_round_without_any_group_is_learned_from_all_the_same(
    warm_policy_folder: Path, tmp_path: Path
) -> None:
    config = short_config(warm_policy_folder, tmp_path / "run")
    policy = load_policy(config.model)
    async with open_session(config, policy) as session:
        folder = RunFolder(tmp_path / "run", config, resume=False)
        trainer = await make_trainer(config, session, folder)
        metrics = await trainer.learn(Round((), (), ()))
        folder.close()
    assert trainer.step == 1
    assert metrics["learner/optimizer_steps"] == 0
    assert metrics["groups/trained"] == 0
