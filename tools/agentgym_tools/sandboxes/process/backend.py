"""The backend ``process``: who may use it, how many calls run at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agentgym.errors import UsageError
from agentgym.sandbox import (
    Gap,
    Guarantees,
    Promise,
    SandboxSpec,
    SandboxStats,
    SandboxUnavailable,
)
from agentgym_tools.sandboxes.fair_gate import FairGate
from agentgym_tools.sandboxes.process.sandbox import ProcessSandbox
from agentgym_tools.sandboxes.threads import in_thread

Result = TypeVar("Result")

_REASONS = {
    Promise.NETWORK: "a plain subprocess has this machine's network",
    Promise.HOST_SOCKETS: "a plain subprocess can connect to every socket its user can",
    Promise.HOST_FILES: "a plain subprocess can read and write all files of its user",
    Promise.SECRETS: "/proc shows a plain subprocess its user's other processes",
    Promise.OTHER_PROCESSES: "a plain subprocess can signal its user's other processes",
    Promise.KERNEL_SURFACE: "no system call is closed to a plain subprocess",
    Promise.MEMORY: "address space is limited for each process, not for all together",
    Promise.PROCESS_COUNT: "processes are counted for each user, not for each sandbox",
    Promise.DISK: "only the size of each file is limited",
    Promise.LEFTOVERS: "a daemon that clears its environment is not found again",
}
GAPS = {promise: Gap(reason, fix='use "jail" or "docker"') for promise, reason in _REASONS.items()}


class ProcessBackend:
    """Plain subprocesses in a temporary folder, for code that you trust.

    Stops: endless output; runs longer than their time-out; one process with too much memory,
    processor time or too large a file; what a call left running, unless it hides; secrets in the
    trainer's environment variables from being inherited (not from being read in /proc).
    Does not stop: anything else. The code runs as you, with your files and your network.

    Since ``allow_unsafe=True`` says that this is known, ``SandboxSpec.min_guarantees`` is not
    enforced here.

    Args:
        allow_unsafe: Must be True.
        concurrency: Calls that run at once; by default two for each core.
    """

    def __init__(self, allow_unsafe: bool = False, concurrency: int | None = None) -> None:
        if concurrency is not None and concurrency < 1:
            raise UsageError(f"concurrency must be at least 1, got {concurrency}")
        self._allow_unsafe = allow_unsafe
        places = concurrency or 2 * (os.cpu_count() or 1)
        self._gate = FairGate(places)
        self._pool: ThreadPoolExecutor | None = None
        self._boxes: set[ProcessSandbox] = set()
        self._calls = 0

    async def start(self) -> None:
        """Make ready.

        Raises:
            SandboxUnavailable: ``allow_unsafe`` is not True.
        """
        if not self._allow_unsafe:
            raise SandboxUnavailable(
                "sandbox 'process' isolates nothing: the model's code would run as you, with your "
                'files and your network; use "jail" or "docker", or, for code that you trust, '
                "pass allow_unsafe=True"
            )

    async def probe(self) -> Guarantees:
        """What a plain subprocess stops: known beforehand, so nothing is attacked."""
        return Guarantees("process", "plain subprocess", GAPS)

    async def acquire(
        self,
        spec: SandboxSpec | None = None,
        *,
        episode_id: str = "",
        deadline_s: float = 60.0,
        ttl_s: float = 3600.0,
    ) -> ProcessSandbox:
        """Make a sandbox. There is always one free; only calls wait.

        Raises:
            SandboxUnavailable: ``allow_unsafe`` is not True.
            UsageError: ``spec.base`` is not a folder, or an image is asked for.
        """
        await self.start()
        wanted = spec or SandboxSpec(min_guarantees=frozenset())
        if wanted.image is not None:
            raise UsageError(f"'process' runs no images, got {wanted.image!r}; use \"docker\"")
        if wanted.base is not None and not wanted.base.is_dir():
            raise UsageError(f"SandboxSpec.base must be a folder, got {str(wanted.base)!r}")
        box = ProcessSandbox(self, wanted, episode_id, ttl_s)
        self._boxes.add(box)
        try:
            await in_thread(self.threads, box.fill)
        except BaseException:
            await box.aclose()
            raise
        return box

    def stats(self) -> SandboxStats:
        """What is leased, waiting and running."""
        return SandboxStats(
            leased=len(self._boxes),
            waiting=self._gate.waiting,
            running=self._gate.inside,
            calls=self._calls,
        )

    async def aclose(self) -> None:
        """End every sandbox and everything in it. May be called twice."""
        for box in list(self._boxes):
            await box.aclose()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    @property
    def threads(self) -> ThreadPoolExecutor:
        """Threads for blocking work. One more than calls may run, so that closing never waits."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._gate.places + 1, "agentgym-process")
        return self._pool

    async def run(
        self, work: Callable[[], Result], cancel: Callable[[], None] | None = None
    ) -> Result:
        """Run a sandbox's blocking call, first come, first served."""
        async with self._gate.place():
            self._calls += 1
            return await in_thread(self.threads, work, cancel)

    def forget(self, box: ProcessSandbox) -> None:
        """Count a sandbox as given back."""
        self._boxes.discard(box)
