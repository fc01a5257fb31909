"""BrowserGym's MiniWoB, driven by its own Playwright: run by ``benchmarks/web.py``, prints JSON.

Arguments: the Chromium, the folder of MiniWoB's pages, the page, the action, steps, and how many
seconds to wait before an observation.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

chromium, folder, page, action, steps, wait_s = sys.argv[1:]
os.environ["MINIWOB_URL"] = f"file://{folder}/miniwob/"
browsers = tempfile.TemporaryDirectory()
os.environ["PLAYWRIGHT_BROWSERS_PATH"] = browsers.name

import browsergym.miniwob  # noqa: E402, F401  # registers its environments
import gymnasium as gym  # noqa: E402
from browsergym.core import _get_global_playwright  # noqa: E402
from browsergym.core.action.highlevel import HighLevelActionSet  # noqa: E402

# Both browsers that it starts, one for its chat, are the one that we were given.
expected = Path(_get_global_playwright().chromium.executable_path)
expected.parent.mkdir(parents=True)
expected.symlink_to(chromium)
env = gym.make(
    f"browsergym/miniwob.{page}",
    headless=True,
    pre_observation_delay=float(wait_s),
    action_mapping=HighLevelActionSet(subsets=["bid", "coord"]).to_python_code,
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
