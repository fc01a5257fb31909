"""A training run whose episodes vLLM generates; and one on servers that sample as hf does."""

import asyncio
import importlib.util
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from process_tree import commands_below
from short_runs import short_config, warm_policy
from small_models import small_policy
from token_server import token_server

from agentgym_trainers.engines.vllm.engine import VllmEngine
from agentgym_trainers.policy import load_policy
from agentgym_trainers.run_folder import RunFolder, read_metrics
from agentgym_trainers.session import open_session
from agentgym_trainers.trainer import Trainer, make_trainer

MISSING = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed here; make test-vllm has it in an environment of its own",
)
STEPS = 10
KILLED_AFTER = 4
REAL = (
    "engine.options.servers=2",
    "engine.options.sync=broadcast",
    "engine.options.engine_args={enforce_eager: true, distributed_executor_backend: uni}",
    "engine.options.start_s=1500",
    "engine.options.health_s=120",
    "engine.update_s=600",
    "rollout.generate_s=1500",
    "rollout.episode_s=3000",
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of a shape that vLLM's attention on the CPU takes."""
    random, warm = tmp_path_factory.mktemp("random"), tmp_path_factory.mktemp("warm")
    made = small_policy(head_dim=32)
    made.model.save_pretrained(random)
    made.tokenizer.save_pretrained(random)
    return asyncio.run(warm_policy(random, warm))


def one_server() -> int:
    """The process of one of the servers that this one started."""
    return next(
        pid
        for pid, command in commands_below(os.getpid()).items()
        if "api_server" in command and "keeper" not in command
    )


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "kind",
    ["token servers", pytest.param("servers", marks=[pytest.mark.vllm, MISSING])],
)
async def test_ten_steps_go_on_when_a_server_is_killed(
    kind: str, policy: Path, tmp_path: Path
) -> None:
    """``learner/mismatch`` would show stale weights: two steps apart they differ far more."""
    async with AsyncExitStack() as stack:
        options: tuple[str, ...] = REAL
        servers = []
        if kind == "token servers":
            servers = [await stack.enter_async_context(token_server(str(policy))) for _ in "ab"]
            options = (f"engine.options.urls=[{', '.join(one.url for one in servers)}]",)
        config = short_config(
            policy,
            tmp_path / "run",
            "engine.name=vllm",
            f"train.steps={STEPS}",
            "train.optimizer.learning_rate=0.0003",
            "rollout.temperature=1.5",
            "checkpoint.every=0",
            *options,
        )
        assert config.run_dir is not None
        session = await stack.enter_async_context(open_session(config, load_policy(config.model)))
        folder = RunFolder(config.run_dir, config, resume=False)
        stack.callback(folder.close)
        trainer = await make_trainer(config, session, folder)
        killed = []

        def report(step: int, metrics: Mapping[str, float]) -> None:
            if step != KILLED_AFTER:
                return
            if servers:
                killed.append(asyncio.create_task(servers[0].kill()))
            else:
                os.kill(one_server(), signal.SIGKILL)

        await trainer.train(report, lambda: False)
        for server in servers[:1]:
            await asyncio.gather(*killed)
            await server.start()
        engine = session.engine
        assert isinstance(engine, VllmEngine)
        assert engine.version == STEPS
    lines = read_metrics(config.run_dir)
    assert len(lines) == STEPS
    learned = {line["step"]: line for line in lines if "learner/mismatch" in line}
    assert len(learned) >= STEPS // 2  # a round of equal returns teaches nothing
    assert max(learned) > KILLED_AFTER + 1
    assert max(line["learner/mismatch"] for line in learned.values()) < 1e-3
    assert lines[-1]["env_errors"] == 0
    before = load_policy(config.model).model.get_output_embeddings().weight
    after = session.policy.model.get_output_embeddings().weight
    assert (after - before).abs().max() > 1e-3
    assert not (config.run_dir / "engine").exists()


async def test_servers_that_sleep_do_so_while_the_learner_works(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep: list[bool] = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(token_server(str(policy)))
        options = f"engine.options={{urls: [{server.url}], sleep: true}}"
        config = short_config(
            policy, tmp_path / "run", "engine.name=vllm", "train.steps=2", options
        )
        session = await stack.enter_async_context(open_session(config, load_policy(config.model)))
        assert config.run_dir is not None
        folder = RunFolder(config.run_dir, config, resume=False)
        stack.callback(folder.close)
        trainer = await make_trainer(config, session, folder)
        update = Trainer.update

        def watched(learning: Trainer, groups: Any) -> Any:
            asleep.append(server.asleep)
            return update(learning, groups)

        monkeypatch.setattr(Trainer, "update", watched)
        await trainer.train(lambda *_: None, lambda: False)
        assert not server.asleep
    assert asleep == [True, True]
