"""What several processes cost on one machine: a sharded learner, weights on their way, Ray's calls.

    python benchmarks/scale.py [--quick]

The learner: one process against two of torchrun (gloo, loopback), one thread each, same rows, in
turn; medians. The best ratio is 2; what is missing is communication, and, by the clock, other work
on the machine, which the ratio of CPU times does not see. Weights: from the learner's shards to a
whole model, and from there through Ray's object store into another process. Calls: one actor, one
after the other and a hundred at once. The last line is one JSON object of ratios and, in
milliseconds, of times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import ray
import torch
from rich.console import Console
from rich.table import Table
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentgym_trainers.distributed.ranks import Ranks, Waits, joined_ranks
from agentgym_trainers.distributed.ray_cluster import ray_running
from agentgym_trainers.distributed.rollout_worker import trained_arrays
from agentgym_trainers.distributed.sharded_learner import ShardedLearner
from agentgym_trainers.distributed.sharding import whole
from agentgym_trainers.forward import TokenScores
from agentgym_trainers.learner import BatchLoss, Learner, OptimizerSettings
from agentgym_trainers.rows import Rows

SETTINGS = OptimizerSettings(learning_rate=1e-6)
SIZES = {"1.2 M": (128, 4), "8.4 M": (256, 8)}
"""Width and layers, by parameters."""


class LikelihoodLoss:
    """Mean negative log-likelihood of the sampled tokens."""

    def __init__(self, rows: Rows) -> None:
        self._denom = float(rows.sampled_tokens)

    def __call__(self, scores: TokenScores, rows: Rows, numbers: torch.Tensor) -> BatchLoss:
        return BatchLoss(-scores.logp_BT.sum() / self._denom, {})


_QUICK = 3


def sizes(times: int) -> list[tuple[str, tuple[int, int]]]:
    """Those to measure: the smallest alone, if it is to be quick."""
    return list(SIZES.items())[: 1 if times == _QUICK else None]


def some_rows(count: int, length: int) -> Rows:
    generator = torch.Generator().manual_seed(0)
    shape = (count, length)
    mask_ST = torch.rand(shape, generator=generator) < 0.5
    return Rows(
        token_ids_ST=torch.randint(0, 2048, shape, generator=generator),
        mask_ST=mask_ST,
        turn_id_ST=torch.where(mask_ST, 0, -1),
        behaviour_logp_ST=torch.zeros(shape),
        length_S=torch.full((count,), length),
        episode_S=torch.arange(count),
    )


def some_model(width: int, layers: int) -> Any:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=2048,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 64,
        head_dim=32,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config).eval()


def median_s(work: Callable[[], Any], times: int) -> float:
    return statistics.median(timed(work).wall_s for _ in range(times))


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock, and of this process's CPU time."""

    wall_s: float
    cpu_s: float


def timed(work: Callable[[], Any]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def learn(ranks: Ranks, times: int) -> dict[str, dict[str, float]]:
    """By parameters: seconds of a step by one process, by all, and of gathering the weights."""
    rows = some_rows(16, 128)
    results: dict[str, dict[str, float]] = {}
    for name, (width, layers) in sizes(times):
        model = some_model(width, layers)
        sharded = ShardedLearner(model, SETTINGS, ranks, micro_batch_tokens=512, packed=False)
        if not ranks.leads:
            sharded.follow()
            gather_all(sharded)
            continue
        alone = Learner(some_model(width, layers), SETTINGS, micro_batch_tokens=512, packed=False)
        pairs = [
            (timed(partial(step, alone, rows)), timed(partial(step, sharded, rows)))
            for _ in range(times + 1)
        ][1:]  # the first warms up
        sharded.stop()
        results[name] = {
            "one": statistics.median(one.wall_s for one, _ in pairs),
            "two": statistics.median(two.wall_s for _, two in pairs),
            "cpu": statistics.median(one.cpu_s for one, _ in pairs)
            / statistics.median(two.cpu_s for _, two in pairs),
            "gather": timed(partial(gather_all, sharded)).wall_s,
        }
    return results


def step(learner: Learner, rows: Rows) -> None:
    learner.update(rows, LikelihoodLoss(rows), temperature=1.0)


def gather_all(learner: ShardedLearner) -> None:
    with torch.no_grad():
        for parameter in learner.model.parameters():
            whole(parameter)


class Echo:
    """An actor that gives back what it got."""

    async def back(self, value: Any) -> Any:
        return value

    def load(self, arrays: dict[str, Any]) -> float:
        return float(sum(torch.from_numpy(np.array(one)).sum() for one in arrays.values()))


def put(model: Any) -> Any:
    return ray.put(trained_arrays(model))


def fetched(actor: Any, stored: Any) -> float:
    """The other process reads the whole of it, and copies it as a worker does."""
    return float(ray.get(actor.load.remote(stored)))


async def calls(actor: Any, times: int) -> tuple[float, float]:
    """Milliseconds of a call: one after the other, and a hundred at once."""
    await actor.back.remote(0)
    started = time.perf_counter()
    for _ in range(times):
        await actor.back.remote(0)
    alone = (time.perf_counter() - started) / times
    started = time.perf_counter()
    for _ in range(times // 100):
        await asyncio.gather(*(actor.back.remote(0) for _ in range(100)))
    return 1e3 * alone, 1e3 * (time.perf_counter() - started) / (times // 100 * 100)


def through_ray(times: int) -> dict[str, float]:
    results: dict[str, float] = {}
    with ray_running(cpus=1):
        actor: Any = ray.remote(num_cpus=1)(Echo).remote()
        one, many = asyncio.run(calls(actor, 100 * times))
        results |= {"ray call, ms": one, "ray call among 100, ms": many}
        for name, (width, layers) in sizes(times):
            model = some_model(width, layers)
            results[f"put {name}, ms"] = 1e3 * median_s(partial(put, model), times)
            fetch = partial(fetched, actor, put(model))
            results[f"fetch {name}, ms"] = 1e3 * median_s(fetch, times)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    times = _QUICK if options.quick else 11
    torch.set_num_threads(1)
    if options.rank:
        with joined_ranks(torch.device("cpu"), Waits()) as ranks:
            learned = learn(ranks, times)
        if ranks.leads:
            print(json.dumps(learned))
        return
    arguments = [__file__, "--rank", *(["--quick"] if options.quick else [])]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    learned = json.loads(done.stdout.splitlines()[-1])
    show(learned, through_ray(times))


def show(learned: dict[str, dict[str, float]], rayed: dict[str, float]) -> None:
    columns = ("parameters", "one, ms", "two, ms", "ratio", "CPU ratio", "gather weights, ms")
    table = Table(*columns)
    ratios: dict[str, float] = {}
    for name, took in learned.items():
        ratio = took["one"] / took["two"]
        ratios[f"one process over two, {name}"] = ratio
        ratios[f"one process over two, CPU time of rank 0, {name}"] = took["cpu"]
        numbers = (took["one"] * 1e3, took["two"] * 1e3, ratio, took["cpu"], took["gather"] * 1e3)
        table.add_row(name, *(f"{one:.2f}" for one in numbers))
    console = Console()
    console.print(table)
    for name, value in rayed.items():
        console.print(f"{name}: {value:.2f}")
    print(json.dumps({name: round(value, 3) for name, value in (ratios | rayed).items()}))


if __name__ == "__main__":
    main()
