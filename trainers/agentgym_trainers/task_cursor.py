"""The order in which tasks are trained on: every task once per epoch, reshuffled each epoch."""

from __future__ import annotations

import numpy as np

from agentgym import Task, TaskSet


class TaskCursor:
    """Position in an endless, seeded sequence of tasks.

    The position alone says what comes next, so saving it is enough to resume.
    """

    def __init__(self, tasks: TaskSet, *, seed: int, position: int = 0) -> None:
        self._tasks = tasks
        self._seed = seed
        self.position = position

    def take(self, count: int) -> list[Task]:
        """The next ``count`` tasks."""
        taken = [self._at(self.position + offset) for offset in range(count)]
        self.position += count
        return taken

    def _at(self, position: int) -> Task:
        epoch, index = divmod(position, len(self._tasks))
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._tasks))
        task: Task = self._tasks[int(order[index])]
        return task
