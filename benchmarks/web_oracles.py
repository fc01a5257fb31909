"""How often the scripted players of the web's sites win, in the real browser.

    python benchmarks/web_oracles.py [miniwob|shop|docs] [--each 20] [--only NAME,...] [--quick]

The first tasks of each page of MiniWoB, template of the shop, or kind of question. An episode that
the environment masks (a browser that did not answer in time, on a busy machine) is played again,
and counted. Prints a line for each; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence

from agentgym import EnvError, Task
from agentgym_envs.web.env import WebEnv
from agentgym_envs.web.miniwob.oracles import SCRIPTS
from agentgym_envs.web.miniwob.site import miniwob_task

_AT_ONCE = 2
_AGAIN = 4
_ENOUGH = 0.95


class Score:
    """Wins and other ends of one kind of task."""

    def __init__(self) -> None:
        self.played = 0
        self.won = 0
        self.lost: list[int] = []
        self.masked = 0
        self.turns = 0

    def __str__(self) -> str:
        turns = self.turns / max(1, self.played)
        lost = f"  lost {self.lost}" if self.lost else ""
        return f"{self.won:3}/{self.played:<3} {turns:5.1f} turns  {self.masked} masked{lost}"


async def play(env: WebEnv, number: int, task: Task, score: Score) -> None:
    """One episode, again if it was masked."""
    for _ in range(_AGAIN):
        try:
            won, turns = await _episode(env, number, task)
        except EnvError:
            score.masked += 1
            continue
        score.played += 1
        score.won += won
        score.turns += turns
        if not won:
            score.lost.append(number)
        return


async def _episode(env: WebEnv, seed: int, task: Task) -> tuple[bool, int]:
    result = await env.begin(seed=seed, task=task)
    turns = 0
    while result.ending is None:
        result = await env.advance(env.oracle())
        turns += 1
    return result.rewards.get("success", 0.0) > 0, turns


def tasks_of(site: str, each: int) -> dict[str, list[Task]]:
    """The first tasks of each kind."""
    if site == "miniwob":
        return {page: [miniwob_task(page, seed) for seed in range(each)] for page in SCRIPTS}
    found: dict[str, list[Task]] = {}
    for task in WebEnv(site=site).load_tasks():
        found.setdefault(task.category, []).append(task)
    return {category: tasks[:each] for category, tasks in found.items()}


async def sweep(site: str, tasks: Mapping[str, Sequence[Task]]) -> dict[str, Score]:
    """One task of each kind after the other, some at once."""
    scores = {kind: Score() for kind in tasks}
    longest = max(map(len, tasks.values()))
    todo = iter([(n, kind) for n in range(longest) for kind in tasks if n < len(tasks[kind])])
    options = {"page": "all"} if site == "miniwob" else {}

    async def work() -> None:
        env = WebEnv(site=site, site_options=options, limits={"turns": 100})
        await env.prepare()
        for number, kind in todo:
            await play(env, number, tasks[kind][number], scores[kind])
            print(f"{kind} {number}: {scores[kind]}", flush=True)
        await env.end()

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return scores


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", default="miniwob", choices=["miniwob", "shop", "docs"])
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--only", help="names, with commas")
    parser.add_argument("--quick", action="store_true", help="one of each of five")
    chosen = parser.parse_args()
    tasks = tasks_of(chosen.site, 1 if chosen.quick else chosen.each)
    names = chosen.only.split(",") if chosen.only else list(tasks)[: 5 if chosen.quick else None]
    scores = asyncio.run(sweep(chosen.site, {name: tasks[name] for name in names}))
    for name, score in scores.items():
        print(f"{name:30} {score}")
    enough = sum(score.won >= _ENOUGH * len(tasks[name]) for name, score in scores.items())
    figures = {"kinds": len(scores), "at 95 % or more": enough}
    figures |= {
        what: sum(getattr(score, what) for score in scores.values())
        for what in ("played", "won", "masked")
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
