"""Ray workers play what this process would; one that dies costs time, and nothing else."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from installed_plugins import register
from short_runs import short_config, train_as_command

from agentgym import EnvError, Episode, Task, UsageError
from agentgym_trainers.collector import Group, PlaysGroups
from agentgym_trainers.config import RunConfig
from agentgym_trainers.distributed.env_worker import EnvWorkers, Recipe, RemoteEnvPool
from agentgym_trainers.distributed.ray_cluster import WorkerLost, answer, ray_running
from agentgym_trainers.distributed.ray_rollouts import RayRollouts
from agentgym_trainers.distributed.rollout_worker import PlaySettings
from agentgym_trainers.env_pool import EnvPool
from agentgym_trainers.policy import load_policy
from agentgym_trainers.session import Session, open_session

TESTS = Path(__file__).parent.parent
SAMPLED = PlaySettings("train", 1.0, False)


@pytest.fixture(scope="module", autouse=True)
def _ray_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests, whose processes know the test environments."""
    site = tmp_path_factory.mktemp("site")
    register(site, "agentgym-tests", "test/Even-v0 = counting_env:EvenEnv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{site}:{TESTS}")
        patch.setenv("OMP_NUM_THREADS", "1")
        with ray_running(cpus=6):
            yield


@pytest.fixture(scope="module")
def config(warm_policy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    run = tmp_path_factory.mktemp("run")
    return short_config(warm_policy_folder, run, "cluster.workers=2", "dtype=float64")


@pytest.fixture(scope="module")
def rollouts(config: RunConfig) -> Iterator[RayRollouts]:
    """Two workers."""
    made = RayRollouts(config, load_policy(config.model, dtype="float64").model)
    yield made
    made.close()


@pytest.fixture
async def here(config: RunConfig) -> AsyncIterator[Session]:
    """The same in this process."""
    alone = config.model_copy(update={"cluster": type(config.cluster)()})
    async with open_session(alone, load_policy(config.model, dtype="float64")) as session:
        yield session


async def one_by_one(collector: PlaysGroups, tasks: list[Task], name: str) -> list[Group]:
    return [await collector.play(task, 3, f"{name}.{n}") for n, task in enumerate(tasks)]


def assert_same(one: Episode, two: Episode) -> None:
    assert (one.id, one.seed, one.task_key) == (two.id, two.seed, two.task_key)
    assert (one.ending, one.rewards) == (two.ending, two.rewards)
    for mine, theirs in zip(one.segments, two.segments, strict=True):
        assert np.array_equal(mine.token_ids, theirs.token_ids)
        assert np.allclose(mine.logprobs, theirs.logprobs, atol=1e-6)


def pid_in(text: str) -> int:
    found = re.search(r"pid (\d+)", text)
    assert found, text
    return int(found[1])


async def test_a_worker_that_is_killed_costs_no_group_and_none_is_there_twice(
    rollouts: RayRollouts, here: Session
) -> None:
    local = await here.collector("train", temperature=1.0)
    known = await here.tasks("train")
    tasks = [known[n] for n in range(8)]
    remote = rollouts.collector(SAMPLED)
    for mine, theirs in zip(
        await one_by_one(local, tasks[:2], "first"),
        await remote.collect(tasks[:2], 3, name="first"),
        strict=True,
    ):
        for one, two in zip(mine.episodes, theirs.episodes, strict=True):
            assert_same(one, two)

    await rollouts.update_weights(here.policy.model, 7)
    victim = rollouts.workers[0]
    assert victim.started is not None
    plays = [remote.play(task, 3, f"then.{n}") for n, task in enumerate(tasks)]
    played = []
    for done in asyncio.as_completed(plays):
        played.append(await done)
        if len(played) == 1:
            os.kill(pid_in(await victim.started), signal.SIGKILL)
    assert sorted(group.id for group in played) == [f"then.{n}" for n in range(8)]
    assert victim.replaced == 1
    assert re.match(r"rollout worker 0 \(\S+, pid \d+\) died: to play group then", rollouts.lost[0])
    by_id = {group.id: group for group in played}
    for mine in await one_by_one(local, tasks, "then"):
        for one, two in zip(mine.episodes, by_id[mine.id].episodes, strict=True):
            assert_same(one, two)
            assert {int(v) for s in two.segments for v in s.versions[s.mask]} == {7}


async def test_a_mistake_of_the_caller_is_not_played_again(
    rollouts: RayRollouts, here: Session
) -> None:
    task = (await here.tasks("train"))[0]
    lost = len(rollouts.lost)
    nowhere = rollouts.collector(PlaySettings("nowhere", 1.0, False))
    with pytest.raises(UsageError, match=r"rollout worker .*nowhere"):
        await nowhere.play(task, 2, "g")
    assert len(rollouts.lost) == lost


async def test_a_call_that_takes_too_long_names_worker_and_work() -> None:
    @ray.remote
    def forever() -> None:
        signal.pause()

    pending = forever.remote()
    with pytest.raises(WorkerLost, match=r"worker 3 \(vm\): no answer within 0.5 s: to play"):
        await answer(pending, "worker 3 (vm)", "to play", 0.5)
    ray.cancel(pending, force=True)


async def test_a_call_that_is_given_up_ends_at_the_worker() -> None:
    class Patient:
        def __init__(self) -> None:
            self.begun, self.ended = asyncio.Event(), asyncio.Event()

        async def forever(self) -> None:
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.set()

        async def until(self, what: str) -> bool:
            event: asyncio.Event = getattr(self, what)
            return await event.wait()

    actor: Any = ray.remote(Patient).remote()
    call = asyncio.create_task(answer(actor.forever.remote(), "worker", "to wait", 600))
    assert await answer(actor.until.remote("begun"), "worker", "to begin", 600)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await answer(actor.until.remote("ended"), "worker", "to end", 600)


async def test_an_environment_elsewhere_plays_the_same_and_its_death_masks_the_episode() -> None:
    recipe = Recipe("test/Even-v0", {}, "train")
    workers = EnvWorkers(1)
    pool = RemoteEnvPool(workers, recipe, size=2)
    near = EnvPool("test/Even-v0", {}, split="train", size=2)
    async with pool.env() as away, near.env() as env:
        task = (await env.tasks())[3]
        for _ in range(2):
            assert (await away.begin(seed=5, task=task)).messages == (
                await env.begin(seed=5, task=task)
            ).messages
            for text in ("ab", "abc"):
                mine, theirs = await env.advance(text), await away.advance(text)
                assert (mine.messages, mine.rewards, mine.ending, mine.info) == (
                    theirs.messages,
                    theirs.rewards,
                    theirs.ending,
                    theirs.info,
                )
            assert away.history.messages() == env.history.messages()
        await away.begin(seed=5, task=task)
        os.kill(pid_in(await workers.where(0)), signal.SIGKILL)
        with pytest.raises(EnvError, match="env_worker_lost: environment worker 0 died: to advan"):
            await away.advance("ab")
        await away.begin(seed=5, task=task)
        assert (await away.advance("ab")).rewards["success"] == 0.5
    workers.close()


@pytest.mark.slow
async def test_a_run_with_workers_is_the_run_of_one_process(
    warm_policy_folder: Path, tmp_path: Path
) -> None:
    def config(name: str, *overrides: str) -> RunConfig:
        return short_config(warm_policy_folder, tmp_path / name, "dtype=float64", *overrides)

    alone = await train_as_command(config("alone"))
    workers = await train_as_command(config("workers", "cluster.workers=2"))
    environments = await train_as_command(config("environments", "cluster.env_workers=1"))
    prefills = "rollout/prefill_tokens"  # another process has cached other beginnings
    for other in (workers, environments):
        for one, two in zip(alone, other, strict=True):
            assert two | {prefills: 0} == pytest.approx(one | {prefills: 0}, rel=1e-6, abs=1e-6)
