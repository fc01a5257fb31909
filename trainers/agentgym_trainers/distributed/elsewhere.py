"""What a run has in other processes: workers that play, workers that hold environments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agentgym_trainers.config import RunConfig
from agentgym_trainers.distributed.env_worker import EnvWorkers, Recipe, RemoteEnvPool
from agentgym_trainers.distributed.ray_cluster import ray_running
from agentgym_trainers.distributed.ray_rollouts import RayRollouts, RemoteCollector
from agentgym_trainers.distributed.rollout_worker import PlaySettings


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Either may be missing."""

    rollouts: RayRollouts | None = None
    environments: EnvWorkers | None = None

    def collector(
        self, split: str, *, temperature: float, evaluating: bool
    ) -> RemoteCollector | None:
        """What plays the episodes of a split, if that is not the trainer's process."""
        if self.rollouts is None:
            return None
        return self.rollouts.collector(PlaySettings(split, temperature, evaluating))

    def pool(self, config: RunConfig, split: str) -> RemoteEnvPool | None:
        """The environments of a split, if they are not in the trainer's process."""
        if self.environments is None:
            return None
        recipe = Recipe(config.env.id, config.env.kwargs, split)
        return RemoteEnvPool(self.environments, recipe, size=config.rollout.concurrency)

    async def update_weights(self, model: Any, version: int) -> None:
        """Let workers that play have a model's weights, from their next group on."""
        if self.rollouts is not None:
            await self.rollouts.update_weights(model, version)


@contextmanager
def parts_elsewhere(config: RunConfig, policy_model: Any) -> Iterator[Elsewhere]:
    """Start what ``config.cluster`` asks of Ray; end it afterwards."""
    cluster = config.cluster
    with ray_running(cluster.workers + cluster.env_workers, cluster.ray_address):
        rollouts = RayRollouts(config, policy_model) if cluster.workers else None
        environments = EnvWorkers(cluster.env_workers) if cluster.env_workers else None
        try:
            yield Elsewhere(rollouts, environments)
        finally:
            for part in (rollouts, environments):
                if part is not None:
                    part.close()
