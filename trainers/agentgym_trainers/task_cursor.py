"""The order in which tasks are trained on: every task once per epoch, reshuffled each epoch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agentgym import Task, TaskSet


class TaskCursor:
    """Position in an endless, seeded sequence of tasks.

    The position alone says what comes next, so saving it is enough to resume. An endless task set
    has no epochs: each position draws a task of its own, in memory that does not grow.
    """

    def __init__(self, tasks: TaskSet, *, seed: int, position: int = 0) -> None:
        self._tasks = tasks
        self._seed = seed
        self.position = position
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def take(self, count: int) -> list[Task]:
        """The next ``count`` tasks."""
        taken = [self.at(self.position + offset) for offset in range(count)]
        self.position += count
        return taken

    def at(self, position: int) -> Task:
        """The task of a position, whatever was taken before."""
        if self._tasks.is_infinite:
            return self._tasks.sample(np.random.default_rng((self._seed, position)))
        epoch, index = divmod(position, len(self._tasks))
        if epoch != self._epoch:
            rng = np.random.default_rng((self._seed, epoch))
            self._epoch, self._order = epoch, rng.permutation(len(self._tasks))
        return self._tasks[int(self._order[index])]
