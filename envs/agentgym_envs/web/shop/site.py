"""The shop as a site of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from agentgym import Task, TaskSet, UsageError
from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.state import PAGE_SIZE
from agentgym_envs.web.shop.tasks import chosen_templates, task_maker
from agentgym_envs.web.shop.visit import ShopVisit

COUNT = 1_500
"""Fifty of each template."""


class ShopSite:
    """A small shop: search, filters, cart, account, a checkout in four steps.

    Rewards: ``success`` when the model answers, and ``progress`` (only reported unless weighted),
    the share of the task that a turn has newly reached; all of it adds up to 1.

    Args:
        sub_goals: How many things a task asks for, 1 to 6: a number, or the lowest and the highest.
            Tasks' difficulty is this number, so a curriculum can choose among them too.
        templates: Names of the templates; all by default.
        count: How many tasks; ``None`` never runs out.
        page_size: Products on a page of results.
    """

    reward_weights: ClassVar[Mapping[str, float]] = {"success": 1.0, "progress": 0.0}

    def __init__(
        self,
        *,
        sub_goals: int | Sequence[int] | None = None,
        templates: Sequence[str] | None = None,
        count: int | None = COUNT,
        page_size: int = PAGE_SIZE,
    ) -> None:
        if count is not None and count < 1:
            raise UsageError(f"count must be at least 1, or None for no end; got {count}")
        if not 1 <= page_size <= 100:
            raise UsageError(f"page_size must be from 1 to 100, got {page_size}")
        self._templates = chosen_templates(templates, sub_goals)
        self._count = count
        self._page_size = page_size

    def missing(self) -> str | None:
        """Nothing is needed but the browser."""
        return None

    def load_tasks(self) -> TaskSet:
        """Tasks are made when they are asked for."""
        return TaskSet.from_generator(task_maker(self._templates), count=self._count)

    async def visit(self, task: Task, rng: np.random.Generator) -> ShopVisit:
        """Open a shop for the task."""
        return ShopVisit(Errand.of(task.data["shop"]), rng, self._page_size)

    async def aclose(self) -> None:
        """Visits share nothing."""
