"""The training loop: collect → advantages → loss → step → sync."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym_trainers.batch import Batch, make_batch
from agentgym_trainers.checkpoint import save_checkpoint
from agentgym_trainers.collector import Group, PlaysGroups
from agentgym_trainers.config import RunConfig
from agentgym_trainers.evaluate import choose_tasks, evaluate
from agentgym_trainers.experience import gather
from agentgym_trainers.judges import Judges, make_judges
from agentgym_trainers.learner import Learner, OptimizerSettings
from agentgym_trainers.metrics import batch_metrics, per_token, rollout_metrics
from agentgym_trainers.objective import Objective
from agentgym_trainers.policy import Policy
from agentgym_trainers.run_folder import RunFolder
from agentgym_trainers.session import Session
from agentgym_trainers.task_cursor import TaskCursor

Report = Callable[[int, Mapping[str, float]], None]
MakeLearner = Callable[[RunConfig, Policy, Path], Learner]
"""From the configuration, the policy it trains in place, and the run's folder."""


@dataclass(slots=True)
class Trainer:
    """Everything that changes while a policy trains."""

    config: RunConfig
    session: Session
    run: RunFolder
    collector: PlaysGroups
    learner: Learner
    judges: Judges
    cursor: TaskCursor
    step: int = 0

    async def train(self, report: Report, stop_requested: Callable[[], bool]) -> None:
        """Run to ``train.steps``, or until a stop is requested; a checkpoint is left either way."""
        config, settings = self.config, self.config.train
        while self.step < settings.steps and not stop_requested():
            started = time.perf_counter()
            busy = self.session.engine.busy_s
            tasks = self.cursor.take(settings.groups)
            groups = await self.collector.collect(
                tasks, settings.group_size, name=f"train{self.step}"
            )
            collected = time.perf_counter()
            await self.judges.ask(self.session.engine, self.step)
            batch, updates = self.update(groups)
            self.step += 1
            await self.session.publish(self.step)
            timing = {
                "time/rollout_s": collected - started,
                "time/generate_s": self.session.engine.busy_s - busy,
                "time/update_s": time.perf_counter() - collected,
            }
            metrics = {**rollout_metrics(groups, batch), **updates, **timing}
            if config.eval.every and self.step % config.eval.every == 0:
                metrics |= await self.look()
            metrics["time/step_s"] = time.perf_counter() - started
            self.run.save_episodes(f"step-{self.step:06d}", [e for g in groups for e in g.episodes])
            self.run.log(self.step, metrics)
            report(self.step, metrics)
            if config.checkpoint.every and self.step % config.checkpoint.every == 0:
                self.save()
        self.save()

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

    def save(self) -> None:
        """Save a checkpoint of everything that the next step depends on."""
        state = {
            "learner": self.learner.state_dict(),
            "judges": self.judges.state_dict(),
            "cursor": self.cursor.position,
        }
        keep = self.config.checkpoint.keep
        save_checkpoint(self.run.checkpoints, self.step, self.session.policy, state, keep=keep)


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
    cursor = TaskCursor(await session.tasks("train"), seed=config.seed)
    if state is not None:
        learner.load_state_dict(state["learner"])
        judges.load_state_dict(state.get("judges", {}))  # older runs had none
        cursor.position = state["cursor"]
        await session.publish(step)
    collector = await session.collector("train", temperature=config.rollout.temperature)
    return Trainer(config, session, run, collector, learner, judges, cursor, step)


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
