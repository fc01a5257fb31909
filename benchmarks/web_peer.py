"""BrowserGym's MiniWoB, driven by its own Playwright: run by ``benchmarks/web.py``, prints JSON.

Arguments: the Chromium, the folder of MiniWoB's pages, the page, the action, steps.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

chromium, folder, page, action, steps = sys.argv[1:]
os.environ["MINIWOB_URL"] = f"file://{folder}/miniwob/"

import browsergym.miniwob  # noqa: E402, F401  # registers its environments
import gymnasium as gym  # noqa: E402
from browsergym.core.action.highlevel import HighLevelActionSet  # noqa: E402

env = gym.make(
    f"browsergym/miniwob.{page}",
    headless=True,
    action_mapping=HighLevelActionSet(subsets=["bid", "coord"]).to_python_code,
    pw_chromium_kwargs={"executable_path": chromium, "args": ["--no-sandbox", "--disable-gpu"]},
)
try:
    resets, seconds = [], []
    for seed in range(3):
        started = time.perf_counter()
        env.reset(seed=seed)
        resets.append(time.perf_counter() - started)
    for _ in range(int(steps)):
        started = time.perf_counter()
        observation, *_ = env.step(action)
        seconds.append(time.perf_counter() - started)
    told = {"reset_s": statistics.median(resets[1:]), "step_s": statistics.median(seconds)}
    told["steps_per_s"] = len(seconds) / sum(seconds)
    print(json.dumps(told | {"error": observation["last_action_error"]}))
finally:
    env.close()
