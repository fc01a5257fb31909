"""The training loop: collect → advantages → loss → step → sync."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgym.errors import EnvError
from agentgym_trainers.batch import Batch, make_batch
from agentgym_trainers.checkpoint_writer import CheckpointWriter
from agentgym_trainers.collector import Group
from agentgym_trainers.config import RunConfig
from agentgym_trainers.evaluate import choose_tasks, evaluate
from agentgym_trainers.experience import gather
from agentgym_trainers.judges import Judges, make_judges
from agentgym_trainers.learner import Learner, OptimizerSettings
from agentgym_trainers.ledger import Ledger
from agentgym_trainers.metrics import (
    batch_metrics,
    per_token,
    rollout_metrics,
    staleness_metrics,
)
from agentgym_trainers.objective import Objective
from agentgym_trainers.policy import Policy
from agentgym_trainers.rollouts import RolloutPlan, Rollouts, Round
from agentgym_trainers.run_folder import RunFolder
from agentgym_trainers.session import Session
from agentgym_trainers.snapshot import random_state, restore_random_state
from agentgym_trainers.step_clock import StepClock
from agentgym_trainers.task_cursor import TaskCursor
from agentgym_trainers.uninterrupted import uninterrupted

_log = logging.getLogger(__name__)

_PUBLISH_TRIES = 3

Report = Callable[[int, Mapping[str, float]], None]
MakeLearner = Callable[[RunConfig, Policy, Path], Learner]
"""From the configuration, the policy it trains in place, and the run's folder."""


@dataclass(slots=True)
class Trainer:
    """Everything that changes while a policy trains."""

    config: RunConfig
    session: Session
    run: RunFolder
    rollouts: Rollouts
    learner: Learner
    judges: Judges
    checkpoints: CheckpointWriter
    step: int = 0
    _whole: bool = True
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="learner")
    )

    async def train(self, report: Report, stop_requested: Callable[[], bool]) -> None:
        """Run to ``train.steps``, or until a stop is requested; a checkpoint is left either way.

        Cancelled, it gives up what is being played, but not an update that has begun; then it
        saves.

        Raises:
            UsageError: The caller's mistake, or what a run leaves behind cannot be written.
            EnvError: The engine does not take the new weights.
        """
        try:
            while self.step < self.config.train.steps and not stop_requested():
                await self.train_step(report)
        finally:
            await self._end()

    async def train_step(self, report: Report) -> None:
        """Collect, learn, sync; what it brought is written down even if no sync is possible."""
        config, clock = self.config, StepClock(self.session.timeline)
        round_ = await self.rollouts.take()
        clock.collected()
        self._whole = False
        metrics = await uninterrupted(self.learn(round_))
        try:
            await self.publish()
            self.rollouts.advance(self.step)
            metrics |= clock.metrics()
            if config.eval.every and self.step % config.eval.every == 0:
                metrics |= await self.look()
        finally:
            self._write_down(round_, metrics | {"time/step_s": clock.seconds}, report)
        score = metrics.get("val/success")
        due = config.checkpoint.every and self.step % config.checkpoint.every == 0
        if due or self.checkpoints.better(score):
            await self.save(score)

    async def learn(self, round_: Round) -> dict[str, float]:
        """One update from one round, and the fate of its episodes; metrics."""
        await self.judges.ask(self.session.engine, self.step)
        await self.session.rest()
        with self.session.timeline.span("learner", "update"):
            loop = asyncio.get_running_loop()
            batch, updates = await loop.run_in_executor(self._thread, self.update, round_.groups)
        metrics = rollout_metrics(round_, batch) | staleness_metrics(round_, self.step)
        self.rollouts.settle(round_, {episode.id for episode in batch.episodes})
        self.step += 1
        return {**metrics, **updates}

    async def publish(self) -> None:
        """Give the engine the weights of this step; a failing engine is asked more than once.

        Raises:
            EnvError: It failed every time.
        """
        for left in reversed(range(_PUBLISH_TRIES)):
            try:
                with self.session.timeline.span("learner", "publish"):
                    return await self.session.publish(self.step)
            except EnvError as error:
                if not left or not error.retryable:
                    raise
                _log.warning("the engine did not take new weights (%s); once more", error)

    def _write_down(self, round_: Round, metrics: dict[str, float], report: Report) -> None:
        """Leave episodes and metrics; only then is the step one that a checkpoint may hold."""
        played = [one for group in round_.groups for one in group.episodes]
        self.run.save_episodes(f"step-{self.step:06d}", played)
        self.run.log(self.step, metrics)
        self._whole = True
        report(self.step, metrics)

    async def _end(self) -> None:
        """Stop what runs, and save; in the midst of a step there is nothing that can be saved."""
        try:
            await self.rollouts.aclose()
            if self._whole:
                await self.save()
                await self.checkpoints.finish()
        finally:
            await self.checkpoints.aclose()
            self._thread.shutdown(wait=False)
            if self.config.train.trace:
                self.session.timeline.save(self.run.path / "trace.json")

    def update(self, groups: Sequence[Group]) -> tuple[Batch, dict[str, float]]:
        """Credit, and the optimiser steps of one round; none when nothing has a gradient."""
        config, settings = self.config, self.config.train
        gathered = gather(
            [group.episodes for group in groups], token_limit=config.rollout.episode_tokens
        )
        experience = self.judges.examine(gathered)
        batch, assigned = make_batch(experience, settings.algorithm)
        padded_to = None if self.learner.packed else settings.optimizer.micro_batch_tokens
        metrics = batch_metrics(batch, padded_to=padded_to)
        metrics |= self.judges.learn(experience, assigned)
        updates = []
        if len(batch.rows) and self.judges.ready(self.step):
            for part in batch.split(settings.minibatches, seed=config.seed * 1_000_003 + self.step):
                loss_of = Objective(part, settings.algorithm)
                temperature = config.rollout.temperature
                update = self.learner.update(
                    part.rows, loss_of, temperature=temperature, advantages_ST=part.advantages_ST
                )
                updates.append({**update, **loss_of.extremes})
        return batch, {**metrics, **per_token(updates)}

    async def look(self) -> dict[str, float]:
        """A quick evaluation on validation tasks."""
        settings = self.config.eval
        collector = await self.session.collector(
            "val", temperature=settings.temperature, evaluating=True
        )
        tasks = choose_tasks(
            await self.session.tasks("val"), settings.every_tasks, seed=self.config.seed
        )
        result, _ = await evaluate(collector, tasks, name=f"val{self.step}")
        return {"val/success": result.success, "val/low": result.low, "val/high": result.high}

    async def save(self, score: float | None = None) -> None:
        """Begin a checkpoint of everything that the next step depends on."""
        state = {
            "learner": self.learner.state_dict(),
            "judges": self.judges.state_dict(),
            "ledger": self.rollouts.state_dict(),
            "random": random_state(),
        }
        await self.checkpoints.save(self.step, self.session.policy, state, score=score)


