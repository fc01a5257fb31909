"""Weights from memory to memory: groups over real sockets, and what goes wrong in them."""

import asyncio
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from env_servers import until
from small_models import small_policy
from token_server import TokenServer, token_server

from agentgym import EnvError, Sampling, UsageError
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.engines.vllm.engine import VllmEngine
from agentgym_trainers.engines.vllm.inside.agentgym_vllm_worker import (
    Group,
    Place,
    TakesWeights,
    address_towards,
    find,
    listen,
    plan_of,
)
from agentgym_trainers.engines.vllm.synced_weights import SyncedWeights
from agentgym_trainers.policy import load_policy

SETTINGS = EngineSettings(concurrency=8, context_tokens=512)
TENSORS = {
    "matrix": torch.randn(7, 5),
    "half": torch.randn(3, 3).to(torch.bfloat16),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "odd": torch.arange(5, dtype=torch.int8),
    "empty": torch.zeros(0, 4),
    "large": torch.randn(100, 10),
}


def place(rank: int, size: int, join_s: float = 5.0) -> Place:
    return Place(rank, size, "gloo", "127.0.0.1", torch.device("cpu"), join_s, 5.0)


async def opened(size: int = 2) -> list[Group]:
    store = listen("127.0.0.1", 5)
    stores = [store, *(find("127.0.0.1", store.port, 5) for _ in range(size - 1))]
    return await asyncio.gather(
        *(asyncio.to_thread(Group, one, place(n, size)) for n, one in enumerate(stores))
    )


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and torch.equal(one[name], other[name])
        for name in one
    )


@pytest.mark.parametrize("bucket_bytes", [1, 200, 1 << 20])
async def test_all_ranks_receive_what_was_sent(bucket_bytes: int) -> None:
    plan = plan_of(TENSORS, bucket_bytes)
    assert [name for bucket in plan for name, *_ in bucket] == list(TENSORS)
    assert all(len(bucket) == 1 for bucket in plan) == (bucket_bytes == 1)
    learner, *workers = await opened(3)
    sent = asyncio.create_task(asyncio.to_thread(learner.send, plan, TENSORS))
    found = await asyncio.gather(*(asyncio.to_thread(one.receive, plan) for one in workers))
    await sent
    assert all(same(one, TENSORS) for one in found)


async def test_a_worker_that_is_gone_ends_the_broadcast() -> None:
    learner, worker = await opened()
    del worker
    with pytest.raises(RuntimeError, match=r"[Cc]onnection|Read error"):
        await asyncio.to_thread(learner.send, plan_of(TENSORS), TENSORS)


async def test_who_does_not_come_is_not_waited_for_longer_than_the_time() -> None:
    store = listen("127.0.0.1", 1)
    began = time.monotonic()
    with pytest.raises(RuntimeError):
        await asyncio.to_thread(Group, store, place(0, 2, join_s=1))
    assert time.monotonic() - began < 30


async def test_a_closed_group_sends_no_more() -> None:
    learner, _worker = await opened()
    learner.close()
    with pytest.raises(RuntimeError, match="closed"):
        learner.send(plan_of(TENSORS), TENSORS)


class Model:
    """The part of vLLM's model runner that a worker's extension uses."""

    def __init__(self) -> None:
        self.loaded: dict[str, torch.Tensor] = {}

    def reload_weights(self, weights_iterator: Iterator[tuple[str, torch.Tensor]]) -> None:
        for name, tensor in weights_iterator:
            self.loaded[name] = tensor

    def get_model(self) -> object:
        return object()


async def joined_worker() -> tuple[Group, TakesWeights]:
    """A learner, and the worker that has joined it."""
    worker = TakesWeights()
    worker.rank, worker.device, worker.model_runner = 0, torch.device("cpu"), Model()
    store = listen("127.0.0.1", 5)
    here = ("127.0.0.1", store.port, 2, "gloo", 5.0, 5.0)
    learner, said = await asyncio.gather(
        asyncio.to_thread(Group, store, place(0, 2)),
        asyncio.to_thread(worker.agentgym_join, "group", *here),
    )
    assert (said, worker.agentgym_group()) == ("", "group")
    return learner, worker


