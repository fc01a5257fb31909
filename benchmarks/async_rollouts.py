"""Training with slow tools: who waits for whom, under five schedules.

    python benchmarks/async_rollouts.py [--quick]

The work: the trainer of ``agentgym train`` with the embedded policy on ``agentgym/Search-v0``,
whose tools answer after a pause. 64 episodes at a time, four turns each whatever the policy says,
GRPO in groups of eight, one thread for the engine and one for the learner. A pause is lognormal
with a median of 0.1 s, drawn from the task, the turn and what the policy said: the same action
waits equally long under every schedule. So a turn's tools are of the order of its generation, as
for a search or a test run; sigma says how heavy the tail is.

- ``batch-synchronous``: all 64 generate, then their tools run one after another, turn by turn
  (what TRL's trainer does);
- ``turn-synchronous``: all generate, then all tools run at once, and the turn ends with the
  slowest;
- ``trajectory-async``: every episode goes on as soon as it can; the learner waits for the last one
  (``train.staleness=0``);
- ``fully async``: episodes are also begun while the learner works, up to ``train.staleness``
  updates ahead of it.

Seconds are of a step; the first and, ahead of the weights, one more for each update at both ends
are left out, so that neither filling nor running dry is counted.

The bound is what the same episodes would take if nothing were ever idle that has something to do:
a simulation in which the engine computes whenever a call is there, tools start at once, the
learner begins when its batch is complete and works beside the engine, and all else takes no time.
Its pieces are measured before: seconds of a decoding step by the number of sequences, of prompt
tokens, and of an update; tokens and pauses are those of the run itself. Ratios are of seconds a
step, so above 1 is faster; ``of the bound`` is the bound's seconds over the run's. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from agentgym import Action, Episode, EpisodeLimits, Generation, Message, Sampling, StepResult
from agentgym_envs.search.env import SearchEnv
from agentgym_trainers.commands.arguments import quiet_libraries
from agentgym_trainers.config import RunConfig, load_config
from agentgym_trainers.engines.hf import HFEngine
from agentgym_trainers.policy import Policy, load_policy
from agentgym_trainers.run_folder import RunFolder
from agentgym_trainers.session import engine_settings, open_session
from agentgym_trainers.trainer import make_trainer

ENV_ID = "bench/SlowSearch-v0"
TURNS = 4
GROUP = 8
MEDIAN_S = 0.1
CONTEXT = 160
"""Tokens before those whose decoding is timed: about the middle of an episode."""


class SlowSearchEnv(SearchEnv):
    """Search whose tools take their time, and which asks on after an answer, for four turns.

    Args:
        sigma: Of the logarithm of a pause.
        one_by_one: One episode's tools at a time.
    """

    default_limits: ClassVar[EpisodeLimits] = EpisodeLimits(turns=TURNS)
    alone: ClassVar[asyncio.Lock]

    def __init__(self, *, sigma: float = 0.0, one_by_one: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._sigma = sigma
        self._one_by_one = one_by_one

    async def astep(self, action: Action) -> StepResult:
        """The search's own answer, later."""
        assert self.task is not None
        said = f"{self.task.key}/{len(self.transcript)}/{action.raw}".encode()
        random = np.random.default_rng(int.from_bytes(blake2b(said, digest_size=8).digest()))
        pause = MEDIAN_S * float(np.exp(self._sigma * random.normal()))
        if self._one_by_one:
            async with self.alone:
                await asyncio.sleep(pause)
        else:
            await asyncio.sleep(pause)
        result = await super().astep(action)
        messages = result.messages or (Message("user", "Look once more."),)
        return StepResult(messages, result.rewards, info={"pause_s": pause})


class InStep(HFEngine):
    """Begins and ends the calls of all episodes together."""

    barriers: tuple[asyncio.Barrier, asyncio.Barrier]

    async def generate(
        self, token_ids: Sequence[int], sampling: Sampling, *, request_id: str, timeout_s: float
    ) -> Generation:
        """As the engine does, once everybody asks; returned once everybody is answered."""
        await self.barriers[0].wait()
        generation = await super().generate(
            token_ids, sampling, request_id=request_id, timeout_s=timeout_s
        )
        await self.barriers[1].wait()
        return generation


