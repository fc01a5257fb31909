"""The jail against the Python tools of gem-llm, skyrl-gym and verifiers, and bare ``python -c``.

    make bench-sandbox          installs the peers in environments of their own, then runs this
    python benchmarks/sandbox.py [--quick] [--peers FOLDER]

Everything is measured in turn, three times (once with --quick), and compared by medians, since a
shared machine drifts. The call is ``print(sum(range(100)))``. Ours runs in sandboxes with every
guarantee, one for each caller, leased beforehand as an episode does; and also in a new sandbox for
each call, leasing included. The last line is one JSON object of ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agentgym import ExecResult, ExecStatus, Sandbox
from agentgym_tools.sandboxes.jail.backend import JailBackend

HERE = Path(__file__).parent
CODE = "print(sum(range(100)))"
NUMPY = "import numpy; print(numpy.arange(100).sum())"
PEERS = ("gem", "skyrl", "verifiers", "bare")
LEVELS = (16, 64)
TIMEOUT_S = 3.0
_SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second, and seconds that each call took."""

    calls_per_s: float
    latencies: list[float]

    def quantile(self, q: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e3


def interpreter_of(peer: str, folder: Path) -> Path | None:
    """The interpreter that has a peer installed; None if it was not installed."""
    path = Path(sys.executable) if peer == "bare" else folder / peer / "bin" / "python"
    return path if path.exists() else None


def run_peer(python: Path, peer: str, scratch: str, *arguments: str) -> dict[str, Any]:
    """One measurement in the peer's environment, in a session of its own."""
    command = [str(python), str(HERE / "python_tool_peer.py"), peer, *arguments]
    path = f"{python.parent}:{os.environ['PATH']}"  # some look for "python" there
    done = subprocess.run(
        command, cwd=scratch, capture_output=True, text=True, check=True, start_new_session=True,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


async def our_rate(backend: JailBackend, together: int, calls: int, *, fresh: bool) -> Rate:
    """As many callers as ``together``, each with its own sandbox, or a new one for each call."""
    latencies: list[float] = []

    async def timed(box: Sandbox) -> None:
        started = time.perf_counter()
        result = await box.run_python(CODE)
        latencies.append(time.perf_counter() - started)
        assert result.stdout == b"4950\n", result

    async def caller(box: Sandbox | None, count: int) -> None:
        if box is not None:
            for _ in range(count):
                await timed(box)
            return
        for _ in range(count):
            started = time.perf_counter()
            box = await backend.acquire()
            result = await box.run_python(CODE)
            await box.aclose()
            latencies.append(time.perf_counter() - started)
            assert result.stdout == b"4950\n", result

    boxes = [None if fresh else await backend.acquire() for _ in range(together)]
    started = time.perf_counter()
    await asyncio.gather(*(caller(box, calls // together) for box in boxes))
    took = time.perf_counter() - started
    for box in boxes:
        if box is not None:
            await box.aclose()
    await asyncio.sleep(_SETTLE_S)  # the slots make themselves ready; nobody else should pay for it
    return Rate(calls / took, latencies)


async def stateful_rate(backend: JailBackend, calls: int) -> float:
    """Calls a second of one session."""
    box = await backend.acquire()
    await box.run_python("x = 0", session="s")
    started = time.perf_counter()
    for _ in range(calls):
        await box.run_python("x += 1", session="s")
    took = time.perf_counter() - started
    assert (await box.run_python("x", session="s")).stdout == b"%d\n" % calls
    await box.aclose()
    return calls / took


async def numpy_ratio(backend: JailBackend, calls: int) -> float:
    """How many times faster numpy code runs here than in a new interpreter."""
    box = await backend.acquire()
    ours, bare = [], []
    for _ in range(calls):
        started = time.perf_counter()
        assert (await box.run_python(NUMPY)).stdout == b"4950\n"
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import numpy"], check=True)
        bare.append(time.perf_counter() - started)
    await box.aclose()
    return statistics.median(bare) / statistics.median(ours)


async def containment(backend: JailBackend, scratch: str) -> tuple[dict[str, bool], float, float]:
    """The eight kinds of misbehaviour: which were contained, worst overrun, memory growth."""
    os.environ["MY_SECRET_TOKEN"] = "leak-me"
    box = await backend.acquire()
    overruns: list[float] = []

    async def run(code: str) -> ExecResult:
        started = time.perf_counter()
        result = await box.run_python(code, timeout_s=TIMEOUT_S)
        overruns.append(time.perf_counter() - started - TIMEOUT_S)
        return result

    held = {"time-out as set": (await run("while True: pass")).status is ExecStatus.TIMEOUT}
    fork = "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        {pipes}\n"
    fork += "        while True: open('beat', 'a').write('x'); time.sleep(0.05)\nprint('done')"
    for name, pipes in (("orphans", "os.close(1); os.close(2)"), ("held pipe", "pass")):
        result = await run(fork.format(pipes=pipes))
        sizes = []
        for _ in range(2):
            beats = [entry.size for entry in await box.list_dir() if entry.name == "beat"]
            sizes.append(sum(beats))
            await asyncio.sleep(0.3)
        held[name] = result.ok and sizes[0] == sizes[1]
    result = await run("import mmap\nm = mmap.mmap(-1, 6 << 30)\nprint('got 6GiB')")
    held["memory"] = b"got" not in result.stdout
    before = peak_mib()
    await run("import sys\nfor _ in range(100): sys.stdout.write('x' * 1000000)")
    growth = peak_mib() - before
    held["output"] = growth < 5
    result = await run("import os; print(os.environ.get('MY_SECRET_TOKEN'))")
    held["secrets"] = b"leak-me" not in result.stdout
    target = os.path.join(scratch, "escaped")
    await run(f"open({target!r}, 'w').write('x')")
    held["files"] = not os.path.exists(target)
    result = await run("import socket; print('made', socket.create_server(('127.0.0.1', 0)))")
    held["network"] = b"made" not in result.stdout
    await box.aclose()
    return held, max(overruns), growth


def peak_mib() -> float:
    """Most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(quick: bool, folder: Path) -> dict[str, float]:
    """Everything, printed as it comes; returns the ratios."""
    console = Console(width=110)
    peers = {peer: path for peer in PEERS if (path := interpreter_of(peer, folder))}
    for peer in set(PEERS) - set(peers):
        console.print(f"{peer}: not installed in {folder}; make bench-sandbox does that")
    repeats = 1 if quick else 3
    rates: dict[tuple[str, int], list[Rate]] = {}
    backend = JailBackend(max_sandboxes=128)
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o777)
        console.print(f"guarantees: {(await backend.probe()).form}")
        for _ in range(repeats):
            for level in LEVELS:
                for name, fresh in (("jail", False), ("jail, new sandbox each", True)):
                    rate = await our_rate(
                        backend, level, level * (10 if quick else 30), fresh=fresh
                    )
                    rates.setdefault((name, level), []).append(rate)
                for peer, python in peers.items():
                    calls = str(level * (2 if quick else 6))
                    found = run_peer(python, peer, scratch, "rate", str(level), calls)
                    rates.setdefault((peer, level), []).append(Rate(**found))
        show_rates(console, rates)
        ratios = rate_ratios(rates)
        held, overrun, growth = await containment(backend, scratch)
        ratios |= {
            "contained of 8": sum(held.values()),
            "worst overrun of the time-out, s": overrun,
        }
        ratios["parent growth on 100 MB of output, MiB"] = growth
        table = Table("misbehaviour", "jail", *peers)
        theirs = {peer: contained(python, peer, scratch) for peer, python in peers.items()}
        for kind in held:
            table.add_row(
                kind, *("held" if one[kind] else "no" for one in (held, *theirs.values()))
            )
        console.print(table)
        for peer, kinds in theirs.items():
            ratios[f"contained of 8 by {peer}"] = sum(kinds.values())
    ratios["numpy code: speed against python -c 'import numpy'"] = await numpy_ratio(
        backend, 10 if quick else 30
    )
    ratios["stateful calls per s"] = statistics.median(
        [await stateful_rate(backend, 2000) for _ in range(repeats)]
    )
    await backend.aclose()
    return ratios


def contained(python: Path, peer: str, scratch: str) -> dict[str, bool]:
    """The kinds of misbehaviour that a peer contained."""
    kinds: dict[str, bool] = run_peer(python, peer, scratch, "contain", scratch)["held"]
    Path(scratch, "escaped").unlink(missing_ok=True)
    return kinds


def show_rates(console: Console, rates: dict[tuple[str, int], list[Rate]]) -> None:
    """One row for each tool and number of callers."""
    table = Table(
        "tool", "at once", "calls/s", "median ms", "p99 ms", title="one-shot Python calls"
    )
    for (name, level), found in sorted(rates.items(), key=lambda item: item[0][1]):
        speed = statistics.median(rate.calls_per_s for rate in found)
        middle = statistics.median(rate.quantile(0.5) for rate in found)
        tail = statistics.median(rate.quantile(0.99) for rate in found)
        table.add_row(name, str(level), f"{speed:.0f}", f"{middle:.1f}", f"{tail:.1f}")
    console.print(table)


def rate_ratios(rates: dict[tuple[str, int], list[Rate]]) -> dict[str, float]:
    """Ours against the best peer, and the tails."""
    ratios: dict[str, float] = {}
    for level in LEVELS:
        speed = {
            name: statistics.median(rate.calls_per_s for rate in found)
            for (name, at), found in rates.items()
            if at == level
        }
        tail = {
            name: statistics.median(rate.quantile(0.99) for rate in found)
            for (name, at), found in rates.items()
            if at == level
        }
        peers = [speed[peer] for peer in PEERS if peer in speed and peer != "bare"]
        for name in ("jail", "jail, new sandbox each"):
            if peers:
                ratios[f"{name}: calls/s against the best peer at {level}"] = speed[name] / max(
                    peers
                )
            if "gem" in tail:
                ratios[f"{name}: p99 against gem-llm at {level}"] = tail[name] / tail["gem"]
            if "bare" in speed:
                ratios[f"{name}: calls/s against python -c at {level}"] = (
                    speed[name] / speed["bare"]
                )
    found = rates["jail", 64]
    ratios["p99 over median at 64"] = statistics.median(
        rate.quantile(0.99) / rate.quantile(0.5) for rate in found
    )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="under a minute, one repeat")
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".bench", help="environments")
    arguments = parser.parse_args()
    ratios = asyncio.run(measure(arguments.quick, arguments.peers))
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
