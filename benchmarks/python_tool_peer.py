"""One peer's Python tool, measured in the peer's own environment. Called by sandbox.py.

    python python_tool_peer.py {gem|skyrl|verifiers|bare} rate CONCURRENCY CALLS
    python python_tool_peer.py {gem|skyrl|verifiers|bare} contain SCRATCH_FOLDER

Prints one JSON object. Standard library only, but for the peer itself.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

CODE = "print(sum(range(100)))"
TIMEOUT_S = 3


class Tool:
    """A peer's tool behind one coroutine: code in, text out."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.pool = ThreadPoolExecutor(64)
        self.call = getattr(self, name)()

    async def run(self, code: str) -> str:
        return await self.call(code)

    def in_thread(self, function):
        async def call(code):
            return await asyncio.get_running_loop().run_in_executor(self.pool, function, code)

        return call

    def bare(self):
        def run(code):
            command = [sys.executable, "-c", code]
            try:
                done = subprocess.run(command, capture_output=True, timeout=self.timeout_s)
            except subprocess.TimeoutExpired:
                return "timeout"
            return (done.stdout + done.stderr).decode(errors="replace")

        return self.in_thread(run)

    def gem(self):
        from gem.tools.python_code_tool import PythonCodeTool

        tool = PythonCodeTool(timeout=int(self.timeout_s))
        return self.in_thread(lambda code: tool.execute_action(f"<python>\n{code}\n</python>")[2])

    def skyrl(self):
        from skyrl_gym.tools import PythonCodeExecutorToolGroup

        tools = PythonCodeExecutorToolGroup(timeout=self.timeout_s)
        return self.in_thread(lambda code: str(tools.execute_tool("python", code)))

    def verifiers(self):
        from verifiers.v1.runtimes.subprocess import SubprocessConfig, SubprocessRuntime

        runtime = SubprocessRuntime(SubprocessConfig())
        started = []

        async def call(code):
            if not started:
                started.append(await runtime.start())
            running = runtime.run([sys.executable, "-c", code], {})
            try:
                result = await asyncio.wait_for(running, self.timeout_s)
            except TimeoutError:
                return "timeout"
            return result.stdout + result.stderr

        return call


async def rate(tool: Tool, together: int, calls: int) -> dict:
    """Calls a second, and the latencies, of ``calls`` calls with ``together`` under way."""
    assert "4950" in await tool.run(CODE)
    latencies, gate = [], asyncio.Semaphore(together)

    async def one():
        async with gate:
            started = time.perf_counter()
            assert "4950" in await tool.run(CODE)
            latencies.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(calls)))
    return {"calls_per_s": calls / (time.perf_counter() - started), "latencies": latencies}


def alive(marker: str) -> list[int]:
    """Processes with a marker on their command line, ours excepted."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if marker.encode() in file.read() and int(name) != os.getpid():
                    found.append(int(name))
        except OSError:
            continue
    return found


# As innocent as it can look: some tools refuse code by the words in it.
FORK = """{marker} = 1
import os, sys, time
f = getattr(os, 'fo' + 'rk')
for _ in range(8):
    if f() == 0:
        {pipes}
        time.sleep(30)
        break
else:
    print('parent done')
"""


async def contain(tool: Tool, scratch: str) -> dict:
    """Which of eight kinds of misbehaviour were contained, with a time-out of three seconds."""
    os.environ["MY_SECRET_TOKEN"] = "leak-me"
    held = {}
    started = time.perf_counter()
    await tool.run("while True: pass")
    held["time-out as set"] = time.perf_counter() - started < TIMEOUT_S + 0.5
    for name, pipes in (("orphans", "os.close(1); os.close(2)"), ("held pipe", "pass")):
        marker = f"MARK{os.getpid()}{name[0]}"
        started = time.perf_counter()
        await asyncio.wait_for(tool.run(FORK.format(marker=marker, pipes=pipes)), 60)
        took = time.perf_counter() - started
        await asyncio.sleep(0.5)
        left = alive(marker)
        held[name] = not left and not children() and (name == "orphans" or took < TIMEOUT_S + 0.5)
        for pid in left + children():
            os.kill(pid, 9)
    text = await tool.run("import mmap\nm = mmap.mmap(-1, 6 << 30)\nprint('got 6GiB')")
    held["memory"] = "got" not in text
    before = peak_mib()
    text = await tool.run(
        "import sys\nw = getattr(sys, 'std' + 'out')\nfor _ in range(100): w.write('x' * 1000000)"
    )
    growth = peak_mib() - before
    held["output"] = growth < 5
    text = await tool.run("import os\nprint(os.environ.get('MY_SECRET_TOKEN'))")
    held["secrets"] = "leak-me" not in text
    target = os.path.join(scratch, "escaped")
    await tool.run(f"open({target!r}, 'w').write('x')")
    held["files"] = not os.path.exists(target)
    text = await tool.run(
        "s = __import__('so' + 'cket').create_server(('127.0.0.1', 0))\n"
        "print('name', s.getsockname())"
    )
    held["network"] = "name ('127" not in text
    return {"held": held, "growth_mib": growth}


def children() -> list[int]:
    """Processes that were started by this one and got away: orphans whose time is not over."""
    own, found = os.getpid(), []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == os.getsid(0) and int(name) != own and int(fields[1]) == 1:
            found.append(int(name))
    return found


def peak_mib() -> float:
    """Most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    name, what = sys.argv[1:3]
    if what == "rate":
        result = asyncio.run(rate(Tool(name, 20), int(sys.argv[3]), int(sys.argv[4])))
    else:
        result = asyncio.run(contain(Tool(name, TIMEOUT_S), sys.argv[3]))
    print(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
