"""A whole step of multi-turn GRPO, rollouts and update, against TRL's GRPOTrainer.

    make bench-grpo-step    installs TRL in an environment of its own, then runs this
    python benchmarks/grpo_step.py [--quick] [--peers FOLDER] [--groups 16]

The work: episodes of up to four turns, of which each but the last may call a tool that answers at
once; groups of eight; a model of 4 layers and 256 wide that a warm start has taught the call's
form, so that nearly every episode has its four turns. Model, tokenizer, template, tool and number
of rollouts are the same. Each trainer runs in a process of its own with one thread; after a first
step, which warms up, they take turns. Medians of rollouts per second of processor time are
compared, since a shared machine drifts, and the processes' peaks of memory. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from agentgym import (
    Action,
    Ending,
    EpisodeLimits,
    Message,
    StepResult,
    Task,
    TaskSet,
    TextEnv,
    Tool,
    ToolSpec,
    tool,
)
from agentgym_trainers.commands.arguments import quiet_libraries
from agentgym_trainers.commands.sft import run as run_warm_start
from agentgym_trainers.config import load_config
from agentgym_trainers.policy import load_policy
from agentgym_trainers.run_folder import RunFolder
from agentgym_trainers.scratch import new_policy, new_tokenizer
from agentgym_trainers.session import open_session
from agentgym_trainers.trainer import make_trainer

HERE = Path(__file__).parent
ENV_ID = "bench/Count-v0"
TURNS = 4
GROUP = 8
TASKS = 256
MODEL = {
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "initializer_range": 0.06,
}
TEMPLATE = "lib/python*/site-packages/trl/chat_templates/qwen3.jinja"
"""Of the peer's environment: TRL calls tools with templates that it knows."""


def prompt_of(number: int) -> str:
    """The task that both are given."""
    return f"Task {number}: find the answer and count it"


def call_of(number: int) -> str:
    """A call of the tool."""
    call = json.dumps({"name": "count", "arguments": {"n": number}})
    return f"<tool_call>\n{call}\n</tool_call>"


class CountEnv(TextEnv):
    """Each call of ``count`` is rewarded; a message without one ends the episode."""

    default_limits: ClassVar[EpisodeLimits] = EpisodeLimits(turns=TURNS)
    reward_weights: ClassVar[Mapping[str, float]] = {"calls": 1.0}

    def load_tasks(self) -> TaskSet:
        """Numbered ones."""
        return TaskSet(Task.create(ENV_ID, prompt_of(n), {"n": n}) for n in range(TASKS))

    def toolset(self) -> Sequence[Tool]:
        """``count``."""

        @tool
        async def count(n: int) -> str:
            """Counts.

            Args:
                n: a number
            """
            return f"ok {n}"

        return [count]

    def tools(self) -> Sequence[ToolSpec]:
        """As transformers describes the peer's function, to the order of keys."""
        number = {"type": "integer", "description": "a number"}
        parameters = {"type": "object", "properties": {"n": number}, "required": ["n"]}
        return [ToolSpec("count", "Counts.", parameters)]

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        """The task alone."""
        return StepResult((Message("user", task.prompt),))

    async def astep(self, action: Action) -> StepResult:
        """Call, or end: what cannot be read as a call is none, as for the peer."""
        if not action.tool_calls or any(call.error for call in action.tool_calls):
            return StepResult(rewards={"calls": 0.0}, ending=Ending.SOLVED)
        result = await self.call_tools(action)
        odd = sum(map(ord, action.raw)) % 7 / 100  # so that a group's returns are not all the same
        return StepResult(result.messages, {"calls": 1 / 3 + odd})

    def oracle(self) -> str:
        """A call of some number."""
        assert self.task is not None
        return call_of((37 * int(self.task.data["n"]) + 11 * len(self.transcript)) % 100)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: seconds, and how many turns and sampled tokens it had."""

    seconds: float
    cpu_s: float
    turns: float
    tokens: float


def make_model(folder: Path, template: str, steps: int) -> Path:
    """A policy that knows how to call the tool."""
    texts = [f"{prompt_of(n)}\n{call_of(n % 100)}\nok {n}\n{template}" for n in range(TASKS)]
    tokenizer = new_tokenizer(texts, vocab_size=4096)
    tokenizer.chat_template = template
    policy = new_policy("qwen3", MODEL, tokenizer, seed=0, device=torch.device("cpu"))
    policy.model.save_pretrained(folder / "new")
    tokenizer.save_pretrained(folder / "new")
    config = load_config(
        None,
        [
            f"env.id={ENV_ID}",
            f"model={folder / 'new'}",
            f"run_dir={folder / 'warm'}",
            f"sft.steps={steps}",
            "sft.episodes=8",
            "sft.mistake_rate=0",
            "sft.optimizer.packed=true",
            "sft.optimizer.warmup_steps=10",
        ],
    )
    asyncio.run(run_warm_start(config))
    return folder / "warm" / "policy"


async def ours(model: Path, groups: int, folder: Path) -> None:
    """For each line on the standard input make a step, and print what it took."""
    config = load_config(
        None,
        [
            f"env.id={ENV_ID}",
            f"model={model}",
            f"run_dir={folder / 'run'}",
            f"rollout.concurrency={groups * GROUP}",
            "rollout.turn_tokens=512",
            "rollout.episode_tokens=512",
            "train.steps=100000",
            f"train.groups={groups}",
            f"train.group_size={GROUP}",
            "train.algorithm.drop_constant_groups=false",
            "train.optimizer.packed=true",
            "train.optimizer.learning_rate=1e-6",
            "eval.every=0",
            "checkpoint.every=0",
        ],
    )
    async with open_session(config, load_policy(config.model)) as session:
        await session.pool("train").prepare(groups * GROUP)
        trainer = await make_trainer(
            config, session, RunFolder(folder / "run", config, resume=False)
        )
        while await asyncio.to_thread(sys.stdin.readline):
            wall, cpu = time.perf_counter(), time.process_time()
            round_ = await trainer.rollouts.take()
            await trainer.learn(round_)
            await trainer.publish()
            trainer.rollouts.advance(trainer.step)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            played = [one for group in round_.groups for one in group.episodes]
            turns = statistics.mean(len(one.turns) for one in played)
            tokens = statistics.mean(one.sampled_tokens for one in played)
            print(json.dumps({"seconds": wall, "cpu_s": cpu, "turns": turns, "tokens": tokens}))
            sys.stdout.flush()
        await trainer.rollouts.aclose()
    print(json.dumps({"peak_mib": peak_mib()}), flush=True)


def peak_mib() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Contestant:
    """A process that makes a step for each line it is given, and says its peak at the end."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with its process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env={**environment, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.steps: list[Step] = []

    def step(self) -> None:
        """Have it make one."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.steps.append(Step(**self._answer()))

    def close(self) -> float:
        """Its peak of memory, MiB."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak = self._answer()["peak_mib"]
        self._process.wait(timeout=60)
        return float(peak)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(f"a contestant ended: {self._log.read()[-3000:]}")
        found: dict[str, Any] = json.loads(line)
        return found


