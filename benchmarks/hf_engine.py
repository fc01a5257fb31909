"""The ``hf`` engine against ``transformers.generate`` and vLLM: multi-turn episodes, plain batches.

    python benchmarks/hf_engine.py [--quick]

All compute with the same model, in one process with one thread, in turn; medians of tokens per
second of wall time, and of processor time, since a shared machine drifts. vLLM, compiled and with
its prefix cache, is measured where ``make test-vllm`` has installed it.

*Multi-turn*: 64 episodes of four turns in groups of eight with the embedded policy. All prompts
begin alike, those of a group are the same, and an observation of 30 tokens follows each turn. A
turn has 32 tokens, or from 8 to 56. The engine keeps the keys of a conversation; ``generate`` takes
the whole batch, padded on the left, computes all of every prompt at every turn, and ends with the
longest turn. Only an episode's own tokens count.

*Plain*: 64 prompt tokens and 128 sampled ones, for a model of 4 layers and 256 wide, which is the
work that figures of other engines are usually given for.

Ratios are tokens per second of wall time. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentgym import Sampling
from agentgym_trainers.commands.arguments import quiet_libraries
from agentgym_trainers.engines.hf import HFEngine
from agentgym_trainers.policy import load_policy

HERE = Path(__file__).parent
OBSERVATION = 30
GROUP = 8
FIRST_ID = 5


@dataclass(frozen=True, slots=True)
class Talk:
    """An episode: its prompt, how many tokens each turn samples, and what follows each."""

    prompt: tuple[int, ...]
    sampled: tuple[int, ...]
    observations: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of wall and of processor time."""

    wall_s: float
    cpu_s: float


Contestant = Callable[[Sequence[Talk]], None]


def some_talks(count: int, turns: int, shortest: int, longest: int, vocabulary: int) -> list[Talk]:
    """Episodes in groups, whose turns are from ``shortest`` to ``longest`` tokens long."""
    random = np.random.default_rng(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(random.integers(FIRST_ID, vocabulary, length).tolist())

    system, talks = ids(100), []
    for number in range(count):
        if number % GROUP == 0:
            prompt = system + ids(40)
        sampled = tuple(random.integers(shortest, longest + 1, turns).tolist())
        talks.append(Talk(prompt, sampled, tuple(ids(OBSERVATION) for _ in range(turns))))
    return talks


def with_engine(model: Any) -> Contestant:
    """Every episode goes on by itself; each time with a new engine, which has nothing cached."""

    async def play(engine: HFEngine, talk: Talk, name: str) -> None:
        ids = list(talk.prompt)
        for turn, (count, after) in enumerate(zip(talk.sampled, talk.observations, strict=True)):
            answer = await engine.generate(
                ids, Sampling(max_tokens=count, seed=turn), request_id=name, timeout_s=600
            )
            assert len(answer.token_ids) == count
            ids += [*answer.token_ids, *after]
        await engine.release(name)

    async def play_all(talks: Sequence[Talk]) -> None:
        engine = HFEngine(model)
        await asyncio.gather(*(play(engine, talk, str(n)) for n, talk in enumerate(talks)))
        await engine.aclose()

    return lambda talks: asyncio.run(play_all(talks))


def with_generate(model: Any) -> Contestant:
    """The whole batch, turn by turn."""

    @torch.inference_mode()
    def play_all(talks: Sequence[Talk]) -> None:
        so_far = [list(talk.prompt) for talk in talks]
        for turn in range(len(talks[0].sampled)):
            width, most = max(map(len, so_far)), max(talk.sampled[turn] for talk in talks)
            ids_BT = torch.tensor([[0] * (width - len(one)) + one for one in so_far])
            mask_BT = torch.tensor(
                [[0] * (width - len(one)) + [1] * len(one) for one in so_far], dtype=torch.long
            )
            found_BT = model.generate(
                input_ids=ids_BT, attention_mask=mask_BT, do_sample=True, temperature=1.0, top_k=0,
                top_p=1.0, max_new_tokens=most, min_new_tokens=most, pad_token_id=0,
            )  # fmt: skip
            new_BN = found_BT[:, width:].tolist()
            for ids, talk, new in zip(so_far, talks, new_BN, strict=True):
                ids += [*new[: talk.sampled[turn]], *talk.observations[turn]]

    return play_all


def in_turn(
    contestants: Mapping[str, Contestant], talks: Sequence[Talk], repeats: int
) -> dict[str, Took]:
    """Medians of each contestant; the first time is a warm-up and not counted."""
    took: dict[str, list[Took]] = {name: [] for name in contestants}
    for _ in range(repeats + 1):
        for name, contestant in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            contestant(talks)
            took[name].append(Took(time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: Took(
            statistics.median(one.wall_s for one in times[1:]),
            statistics.median(one.cpu_s for one in times[1:]),
        )
        for name, times in took.items()
    }


def with_vllm(model: Any, talks: Sequence[Talk], repeats: int) -> list[float]:
    """Seconds of each repeat, in a process of its own; none where vLLM is not installed."""
    python = HERE.parent / ".vllm/bin/python"
    if not python.exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        done = subprocess.run(
            [python, HERE / "hf_engine_peer.py", folder, str(repeats)],
            input=json.dumps([astuple(talk) for talk in talks]),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-2_000:])
    seconds: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds


def compare(
    table: Table, work: str, model: Any, talks: Sequence[Talk], repeats: int
) -> dict[str, float]:
    """Rows of the table; returns the ratios."""
    contestants = {"hf engine": with_engine(model), "generate": with_generate(model)}
    took = in_turn(contestants, talks, repeats)
    ours = took["hf engine"].wall_s
    if seconds := with_vllm(model, talks, repeats):
        took["vLLM"] = Took(statistics.median(seconds), math.nan)
    tokens = sum(sum(talk.sampled) for talk in talks)
    for name, one in took.items():
        speeds = f"{tokens / one.wall_s:.0f}", f"{tokens / one.cpu_s:.0f}"
        table.add_row(work, name, *speeds, f"{one.wall_s / ours:.2f}x")
    others = ("generate", "vLLM")
    return {f"{work}: of {name}": took[name].wall_s / ours for name in others if name in took}


def plain_model() -> Any:
    """The model of the plain batches, with random weights."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=4096, hidden_size=256, intermediate_size=768, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, max_position_embeddings=4096,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="16 episodes, one repeat")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quiet_libraries()
    console, quick = Console(width=110), arguments.quick
    load = os.getloadavg()[0]
    repeats, count = (1, 16) if quick else (3, 64)
    table = Table("work", "by", "tokens/s", "tokens/CPU s", "hf engine is")
    policy = load_policy("search-tiny").model
    ratios: dict[str, float] = {}
    for work, shortest, longest in (("turns of 32", 32, 32), ("turns of 8 to 56", 8, 56)):
        talks = some_talks(count, 4, shortest, longest, policy.config.vocab_size)
        ratios |= compare(table, f"{count} episodes, {work}", policy, talks, repeats)
    model = plain_model()
    for at_once in (8,) if quick else (1, 8, 64):
        random = np.random.default_rng(0)
        prompts = random.integers(FIRST_ID, 4096, (at_once, 64)).tolist()
        talks = [Talk(tuple(one), (128,), ((),)) for one in prompts]
        ratios |= compare(table, f"plain, {at_once} at once", model, talks, repeats)
    console.print(table)
    console.print(f"load average of the machine: {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
