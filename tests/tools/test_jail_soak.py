"""After ten thousand calls, cancellations, and the trainer's own death: nothing is left."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.jails import LIMITS, lease, started, wanted_form

from agentgym import Sandbox
from agentgym_tools.sandboxes.jail.backend import JailBackend

CALLS = 10_000
TOGETHER = 16


def descendants(pid: int) -> Iterator[int]:
    """All processes below one, as the kernel lists them."""
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from descendants(int(child))
    except OSError:
        return


def traces(pid: int) -> dict[str, object]:
    """Everything that a backend of this process could leave."""
    groups = list(Path("/sys/fs/cgroup").glob(f"*/**/agentgym-{pid}-*"))
    return {
        "processes": sorted(descendants(pid)),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "mounts": Path(f"/proc/{pid}/mounts").read_text(),
        "control groups": groups,
        "folders": sorted(Path("/tmp").glob("agentgym-jail-*")),
    }


def resident_mb() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / (1 << 20)


async def one_call(box: Sandbox, rng: random.Random) -> str:
    """A call of some kind, cancelled now and then at some moment."""
    kinds = ["print(1)", "import os; os.fork()", "1/0", "print('x' * 3000)"]
    code = rng.choice(kinds)
    session = rng.choice([None, None, None, "s"])
    call = asyncio.create_task(box.run_python(code, session=session))
    if rng.random() < 0.1:
        await asyncio.sleep(rng.random() * 0.02)
        call.cancel()
    try:
        return (await call).status
    except asyncio.CancelledError:
        return "cancelled"


async def work(backend: JailBackend, seed: int, calls: int) -> list[str]:
    """One episode after another, each of a few calls in a sandbox of its own."""
    rng = random.Random(seed)
    seen: list[str] = []
    while len(seen) < calls:
        box = await lease(backend)
        for _ in range(rng.randint(1, 30)):
            seen.append(await one_call(box, rng))
        await box.aclose()
    return seen


@pytest.mark.slow
async def test_ten_thousand_calls_with_cancellations_leave_nothing() -> None:
    before = traces(os.getpid())
    backend = await started(recycle_after=200)
    await asyncio.gather(*(work(backend, seed, 30) for seed in range(TOGETHER)))
    memory = resident_mb()
    running = len(list(descendants(os.getpid())))
    descriptors = len(os.listdir("/proc/self/fd"))
    seen = await asyncio.gather(
        *(work(backend, 100 + seed, CALLS // TOGETHER) for seed in range(TOGETHER))
    )
    statuses = [status for one in seen for status in one]
    assert len(statuses) >= CALLS
    assert set(statuses) <= {"ok", "nonzero", "cancelled"}
    assert statuses.count("cancelled") > CALLS / 50
    assert resident_mb() - memory < 10
    assert len(list(descendants(os.getpid()))) <= running + 2 * TOGETHER
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 8 * TOGETHER
    await backend.aclose()
    assert traces(os.getpid()) == before


TRAINER = """
import asyncio, os, sys
from tools.jails import lease, started
async def main():
    backend = await started()
    boxes = [await lease(backend) for _ in range(4)]
    await boxes[0].run_bash("sleep 1000 & setsid sleep 1000 &", session="s")
    calls = [asyncio.create_task(box.run_python(code)) for box, code in zip(boxes[1:], [
        "import time; time.sleep(1000)",
        "import os, time\\nif os.fork() == 0: os.setsid()\\ntime.sleep(1000)",
        "while True: pass",
    ])]
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["trainer", "keeper"])
async def test_nothing_runs_on_when_the_trainer_is_killed(victim: str) -> None:
    await (await started()).aclose()  # or skip
    paths = {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent.parent)])}
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER], stdout=subprocess.PIPE, env={**os.environ, **paths}
    )
    try:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == b"ready\n"
        below = list(descendants(trainer.pid))
        assert len(below) > 10
        os.kill(trainer.pid if victim == "trainer" else below[0], signal.SIGKILL)
        until = time.monotonic() + 5
        while time.monotonic() < until and any(map(is_running, below)):
            await asyncio.sleep(0.05)
        assert [pid for pid in below if is_running(pid)] == []
        if victim == "trainer":
            assert not list(Path("/sys/fs/cgroup").glob(f"*/**/agentgym-{trainer.pid}-*"))
    finally:
        trainer.kill()
        trainer.communicate()


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def test_closing_the_backend_in_the_middle_of_calls_ends_them() -> None:
    before = traces(os.getpid())
    backend = await started()
    boxes = [await lease(backend, LIMITS) for _ in range(4)]
    calls = [asyncio.create_task(box.run_python("while True: pass")) for box in boxes]
    await asyncio.sleep(0.2)
    await backend.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(type(result).__name__ == "SandboxDied" for result in results), results
    assert traces(os.getpid()) == before


def test_the_form_under_test_is_a_known_one() -> None:
    assert wanted_form() in (None, "root", "user", "landlock")