def compare(console: Console, python: Path, groups: int, repeats: int, warm_steps: int) -> None:
    """A table, then ratios as JSON."""
    rollouts = groups * GROUP
    with tempfile.TemporaryDirectory() as scratch:
        (template,) = python.parent.parent.glob(TEMPLATE)
        model = make_model(Path(scratch), template.read_text(encoding="utf-8"), warm_steps)
        own = [sys.executable, __file__, "--ours", str(model), "--groups", str(groups)]
        peer = [str(python), str(HERE / "grpo_step_peer.py"), str(model), str(groups), str(GROUP)]
        contestants = {"agentgym": Contestant(own), "TRL": Contestant(peer)}
        for _ in range(repeats + 1):
            for contestant in contestants.values():
                contestant.step()
        peaks = {name: one.close() for name, one in contestants.items()}
    columns = ("trainer", "s a step", "CPU s", "rollouts/CPU s", "turns", "tokens", "peak MiB")
    table = Table(*columns, title=f"{rollouts} rollouts of up to {TURNS} turns a step")
    cpu_s = {}
    for name, one in contestants.items():
        steps = one.steps[1:]
        cpu_s[name] = statistics.median(step.cpu_s for step in steps)
        table.add_row(
            name,
            f"{statistics.median(step.seconds for step in steps):.1f}",
            f"{cpu_s[name]:.1f}",
            f"{rollouts / cpu_s[name]:.2f}",
            f"{statistics.mean(step.turns for step in steps):.2f}",
            f"{statistics.mean(step.tokens for step in steps):.0f}",
            f"{peaks[name]:.0f}",
        )
    console.print(table)
    ratios = {
        "rollouts per second against TRL": cpu_s["TRL"] / cpu_s["agentgym"],
        "peak memory against TRL": peaks["agentgym"] / peaks["TRL"],
    }
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="32 rollouts, one step")
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".bench", help="environments")
    parser.add_argument("--groups", type=int, default=16, help="of eight rollouts each")
    parser.add_argument("--repeats", type=int, default=3, help="steps that count")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quiet_libraries()
    gymnasium.register(ENV_ID, entry_point=lambda **options: CountEnv(**options))
    if arguments.ours:
        with tempfile.TemporaryDirectory() as scratch:
            asyncio.run(ours(arguments.ours, arguments.groups, Path(scratch)))
        return
    python = arguments.peers / "trl" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"no TRL in {arguments.peers}: make bench-grpo-step installs it")
    console, load = Console(width=110), os.getloadavg()[0]
    groups, repeats = (4, 1) if arguments.quick else (arguments.groups, arguments.repeats)
    console.print(f"load average of the machine before: {load:.1f}")
    compare(console, python, groups, repeats, warm_steps=140)


if __name__ == "__main__":
    main()
