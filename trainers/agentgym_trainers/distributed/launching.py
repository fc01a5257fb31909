"""Running the parts of a run together: all of them, or none.

Whatever is started carries a mark in its environment, which children inherit; at the end all that
carry it are ended, also those that left their parent's process group (torchrun's and Ray's do).
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from agentgym.errors import AgentGymError
from agentgym_trainers.distributed.parts import Part

_MARK = "AGENTGYM_LAUNCH"
_GRACE_S = 20.0
_POLL_S = 0.5
_GONE_S = 0.05
_LAST_WORDS = 3


class PartEnded(AgentGymError):
    """A part of the run ended that should have gone on; the message names it."""


class Launch:
    """The parts that run now.

    Args:
        logs: Where parts other than the one that ends the run write to; made if missing.
        ready_s: Seconds until each part is ready for others.
    """

    def __init__(self, parts: Sequence[Part], logs: Path, *, ready_s: float = 900.0) -> None:
        self._parts, self._logs, self._ready_s = parts, logs, ready_s
        self._mark = uuid.uuid4().hex
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._waits: dict[asyncio.Task[int], Part] = {}

    async def run(self, say: Callable[[str], None]) -> None:
        """Start all parts in order, and wait until the one that ends the run is done.

        Raises:
            PartEnded: Another ended first, none of them well, or one was never ready.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            for part in self._parts:
                say(f"{part.name}: {part.shown()}")
                await self._start(part)
            done, _ = await asyncio.wait(self._waits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._check_end(self._waits[task], task.result())
        finally:
            await self._end_all()

    def finish(self) -> None:
        """Ask the part that ends the run to do so soon, by SIGINT."""
        for part in self._parts:
            if part.ends_run and part.name in self._processes:
                with suppress(ProcessLookupError):
                    self._processes[part.name].send_signal(signal.SIGINT)

    async def _start(self, part: Part) -> None:
        output = None if part.ends_run else self._log(part).open("wb")
        try:
            process = await asyncio.create_subprocess_exec(
                *part.command,
                env={**os.environ, **part.environment, _MARK: self._mark},
                stdout=output,
                stderr=asyncio.subprocess.STDOUT if output else None,
                start_new_session=True,  # Ctrl-C is for this process, which says what to do
            )
        finally:
            if output:
                output.close()
        self._processes[part.name] = process
        self._waits[asyncio.create_task(process.wait())] = part
        if part.ready_url:
            await self._until_ready(part, part.ready_url)

    async def _until_ready(self, part: Part, url: str) -> None:
        try:
            async with asyncio.timeout(self._ready_s), aiohttp.ClientSession() as session:
                while not await _answers(session, url):
                    done, _ = await asyncio.wait(
                        self._waits, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        self._check_end(self._waits[task], task.result())
        except TimeoutError as error:
            raise PartEnded(
                f"{part.name} did not answer at {url} within {self._ready_s:g} s{self._words(part)}"
            ) from error

    def _check_end(self, part: Part, code: int) -> None:
        if part.ends_run and code == 0:
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        raise PartEnded(f"{part.name} {how}{self._words(part)}; all other parts were ended")

    def _words(self, part: Part) -> str:
        if part.ends_run:
            return ""
        path = self._log(part)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_WORDS:]
        return f" ({path}: {' / '.join(lines)})"

    def _log(self, part: Part) -> Path:
        return self._logs / f"{part.name.replace(' ', '-')}.log"

    async def _end_all(self) -> None:
        """SIGTERM for each part, then SIGKILL for whatever still carries the mark."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.terminate()
        if self._waits:
            await asyncio.wait(self._waits, timeout=_GRACE_S)
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
        async with asyncio.timeout(_GRACE_S):
            while left := list(_marked(self._mark)):
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(_GONE_S)
            await asyncio.gather(*self._waits)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _marked(mark: str) -> Iterator[int]:
    """Processes with the mark in their environment, but this one."""
    wanted = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or somebody else's
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
