"""Environments to play in, made when needed and used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agentgym import TaskSet, TextEnv, UsageError, make


class EnvPool:
    """At most ``size`` environments of one id, handed out one episode at a time.

    Args:
        env_id: A registered id.
        kwargs: Of the environment's constructor; a ``split`` among them is overridden.
        split: The split that the environments draw from.
        size: Episodes at once; more wait their turn.
    """

    def __init__(self, env_id: str, kwargs: dict[str, Any], *, split: str, size: int) -> None:
        self._env_id = env_id
        self._kwargs = {**kwargs, "split": split}
        self._size = size
        self._free: list[TextEnv] = []
        self._turns = asyncio.Semaphore(size)

    def new(self) -> TextEnv:
        """A new environment.

        Raises:
            UsageError: The id or the arguments are wrong, or it is not a :class:`TextEnv`.
        """
        try:
            env = make(self._env_id, **self._kwargs).unwrapped
        except TypeError as error:
            raise UsageError(f"{self._env_id} with {self._kwargs}: {error}") from error
        if not isinstance(env, TextEnv):
            raise UsageError(f"{self._env_id} is not a TextEnv; only those can be trained on")
        return env

    async def tasks(self) -> TaskSet:
        """The tasks of the split."""
        async with self.env() as env:
            return await env.tasks()

    async def prepare(self, episodes: int) -> None:
        """Make the environments for so many episodes and load their tasks, one after another.

        Loading happens in a thread. Done in the midst of play it would make the order in which
        episodes start, and so the engine's batches, depend on the clock.
        """
        while len(self._free) < min(episodes, self._size):
            env = self.new()
            await env.tasks()
            self._free.append(env)

    @asynccontextmanager
    async def env(self) -> AsyncIterator[TextEnv]:
        """Borrow an environment for one episode. One that raised is closed and not used again."""
        async with self._turns:
            env = self._free.pop() if self._free else self.new()
            try:
                yield env
            except BaseException:
                await env.end()
                raise
            self._free.append(env)

    async def discard(self, env: TextEnv) -> None:
        """Close an environment that failed, instead of using it again."""
        if env in self._free:  # nobody may take it while it closes
            self._free.remove(env)
        await env.end()

    async def aclose(self) -> None:
        """Close all."""
        for env in self._free:
            await env.end()
        self._free.clear()
