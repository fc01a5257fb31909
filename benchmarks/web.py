"""The browser environment on MiniWoB++: against BrowserGym, and by itself.

    make bench-web                         installs BrowserGym in an environment of its own
    python benchmarks/web.py [--quick] [--peers FOLDER]

Both press the same key on the same pages and give the observation after it; BrowserGym through the
Playwright that it pins, with the same Chromium: as it comes, and without the half second that it
waits before each observation. They are measured in turn, three times, and compared by medians,
since a shared machine drifts. A reset comes after an episode that has ended. Then ours alone:
sixteen episodes at once, and the memory of a window. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import subprocess
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentgym.checks.tool_calls import write_call
from agentgym_envs.web.env import WebEnv
from agentgym_tools.browser.find import find_chromium
from agentgym_tools.browser.pool import shared_pool

HERE = Path(__file__).parent
PAGES = ("click-test-2", "login-user", "click-checkboxes-large")
"""From 3 elements to some 60; the last fetches and runs five times the scripts of the first."""
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


def ours(page: str) -> WebEnv:
    """One environment, with room for a long episode."""
    limits = {"turns": 100_000}
    return WebEnv(site="miniwob", site_options={"page": page}, limits=limits, windows=EPISODES)


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


async def one_at_a_time(page: str, steps: int) -> Times:
    """Ours, with one episode."""
    env = ours(page)
    try:
        resets = []
        for seed in range(4):
            started = time.perf_counter()
            await env.begin(seed=seed)
            resets.append(time.perf_counter() - started)
            await play(env, 10)  # meanwhile the next window is made ready
            await env.advance(write_call(env, "give_up", {}))
        await env.begin(seed=0)
        seconds = await play(env, steps)
    finally:
        await env.end()
    return Times(statistics.median(resets[1:]), statistics.median(seconds), steps / sum(seconds))


async def many_at_once(steps: int) -> tuple[float, float]:
    """Steps a second of all episodes together, and megabytes of a window."""
    envs = [ours(PAGES[-1]) for _ in range(EPISODES)]
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


def peer(python: Path, page: str, steps: int, wait_s: float) -> Times:
    """BrowserGym's.

    Raises:
        RuntimeError: It does not run, and why.
    """
    found = importlib.util.find_spec("miniwob")
    if found is None or found.origin is None:
        raise RuntimeError("miniwob is not installed")
    folder = Path(found.origin).parent / "html"
    arguments = [find_chromium(), folder, page, f"keyboard_press('{KEY}')", steps, wait_s]
    command = [python, HERE / "web_peer.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it failed"])[-1][:200])
    told = json.loads(done.stdout.strip().splitlines()[-1])
    if told.pop("error"):
        raise RuntimeError("its action failed")
    return Times(**told)


def median(times: list[Times]) -> Times:
    """Field by field."""
    return Times(*(statistics.median(column) for column in zip(*map(astuple, times), strict=True)))


def compared(page: str, steps: int, repeats: int, python: Path | None) -> dict[str, Times]:
    """Ours and the peer's on one page, in turn."""
    times: dict[str, list[Times]] = {}
    for _ in range(repeats):
        times.setdefault("agentgym", []).append(asyncio.run(one_at_a_time(page, steps)))
        if python is None:
            continue
        for wait_s in (0.5, 0.0):
            name = "BrowserGym" if wait_s else "BrowserGym, no wait"
            times.setdefault(name, []).append(peer(python, page, max(3, steps // 5), wait_s))
    return {name: median(several) for name, several in times.items()}


def main() -> None:
    """Measure, and print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps, once")
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".bench")
    chosen = parser.parse_args()
    steps, repeats = (5, 1) if chosen.quick else (50, REPEATS)
    python: Path | None = chosen.peers / "browsergym/bin/python"
    if python is not None and not python.exists():
        python = None
        print("BrowserGym is not installed: make bench-web")
    table = Table(title="MiniWoB++, one episode at a time")
    for column in ("page", "", "reset ms", "step ms", "steps/s", "agentgym is"):
        table.add_column(column, justify="right" if column not in ("page", "") else "left")
    figures: dict[str, float] = {}
    for page in PAGES:
        times = compared(page, steps, repeats, python)
        for name, one in times.items():
            ratio = times["agentgym"].steps_per_s / one.steps_per_s
            cells = [
                f"{1e3 * one.reset_s:.0f}",
                f"{1e3 * one.step_s:.0f}",
                f"{one.steps_per_s:.1f}",
            ]
            table.add_row(page, name, *cells, "" if name == "agentgym" else f"{ratio:.1f} x")
            figures |= {f"{page}, {name}: steps/s": one.steps_per_s}
    together, megabytes = asyncio.run(many_at_once(max(2, steps // 5)))
    Console().print(table)
    print(f"{EPISODES} episodes at once: {together:.1f} actions/s; {megabytes:.0f} MB each")
    figures |= {"actions_per_s_of_16": together, "mb_per_window": megabytes}
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
