"""Playing many episodes at once: groups for training, single ones for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentgym import Engine, Episode, Sampling, Task
from agentgym_trainers.config import RolloutConfig
from agentgym_trainers.context import ContextSettings, make_context
from agentgym_trainers.env_pool import EnvPool
from agentgym_trainers.limits import RolloutLimits
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.rollout import run_episode, turn_seed
from agentgym_trainers.timeline import Timeline
from agentgym_trainers.together import together


@dataclass(frozen=True, slots=True)
class Group:
    """Episodes of one task and one seed.

    ``members`` says which copy each of ``episodes`` is. ``failed`` holds what environment errors
    ended, the tries that were played again among them.
    """

    id: str
    task: Task
    episodes: tuple[Episode, ...]
    failed: tuple[Episode, ...]
    members: tuple[int, ...] = ()


def rollout_limits(config: RolloutConfig) -> RolloutLimits:
    """The runner's limits from a run's configuration."""
    return RolloutLimits(
        turn_tokens=config.turn_tokens,
        episode_tokens=config.episode_tokens,
        context_tokens=config.context_tokens,
        episode_s=config.episode_s,
        generate_s=config.generate_s,
    )


class Player(Protocol):
    """What plays groups: here, or elsewhere."""

    async def prepare(self, episodes: int) -> None:
        """Get ready for so many episodes at once."""

    async def play(
        self, task: Task, size: int, group_id: str, *, finished: Callable[[], None] = ...
    ) -> Group:
        """One group; ``finished`` is called after each member."""


class PlaysGroups(Player, Protocol):
    """What plays many groups as well, and gives them back together."""

    async def collect(self, tasks: Sequence[Task], group_size: int, *, name: str) -> list[Group]:
        """One group per task, in the tasks' order."""


class Collector:
    """Plays groups of episodes in a pool of environments with one engine.

    An episode that an environment error ended is played again, at most ``refills`` times; it never
    counts as a reward of 0.
    """

    def __init__(
        self,
        pool: EnvPool,
        engine: Engine,
        renderer: Renderer,
        sampling: Sampling,
        *,
        limits: RolloutLimits,
        refills: int,
        context: ContextSettings | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        self._pool = pool
        self._engine = engine
        self._renderer = renderer
        self._sampling = sampling
        self._limits = limits
        self._refills = refills
        self._context = context or ContextSettings()
        self._timeline = timeline or Timeline()

    async def collect(self, tasks: Sequence[Task], group_size: int, *, name: str) -> list[Group]:
        """One group per task, all at once, in the tasks' order.

        Args:
            name: Distinguishes this call from all others of the run; ids and seeds follow from it.
        """
        await self.prepare(len(tasks) * group_size)
        return await together(
            self.play(task, group_size, f"{name}.{number}") for number, task in enumerate(tasks)
        )

    async def prepare(self, episodes: int) -> None:
        """Make the environments for so many episodes at once."""
        await self._pool.prepare(episodes)

    async def play(
        self, task: Task, size: int, group_id: str, *, finished: Callable[[], None] = lambda: None
    ) -> Group:
        """Play one group.

        Args:
            finished: Called after each member.
        """
        played = await together(
            self._member(task, group_id, f"{group_id}.{member}", finished) for member in range(size)
        )
        good = [
            (member, one)
            for member, tries in enumerate(played)
            for one in tries
            if not one.ending.masked
        ]
        return Group(
            group_id,
            task,
            tuple(one for _, one in good),
            tuple(one for tries in played for one in tries if one.ending.masked),
            tuple(member for member, _ in good),
        )

    async def _member(
        self, task: Task, group_id: str, episode_id: str, finished: Callable[[], None]
    ) -> list[Episode]:
        """The tries of one member: the last is good, unless all failed."""
        tries: list[Episode] = []
        seed = turn_seed(self._sampling.seed, group_id, 0) % 2**31
        while len(tries) <= self._refills and (not tries or tries[-1].ending.masked):
            async with self._pool.env() as env:
                episode = await run_episode(
                    env,
                    self._engine,
                    self._renderer,
                    self._sampling,
                    task=task,
                    seed=seed,
                    episode_id=f"{episode_id}.{len(tries)}",
                    group_id=group_id,
                    limits=self._limits,
                    context=make_context(self._context, self._limits),
                    timeline=self._timeline,
                )
            if episode.ending.masked:
                await self._pool.discard(env)
            tries.append(episode)
        finished()
        return tries
