"""The tasks: a template and a seed for each index."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agentgym import Task, UnknownName, UsageError
from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.people import Customer, customers
from agentgym_envs.web.shop.templates import more, one, two
from agentgym_envs.web.shop.templates.template import Plan, Template

ENV_ID = "agentgym/Web-v0"
TEMPLATES: Mapping[str, Template] = {
    template.name: template for template in (*one.TEMPLATES, *two.TEMPLATES, *more.TEMPLATES)
}
MOST_SUB_GOALS = 6


def chosen_templates(
    names: Sequence[str] | None, sub_goals: int | Sequence[int] | None
) -> tuple[Template, ...]:
    """The templates of these names that ask for so many things.

    Args:
        names: ``None`` for all.
        sub_goals: A number, or the lowest and the highest; ``None`` for any.

    Raises:
        UsageError: No such template or number, or none is left.
    """
    for name in names or ():
        if name not in TEMPLATES:
            raise UnknownName("shop template", name, TEMPLATES)
    low, high = _range(sub_goals)
    left = tuple(
        template
        for name, template in TEMPLATES.items()
        if (names is None or name in names) and low <= template.sub_goals <= high
    )
    if not left:
        raise UsageError(
            f"no shop template of {list(names or TEMPLATES)} has sub_goals={sub_goals}; "
            f"their numbers are {sorted({one.sub_goals for one in TEMPLATES.values()})}"
        )
    return left


def task_maker(templates: Sequence[Template]) -> Callable[[int], Task]:
    """Makes the task of an index; indices take turns among the templates.

    The split follows from the goals alone: what one customer asks for in one split, nobody asks for
    in another, so that no answer can be learnt by heart.
    """

    def make(index: int) -> Task:
        template = templates[index % len(templates)]
        errand = errand_of(template, index // len(templates))
        data = errand.data()
        task = Task.create(
            ENV_ID,
            errand.instruction(),
            {"shop": data},
            difficulty=float(template.sub_goals),
            category=template.name,
        )
        return replace(task, split=Task.create(ENV_ID, "", {"goals": data["goals"]}).split)

    return make


def errand_of(template: Template, seed: int) -> Errand:
    """The errand that a template makes of a seed."""
    rng = random.Random(f"{template.name} {seed}")
    while True:
        who: Customer = rng.choice(customers())
        plan: Plan | None = template.make(rng, who)
        if plan is not None:
            break
    today = f"2025-0{rng.randint(4, 6)}-{rng.randint(1, 28):02}"
    return Errand(who.id, plan.goals, today, plan.cart, plan.signed_in)


def _range(sub_goals: int | Sequence[int] | None) -> tuple[int, int]:
    if sub_goals is None:
        return 1, MOST_SUB_GOALS
    ends = [sub_goals, sub_goals] if isinstance(sub_goals, int) else list(sub_goals)
    if len(ends) != 2 or not 1 <= ends[0] <= ends[1] <= MOST_SUB_GOALS:
        raise UsageError(
            f"sub_goals must be a number from 1 to {MOST_SUB_GOALS}, or the lowest and the "
            f"highest of a range; got {sub_goals!r}"
        )
    return ends[0], ends[1]
