"""The backend ``docker``: leases, warm containers, and who may run at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from agentgym.errors import UsageError
from agentgym.sandbox import (
    Guarantees,
    Limits,
    Promise,
    SandboxDied,
    SandboxError,
    SandboxSpec,
    SandboxStats,
)
from agentgym_tools.sandboxes.docker import hardening, images, reaper
from agentgym_tools.sandboxes.docker.container import Container
from agentgym_tools.sandboxes.docker.creation import create
from agentgym_tools.sandboxes.docker.engine import Engine
from agentgym_tools.sandboxes.docker.sandbox import DockerSandbox
from agentgym_tools.sandboxes.docker.session import Session
from agentgym_tools.sandboxes.fair_gate import FairGate
from agentgym_tools.sandboxes.probe import probe
from agentgym_tools.sandboxes.session_client import Language

Result = TypeVar("Result")
Kind = tuple[str, Limits]


class DockerBackend:
    """One container for each episode, on a Docker or Podman engine.

    Stops: network (but loopback and Unix sockets inside the container); host files and secrets;
    signals to the outside; memory, processes and disk beyond the limits; writing anywhere but in
    /work, /tmp and /dev/shm; gaining privileges; kernel machinery, by a seccomp profile that is
    stricter than the engine's own; endless output; leftovers of a call. Containers of dead
    trainers are removed at the next start on the same machine.
    Does not stop: kernel exploits, since the code shares the engine's kernel; anybody who can
    reach the engine's socket, which is never passed in; reading the image's own files.

    The model's code runs as user 1000 without capabilities. One small shell of ours runs beside
    it as the container's root, with the capability to kill there. ``disk_mb`` is divided: three
    quarters are /work, an eighth each are /tmp and /dev/shm. ``cpu_s`` holds for programs and
    one-shot code, not for sessions. A session's background jobs live until the session ends or
    the sandbox is reset; a call that fork-bombs takes the sandbox's sessions with it.

    Args:
        base_url: The engine, as in ``DOCKER_HOST``; None for that variable or the local one.
        image: Used where ``SandboxSpec.image`` names none. Needs ``sh``; sessions need
            ``python3``, and bash ones ``bash``. Pulled if it is not there.
        pool: Containers kept ready for the kind that was asked for last. Each costs about 1 MB
            and saves about 0.2 s.
        concurrency: Calls that run at once.
        leases: Sandboxes lent at once.
        cpus: Cores that one container may use.
    """

    def __init__(
        self,
        base_url: str | None = None,
        image: str = "python:3.12-slim",
        pool: int = 2,
        concurrency: int = 16,
        leases: int = 64,
        cpus: float = 1.0,
    ) -> None:
        if pool < 0 or concurrency < 1 or leases < 1 or cpus <= 0:
            raise UsageError(
                "pool must be at least 0, concurrency and leases at least 1, cpus above 0; "
                f"got pool={pool}, concurrency={concurrency}, leases={leases}, cpus={cpus}"
            )
        self._image = image
        self._pool_size = pool
        self._cpus = cpus
        self._calls_gate = FairGate(concurrency)
        self._leases_gate = FairGate(leases)
        # More threads than calls: closing and refilling must not wait for long calls.
        self._engine = Engine(base_url, concurrency + 8)
        self._starting = asyncio.Lock()
        self._guarantees: Guarantees | None = None
        self._idle: dict[Kind, deque[Container]] = {}
        self._boxes: set[DockerSandbox] = set()
        self._refills: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._died = 0

    async def start(self) -> None:
        """Connect, and remove what dead trainers left. May be called twice.

        Raises:
            PluginMissing: The ``docker`` client is not installed.
            SandboxUnavailable: No engine answers.
        """
        async with self._starting:
            if self._engine.api is None:
                await self._engine.run(self._engine.connect)
                await self._engine.run(lambda: reaper.reap(self._engine.api))

    async def probe(self) -> Guarantees:
        """Attack a container and tell what held. Needs python3 in the default image."""
        await self.start()
        if self._guarantees is None:
            self._guarantees = await probe("docker", await self._form(), self._unchecked, fix=_fix)
        return self._guarantees

    async def acquire(
        self,
        spec: SandboxSpec | None = None,
        *,
        episode_id: str = "",
        deadline_s: float = 60.0,
        ttl_s: float = 3600.0,
    ) -> DockerSandbox:
        """Lease a fresh container, first come, first served.

        Raises:
            SandboxUnavailable: The engine is weaker than ``spec.min_guarantees``, does not
                enforce a limit, has no such image, or no lease came free in time.
        """
        wanted = spec or SandboxSpec()
        if wanted.base is not None and not wanted.base.is_dir():
            raise UsageError(f"SandboxSpec.base must be a folder, got {str(wanted.base)!r}")
        await self.start()
        if wanted.min_guarantees:
            (await self.probe()).require(wanted.min_guarantees)
        box = await self.lease(wanted, episode_id, deadline_s, ttl_s)
        try:
            await box.fill()
        except BaseException:
            await box.aclose()
            raise
        return box

    def stats(self) -> SandboxStats:
        """What is leased, waiting and running."""
        return SandboxStats(
            leased=self._leases_gate.inside,
            waiting=self._leases_gate.waiting + self._calls_gate.waiting,
            running=self._calls_gate.inside,
            calls=self._calls,
            died=self._died,
        )

    async def aclose(self) -> None:
        """Remove every container. May be called twice."""
        for refill in list(self._refills):
            refill.cancel()
        await asyncio.gather(*self._refills, return_exceptions=True)
        await asyncio.gather(*(box.aclose() for box in list(self._boxes)))
        idle = [container for kept in self._idle.values() for container in kept]
        self._idle.clear()
        await asyncio.gather(*map(self.discard, idle))
        self._guarantees = None
        self._engine.close()

    async def lease(
        self, spec: SandboxSpec, episode_id: str, deadline_s: float, ttl_s: float
    ) -> DockerSandbox:
        """A sandbox with an empty /work, whatever the engine guarantees."""
        await self._leases_gate.enter(deadline_s, "container")
        try:
            container = await self.take(spec, episode_id)
        except BaseException:
            self._leases_gate.leave()
            raise
        box = DockerSandbox(self, spec, container, episode_id, ttl_s)
        self._boxes.add(box)
        return box

    async def take(self, spec: SandboxSpec, episode_id: str) -> Container:
        """A container that nobody has used, warm if there is one."""
        kind = spec.image or self._image, spec.limits
        ready = self._idle.setdefault(kind, deque())
        container = None
        while ready and container is None:
            container = await self._if_alive(ready.popleft())
        if container is None:
            container = await self._create(kind, episode_id)
        self._refill(kind)
        return container

    async def _if_alive(self, candidate: Container) -> Container | None:
        try:
            return candidate if await self.run(candidate.alive) else None
        except BaseException:  # cancelled: nobody else knows of it any more
            await self.discard(candidate)
            raise

    async def discard(self, container: Container) -> None:
        """Remove a container, to the end even when cancelled."""
        await self.run(container.remove)

    async def give_back(self, box: DockerSandbox, container: Container) -> None:
        """End a lease."""
        if box in self._boxes:
            self._boxes.discard(box)
            try:
                await self.discard(container)
            finally:
                self._leases_gate.leave()

    def session(self, container: Container, language: Language) -> Session:
        """A new session, not yet started."""
        return Session(self._engine.api, container, language)

    async def call(self, work: Callable[[], Result], cancel: Callable[[], None]) -> Result:
        """Run a sandbox's call, first come, first served."""
        async with self._calls_gate.place():
            self._calls += 1
            try:
                return await self.run(work, cancel)
            except SandboxDied:
                self._died += 1
                raise

    async def run(
        self, work: Callable[[], Result], cancel: Callable[[], None] | None = None
    ) -> Result:
        """Run blocking work in the engine's threads, to its end even when cancelled."""
        return await self._engine.run(work, cancel)

    async def _create(self, kind: Kind, episode_id: str = "") -> Container:
        image, limits = kind
        made: list[Container] = []

        def work() -> None:
            images.ensure_image(self._engine.api, image)
            marks = hardening.labels(episode_id)
            made.append(create(self._engine.api, image, limits, self._cpus, marks))

        try:
            await self.run(work)
        except asyncio.CancelledError:
            for container in made:
                await self.discard(container)
            raise
        return made[0]

    def _refill(self, kind: Kind) -> None:
        task = asyncio.create_task(self._keep_ready(kind))
        self._refills.add(task)
        task.add_done_callback(self._refills.discard)

    async def _keep_ready(self, kind: Kind) -> None:
        for other in [other for other in self._idle if other != kind]:
            for container in self._idle.pop(other):
                await self.discard(container)
        ready = self._idle.setdefault(kind, deque())
        while len(ready) < self._pool_size:
            try:
                container = await self._create(kind)
            except SandboxError:
                return  # whoever asks next is told why
            if self._idle.get(kind) is not ready or len(ready) >= self._pool_size:
                await self.discard(container)  # another kind is wanted by now
                return
            ready.append(container)

    async def _unchecked(self, limits: Limits) -> DockerSandbox:
        return await self.lease(SandboxSpec(limits), "probe", 60.0, 3600.0)

    async def _form(self) -> str:
        info = await self._engine.run(self._engine.api.info)
        security = [option.split(",")[0] for option in info.get("SecurityOptions") or []]
        rootless = ", rootless" if "name=rootless" in security else ""
        version = info.get("CgroupVersion", "unknown")
        return (
            f"containers of {info.get('OperatingSystem', 'an engine')}, cgroup v{version}{rootless}"
        )


def _fix(promise: Promise) -> str:
    if promise in (Promise.NETWORK, Promise.KERNEL_SURFACE):
        return 'a newer engine, whose seccomp profile closes it, or "jail"'
    return 'an engine that runs as root, or "jail"'