async def test_a_worker_loads_what_it_was_sent() -> None:
    learner, worker = await joined_worker()
    plan = plan_of(TENSORS, 200)
    sent = asyncio.create_task(asyncio.to_thread(learner.send, plan, TENSORS))
    assert await asyncio.to_thread(worker.agentgym_receive, plan) == ""
    await sent
    assert same(worker.model_runner.loaded, TENSORS)


async def test_a_broadcast_that_breaks_off_leaves_the_workers_weights_alone() -> None:
    learner, worker = await joined_worker()
    plan = plan_of(TENSORS, 200)
    assert len(plan) > 2
    receiving = asyncio.create_task(asyncio.to_thread(worker.agentgym_receive, plan))
    await asyncio.to_thread(learner.send, plan[:2], TENSORS)
    del learner
    assert "RuntimeError" in await receiving
    assert not worker.model_runner.loaded
    assert worker.agentgym_group() == ""
    assert "agentgym_join comes first" in worker.agentgym_receive(plan)


def test_a_worker_that_finds_no_learner_says_so() -> None:
    worker = TakesWeights()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "Error" in worker.agentgym_join("g", "127.0.0.1", port, 2, "gloo", 1.0, 1.0)
    assert worker.agentgym_group() == ""


def test_the_address_towards_a_machine() -> None:
    assert address_towards("127.0.0.1") == "127.0.0.1"


def test_only_the_first_version_is_written_and_later_ones_are_copies(tmp_path: Path) -> None:
    policy = small_policy()
    synced = SyncedWeights(policy, tmp_path / "engine", in_memory=True)
    first, second = synced.take(policy.model, 0), synced.take(policy.model, 1)
    assert (first.folder, first.label) != (second.folder, second.label)
    assert len(list((tmp_path / "engine").glob("weights-*"))) == 1
    assert same(first.in_memory(), second.in_memory())
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.mul_(1.5)
    assert same(first.in_memory(), second.in_memory())
    assert not same(first.in_memory(), synced.take(policy.model, 2).in_memory())


class Unwilling(TokenServer):
    """Joins no group."""

    async def _work(self, method: str, args: list[Any]) -> str:
        if method == "agentgym_join":
            await asyncio.sleep(60)
        return await super()._work(method, args)


async def test_nccl_needs_a_gpu(policy_folder: Path) -> None:
    with pytest.raises(UsageError, match="backend=nccl needs the learner on a GPU, not cpu"):
        await VllmEngine.start(
            load_policy(str(policy_folder), device="cpu"),
            SETTINGS,
            urls=["http://127.0.0.1:9"],
            sync="broadcast",
            backend="nccl",
        )


async def test_a_server_that_joins_no_group_is_named(policy_folder: Path) -> None:
    server = Unwilling(str(policy_folder))
    await server.start()
    try:
        with pytest.raises(EnvError, match=rf"engine_failed: .*{server.url} took no broadcast: "):
            await VllmEngine.start(
                load_policy(str(policy_folder)),
                SETTINGS,
                urls=[server.url],
                sync="broadcast",
                health_s=5.0,
            )
    finally:
        await server.kill()


async def test_one_group_serves_many_updates_and_each_server_has_its_own(
    policy_folder: Path,
) -> None:
    model = str(policy_folder)
    policy = load_policy(model)
    async with token_server(model) as one, token_server(model) as two:
        engine = await VllmEngine.start(policy, SETTINGS, urls=[one.url, two.url], sync="broadcast")
        try:
            for version in (1, 2, 3):
                await engine.pause(timeout_s=60)
                await engine.update_weights(policy.model, version, timeout_s=60)
                await engine.resume()
            assert (one.joins, two.joins) == (1, 1)
            assert (one.broadcasts, two.broadcasts) == (4, 4)  # with those of the start
            await two.kill()
            await engine.pause(timeout_s=60)
            await engine.update_weights(policy.model, 4, timeout_s=60)
            await engine.resume()
            said = await engine.generate(
                [5, 6, 7], Sampling(max_tokens=4), request_id="a", timeout_s=60
            )
            assert set(said.token_versions) == {4}
            await two.start()
            await until(lambda: two.broadcasts == 5, 60)
            assert two.joins == 2
        finally:
            await engine.aclose()