@dataclass(frozen=True, slots=True)
class Schedule:
    """What may overlap."""

    name: str
    staleness: int = 0
    in_step: bool = False
    one_by_one: bool = False


SCHEDULES = (
    Schedule("batch-synchronous", in_step=True, one_by_one=True),
    Schedule("turn-synchronous", in_step=True),
    Schedule("trajectory-async"),
    Schedule("fully async, η=1", staleness=1),
    Schedule("fully async, η=2", staleness=2),
)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Seconds of the engine's and the learner's work, on their own.

    ``decode_s`` are by the numbers of sequences in ``sequences``; ``prompt_s`` is of one token.
    """

    sequences: tuple[int, ...]
    decode_s: tuple[float, ...]
    prompt_s: float
    update_s: float

    def engine_s(self, rows: int, prompt_tokens: int) -> float:
        """Of one step over so many sequences, with so many prompt tokens among them."""
        decoding = float(np.interp(rows, self.sequences, self.decode_s))
        return decoding + self.prompt_s * prompt_tokens


@dataclass(frozen=True, slots=True)
class TurnWork:
    """What one turn costs: tokens of the engine, and the tool's pause."""

    prompt_tokens: int
    sampled: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Of a run: when each step ended, its episodes as they were begun, seconds of an update."""

    ends: tuple[float, ...]
    episodes: tuple[tuple[TurnWork, ...], ...]
    update_s: float


def config_of(schedule: Schedule, sigma: float, steps: int, groups: int, folder: Path) -> RunConfig:
    """The trainer's configuration."""
    kwargs = f"sigma: {sigma}, one_by_one: {str(schedule.one_by_one).lower()}"
    return load_config(
        None,
        [
            f"run_dir={folder}",
            f"env.id={ENV_ID}",
            f"env.kwargs={{top_k: 1, snippet_chars: 100, {kwargs}}}",
            f"rollout.concurrency={groups * GROUP}",
            "rollout.turn_tokens=96",
            "rollout.context_tokens=1024",
            f"train.steps={steps}",
            f"train.groups={groups}",
            f"train.group_size={GROUP}",
            f"train.staleness={schedule.staleness}",
            "train.optimizer.packed=true",
            "train.optimizer.learning_rate=1e-6",  # so that every schedule plays the same episodes
            "train.algorithm.drop_constant_groups=false",  # and learns from all of them
            "eval.every=0",
            "checkpoint.every=0",
        ],
    )


async def train(schedule: Schedule, sigma: float, steps: int, groups: int) -> Measured:
    """Run the trainer for so many steps, of which ``2 * staleness + 1`` are not counted."""
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(schedule, sigma, steps, groups, Path(folder, "run"))
        policy = load_policy(config.model)
        SlowSearchEnv.alone = asyncio.Lock()
        async with open_session(config, policy) as session:
            if schedule.in_step:
                engine = await InStep.start(policy, engine_settings(config))
                engine.barriers = (asyncio.Barrier(groups * GROUP), asyncio.Barrier(groups * GROUP))
                session.engine, unused = engine, session.engine
                await unused.aclose()
            run = RunFolder(config.run_dir or Path(folder), config, resume=False)
            trainer = await make_trainer(config, session, run)
            await session.pool("train").prepare(groups * GROUP)
            ends, played, updates = [time.perf_counter()], [], []
            try:
                for _ in range(config.train.steps):
                    round_ = await trainer.rollouts.take()
                    busy_s = session.timeline.busy_s("learner")
                    await trainer.learn(round_)
                    await trainer.publish()
                    trainer.rollouts.advance(trainer.step)
                    updates.append(session.timeline.busy_s("learner") - busy_s)
                    ends.append(time.perf_counter())
                    played += [one for group in round_.groups for one in group.episodes]
            finally:
                await trainer.rollouts.aclose()
                await session.engine.aclose()
                run.close()
    return Measured(tuple(ends), tuple(map(work_of, played)), statistics.median(updates))


