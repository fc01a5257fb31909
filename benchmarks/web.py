"""The browser environment on MiniWoB++: against BrowserGym, and by itself.

    make bench-web                         installs BrowserGym in an environment of its own
    python benchmarks/web.py [--quick] [--peers FOLDER]

Both press the same key on the same page and give the observation after it; BrowserGym through the
Playwright that it pins, with the same Chromium. They are measured in turn, three times, and
compared by medians, since a shared machine drifts. Then ours alone: sixteen episodes at once, what
a reset takes from the pool, and the memory of a window. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentgym.checks.tool_calls import write_call
from agentgym_envs.web.env import WebEnv
from agentgym_tools.browser.find import find_chromium
from agentgym_tools.browser.pool import shared_pool

HERE = Path(__file__).parent
PAGE = "click-checkboxes-large"
KEY = "Shift"
"""Changes nothing on the page, and goes through the whole of an action and an observation."""
EPISODES = 16
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Times:
    """Medians of one process: seconds of a reset and a step, and steps a second."""

    reset_s: float
    step_s: float
    steps_per_s: float


def ours() -> WebEnv:
    """One environment, with room for a long episode."""
    limits = {"turns": 100_000}
    return WebEnv(site="miniwob", site_options={"page": PAGE}, limits=limits, windows=EPISODES)


async def play(env: WebEnv, steps: int) -> list[float]:
    """Seconds of each step."""
    action = write_call(env, "press", {"key": KEY})
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        result = await env.advance(action)
        seconds.append(time.perf_counter() - started)
        assert result.ending is None, result.text
    return seconds


async def one_at_a_time(steps: int) -> Times:
    """Ours, with one episode."""
    env = ours()
    try:
        resets = []
        for seed in range(4):
            started = time.perf_counter()
            await env.begin(seed=seed)
            resets.append(time.perf_counter() - started)
            await play(env, 3)  # meanwhile the next window is made ready
        seconds = await play(env, steps)
    finally:
        await env.end()
    return Times(statistics.median(resets[1:]), statistics.median(seconds), steps / sum(seconds))


async def many_at_once(steps: int) -> tuple[float, float]:
    """Steps a second of all episodes together, and megabytes of a window."""
    envs = [ours() for _ in range(EPISODES)]
    async with shared_pool(windows=EPISODES) as pool:
        try:
            await envs[0].begin(seed=0)
            alone = await pool.memory_mb()
            for seed, env in enumerate(envs[1:]):
                await env.begin(seed=seed)
            megabytes = (await pool.memory_mb() - alone) / (EPISODES - 1)
            started = time.perf_counter()
            await asyncio.gather(*(play(env, steps) for env in envs))
            return EPISODES * steps / (time.perf_counter() - started), megabytes
        finally:
            for env in envs:
                await env.end()


def peer(python: Path, steps: int) -> Times | str:
    """BrowserGym's, or why it does not run."""
    found = importlib.util.find_spec("miniwob")
    if found is None or found.origin is None:
        return "miniwob is not installed"
    folder = Path(found.origin).parent / "html"
    arguments = [find_chromium(), folder, PAGE, f"keyboard_press('{KEY}')", steps]
    command = [python, HERE / "web_peer.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1][:200]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    if told.pop("error"):
        return "its action failed"
    return Times(**told)


def main() -> None:
    """Measure, and print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps, once")
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".bench")
    chosen = parser.parse_args()
    steps, repeats = (5, 1) if chosen.quick else (50, REPEATS)
    python = chosen.peers / "browsergym/bin/python"
    mine, theirs, failure = [], [], "" if python.exists() else "not installed: make bench-web"
    for _ in range(repeats):
        mine.append(asyncio.run(one_at_a_time(steps)))
        told = failure or peer(python, max(3, steps // 5))
        if isinstance(told, str):
            failure = told
        else:
            theirs.append(told)
    together, megabytes = asyncio.run(many_at_once(max(2, steps // 5)))
    report(mine, theirs, failure, together, megabytes)


def report(
    mine: list[Times], theirs: list[Times], failure: str, together: float, megabytes: float
) -> None:
    """The table, and the JSON line."""
    table = Table(title=f"MiniWoB++ {PAGE}, one episode")
    for column in ("", "reset ms", "step ms", "steps/s"):
        table.add_column(column, justify="right" if column else "left")
    figures: dict[str, float] = {"actions_per_s_of_16": together, "mb_per_window": megabytes}
    rates = {}
    for name, times in (("agentgym", mine), ("BrowserGym", theirs)):
        if times:
            reset, step, rate = (
                statistics.median(getattr(one, field) for one in times)
                for field in ("reset_s", "step_s", "steps_per_s")
            )
            rates[name] = rate
            figures |= {f"{name}_reset_ms": reset * 1e3, f"{name}_step_ms": step * 1e3}
            table.add_row(name, f"{reset * 1e3:.0f}", f"{step * 1e3:.0f}", f"{rate:.1f}")
    if len(rates) == 2:
        figures["times_as_fast"] = rates["agentgym"] / rates["BrowserGym"]
    console = Console()
    console.print(table)
    if failure:
        console.print(f"BrowserGym: {failure}", markup=False)
    console.print(f"{EPISODES} episodes at once: {together:.1f} actions/s; {megabytes:.0f} MB each")
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