async def make_trainer(
    config: RunConfig,
    session: Session,
    run: RunFolder,
    *,
    step: int = 0,
    state: dict[str, Any] | None = None,
    make_learner: MakeLearner | None = None,
) -> Trainer:
    """Build a trainer, at the start or where a checkpoint's ``state`` left off."""
    learner = (make_learner or local_learner)(config, session.policy, run.path)
    renderer = await session.renderer("train")
    judges = make_judges(config, session.policy, renderer, packed=learner.packed)
    ledger = Ledger(config.train.group_size)
    if state is not None:
        learner.load_state_dict(state["learner"])
        judges.load_state_dict(state.get("judges", {}))  # older runs had none
        if "ledger" in state:
            ledger.load_state_dict(state["ledger"])
        else:  # older runs counted groups
            ledger = Ledger.all_trained(state["cursor"], config.train.group_size)
        if "random" in state:
            restore_random_state(state["random"])
    rollouts = Rollouts(
        await session.collector("train", temperature=config.rollout.temperature),
        TaskCursor(await session.tasks("train"), seed=config.seed),
        ledger,
        rollout_plan(config),
        version=step,
        timeline=session.timeline,
    )
    kept = config.checkpoint
    there = None if state is None else step
    checkpoints = CheckpointWriter(run.checkpoints, keep=kept.keep, best=kept.best, there=there)
    trainer = Trainer(config, session, run, rollouts, learner, judges, checkpoints, step)
    if step:
        await trainer.publish()
    return trainer


def rollout_plan(config: RunConfig) -> RolloutPlan:
    """How much is played ahead of the learner."""
    settings = config.train
    return RolloutPlan(
        groups=settings.groups,
        group_size=settings.group_size,
        rounds=settings.steps,
        staleness=settings.staleness,
        concurrency=config.rollout.concurrency,
        distinct=settings.dynamic_sampling,
        spare=settings.groups if settings.spare_groups is None else settings.spare_groups,
        watchdog_s=settings.watchdog_s,
    )


def local_learner(config: RunConfig, policy: Policy, folder: Path) -> Learner:
    """The learner in this process alone."""
    settings = config.train.optimizer
    return Learner(
        policy.model,
        optimizer_settings(settings, config.train.steps * config.train.minibatches),
        micro_batch_tokens=settings.micro_batch_tokens,
        compute_dtype=policy.compute_dtype,
        packed=settings.packed,
        recompute=settings.activation_checkpointing,
        diverged_folder=folder,
    )


def optimizer_settings(config: Any, total_steps: int) -> OptimizerSettings:
    """The learner's settings from an ``optimizer`` section."""
    return OptimizerSettings(
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        total_steps=total_steps,
        schedule=config.schedule,
        betas=config.betas,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
    )