def work_of(episode: Episode) -> tuple[TurnWork, ...]:
    """The turns of an episode; what its prompts cost is spread over them evenly."""
    prompt_tokens = round(episode.telemetry["prefill_tokens"] / len(episode.turns))
    return tuple(
        TurnWork(
            prompt_tokens,
            turn.stop - turn.start,
            float(turn.result.info.get("pause_s", 0.0)) if turn.result else 0.0,
        )
        for turn in episode.turns
    )


async def measure_engine(policy: Policy, most: int) -> tuple[tuple[int, ...], list[float], float]:
    """Seconds of decoding steps at several numbers of sequences, and of a prompt's token."""
    engine = HFEngine(policy.model)
    random = np.random.default_rng(0)
    vocabulary = len(policy.tokenizer)

    async def answers_s(count: int, tokens: int) -> float:
        prompts = [random.integers(5, vocabulary, CONTEXT).tolist() for _ in range(count)]
        before = engine.busy_s
        sampling = Sampling(max_tokens=tokens)
        await asyncio.gather(
            *(
                engine.generate(ids, sampling, request_id=str(number), timeout_s=60)
                for number, ids in enumerate(prompts)
            )
        )
        await engine.update_weights(None, 0, timeout_s=60)  # forgets what is cached
        return engine.busy_s - before

    sequences = tuple(n for n in (1, 4, 16, 32, 64) if n <= most)
    decode_s, prompt_s = [], []
    await answers_s(most, 2)
    for count in sequences:
        short = statistics.median([await answers_s(count, 1) for _ in range(3)])
        long = statistics.median([await answers_s(count, 17) for _ in range(3)])
        decode_s.append((long - short) / 16)
        prompt_s.append((short - decode_s[-1]) / (count * CONTEXT))
    await engine.aclose()
    return sequences, decode_s, min(prompt_s)


class Ideal:
    """The simulation behind the bound; times are seconds since it began."""

    def __init__(
        self, episodes: Sequence[tuple[TurnWork, ...]], batch: int, staleness: int, pieces: Pieces
    ) -> None:
        self._episodes = episodes
        self._batch = batch
        self._staleness = staleness
        self._pieces = pieces
        self._turn = [0] * len(episodes)
        self._left = [0] * len(episodes)
        self._over = [False] * len(episodes)
        self._calls: list[tuple[float, int]] = []
        self._begun = 0
        self._running = 0
        self._update_ends: float | None = None
        self.ends: list[float] = []

    def run(self) -> list[float]:
        """When it begins, and when each step ends."""
        steps = len(self._episodes) // self._batch
        now, active = 0.0, list[int]()
        while True:
            self._leave(now)
            self._learn(now)
            if len(self.ends) == steps:
                return [0.0, *self.ends]
            self._begin(now)
            prompt_tokens = 0
            while self._calls and self._calls[0][0] <= now:
                _, number = heapq.heappop(self._calls)
                work = self._episodes[number][self._turn[number]]
                self._left[number] = work.sampled
                prompt_tokens += work.prompt_tokens
                active.append(number)
            if not active:
                nexts = [self._calls[0][0]] if self._calls else []
                nexts += [self._update_ends] if self._update_ends is not None else []
                now = min(nexts)
                continue
            now += self._pieces.engine_s(len(active), prompt_tokens)
            active = [number for number in active if not self._sampled(number, now)]

    def _sampled(self, number: int, now: float) -> bool:
        """One more token; whether the call is over."""
        self._left[number] -= 1
        if self._left[number] > 0:
            return False
        turns, turn = self._episodes[number], self._turn[number]
        self._turn[number] += 1
        heapq.heappush(self._calls, (now + turns[turn].pause_s, number))
        return True

    def _leave(self, now: float) -> None:
        """Take the episodes out that are over."""
        for _, number in [one for one in self._calls if one[0] <= now]:
            if self._turn[number] == len(self._episodes[number]):
                self._over[number] = True
                self._running -= 1
        self._calls = [one for one in self._calls if not self._over[one[1]]]
        heapq.heapify(self._calls)

    def _begin(self, now: float) -> None:
        """As many episodes as the schedule allows."""
        allowed = (self._staleness + len(self.ends) + 1) * self._batch
        allowed = min(allowed, len(self._episodes), self._begun + self._batch - self._running)
        while self._begun < allowed:
            heapq.heappush(self._calls, (now, self._begun))
            self._begun += 1
            self._running += 1

    def _learn(self, now: float) -> None:
        """End the update that is due, and begin the next when the oldest batch is complete."""
        if self._update_ends is not None and self._update_ends <= now:
            self.ends.append(self._update_ends)
            self._update_ends = None
        first = len(self.ends) * self._batch
        batch = self._over[first : first + self._batch]
        if self._update_ends is None and batch and all(batch):
            self._update_ends = now + self._pieces.update_s


