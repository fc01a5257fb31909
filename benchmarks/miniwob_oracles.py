"""How often MiniWoB's scripted players win: each page over its first seeds, in the real browser.

    python benchmarks/miniwob_oracles.py --seeds 20 [--pages click-test,login-user] [--quick]

An episode that the environment masks (a browser that did not answer in time, on a busy machine) is
played again, and counted. Prints a line a page; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Sequence

from agentgym import EnvError
from agentgym_envs.web.env import WebEnv
from agentgym_envs.web.miniwob.oracles import SCRIPTS
from agentgym_envs.web.miniwob.site import MiniWobSite, miniwob_task

_AT_ONCE = 2
_AGAIN = 4
_ENOUGH = 0.95


class Score:
    """Wins and other ends of one page."""

    def __init__(self) -> None:
        self.played = 0
        self.won = 0
        self.lost_seeds: list[int] = []
        self.masked = 0
        self.turns = 0

    def __str__(self) -> str:
        turns = self.turns / max(1, self.played)
        lost = f"  lost {self.lost_seeds}" if self.lost_seeds else ""
        return f"{self.won:3}/{self.played:<3} {turns:5.1f} turns  {self.masked} masked{lost}"


async def play(env: WebEnv, page: str, seed: int, score: Score) -> None:
    """One episode, again if it was masked."""
    for _ in range(_AGAIN):
        try:
            won, turns = await _episode(env, page, seed)
        except EnvError:
            score.masked += 1
            continue
        score.played += 1
        score.won += won
        score.turns += turns
        if not won:
            score.lost_seeds.append(seed)
        return


async def _episode(env: WebEnv, page: str, seed: int) -> tuple[bool, int]:
    result = await env.begin(seed=seed, task=miniwob_task(page, seed))
    turns = 0
    while result.ending is None:
        try:
            move = env.oracle()
        except LookupError:  # the script does not see what it looks for
            return False, turns
        result = await env.advance(move)
        turns += 1
    return result.rewards.get("success", 0.0) > 0, turns


async def sweep(pages: Sequence[str], seeds: int) -> dict[str, Score]:
    """All pages seed by seed, some at once."""
    scores = {page: Score() for page in pages}
    todo = iter([(seed, page) for seed in range(seeds) for page in pages])

    async def work() -> None:
        env = WebEnv(site=MiniWobSite(page="all"), limits={"turns": 60})
        await env.prepare()
        for seed, page in todo:
            await play(env, page, seed, scores[page])
            print(f"{page} {seed}: {scores[page]}", flush=True)
        await env.end()

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return scores


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--pages", default=",".join(SCRIPTS))
    parser.add_argument("--quick", action="store_true", help="a seed of five pages")
    chosen = parser.parse_args()
    pages = chosen.pages.split(",")
    if chosen.quick:
        pages, chosen.seeds = pages[:5], 1
    scores = asyncio.run(sweep(pages, chosen.seeds))
    for page, score in scores.items():
        print(f"{page:30} {score}")
    counts = Counter(score.won >= _ENOUGH * chosen.seeds for score in scores.values())
    print(json.dumps({"pages": len(pages), "pages at 95 % or more": counts[True]}))


if __name__ == "__main__":
    main()
