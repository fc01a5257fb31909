"""An environment that stops answering after so many turns of its process."""

import asyncio
from typing import ClassVar

from counting_env import EvenEnv

from agentgym import Action, EpisodeLimits, StepResult


class StuckEnv(EvenEnv):
    """As ``EvenEnv`` for the first ``free`` turns, then silent for ever."""

    default_limits: ClassVar[EpisodeLimits] = EpisodeLimits(step_s=3600)
    taken: ClassVar[int] = 0

    def __init__(self, *, free: int = 1_000_000, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # passed through
        self.free = free

    async def astep(self, action: Action) -> StepResult:
        StuckEnv.taken += 1
        if StuckEnv.taken > self.free:
            await asyncio.Event().wait()
        return await super().astep(action)