def per_step(ends: Sequence[float], schedule: Schedule) -> float:
    """Mean seconds of the steps that others went before and after; of all there are, if but one."""
    first = min(1 + schedule.staleness, len(ends) - 2)
    counted = ends[first : len(ends) - schedule.staleness]
    return statistics.mean(later - sooner for sooner, later in pairwise(counted))


def compare(
    console: Console,
    schedules: Sequence[Schedule],
    sigmas: Sequence[float],
    steps: int,
    groups: int,
) -> dict[str, float]:
    """A row for each schedule and sigma; returns ratios."""
    policy = load_policy("search-tiny")
    sequences, decode_s, prompt_s = asyncio.run(measure_engine(policy, groups * GROUP))
    steps_ms = [f"{1e3 * s:.1f} ms at {n}" for n, s in zip(sequences, decode_s, strict=True)]
    prompt_us = 1e6 * prompt_s
    console.print(f"decoding {', '.join(steps_ms)}; a prompt's token {prompt_us:.0f} µs")
    columns = ("σ", "schedule", "s a step", "ideal, s", "of the bound", "than turn-synchronous")
    table = Table(*columns, title=f"{groups * GROUP} episodes of {TURNS} turns a step")
    ratios: dict[str, float] = {}
    for sigma in sigmas:
        seconds: dict[str, float] = {}
        update_s = 0.0
        for schedule in schedules:
            count = 1 if schedule.one_by_one else steps + 2 * schedule.staleness
            run = asyncio.run(train(schedule, sigma, count, groups))
            update_s = update_s or run.update_s
            taken = seconds[schedule.name] = per_step(run.ends, schedule)
            cells = [f"{sigma:g}", schedule.name, f"{taken:.2f}", "", "", ""]
            if not schedule.in_step:
                pieces = Pieces(sequences, tuple(decode_s), prompt_s, update_s)
                ideal = Ideal(run.episodes, groups * GROUP, schedule.staleness, pieces).run()
                bound = per_step(ideal, schedule)
                faster = seconds["turn-synchronous"] / taken
                ratios[f"σ={sigma:g} {schedule.name}: than turn-synchronous"] = faster
                ratios[f"σ={sigma:g} {schedule.name}: of the bound"] = bound / taken
                cells[3:] = [f"{bound:.2f}", f"{bound / taken:.0%}", f"{faster:.2f}x"]
            table.add_row(*cells)
            console.print(f"σ={sigma:g} {schedule.name}: {taken:.2f} s a step", style="dim")
    console.print(table)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="16 episodes, sigma 1")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quiet_libraries()
    gymnasium.register(ENV_ID, entry_point=SlowSearchEnv)
    console = Console(width=110)
    load = os.getloadavg()[0]
    if arguments.quick:
        ratios = compare(console, SCHEDULES[1:], [1.0], steps=4, groups=2)
    else:
        ratios = compare(console, SCHEDULES, [0.0, 0.5, 1.0, 1.5], steps=4, groups=8)
    console.print(f"load average of the machine: {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}, ensure_ascii=False))


if __name__ == "__main__":
    main()
