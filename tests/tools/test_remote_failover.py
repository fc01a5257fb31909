"""Servers that die, hang, drain or come late: the right episodes are masked, the rest unharmed."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tools.remote_servers import SPEC, TOKEN, SandboxServer, serving

from agentgym.sandbox import SandboxDied, SandboxUnavailable
from agentgym_tools.sandboxes.remote.backend import RemoteBackend
from agentgym_tools.sandboxes.remote.box import RemoteSandbox
from agentgym_tools.sandboxes.remote.messages import LimitsMessage
from agentgym_tools.sandboxes.remote.routing import preference

Start = Callable[..., SandboxServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    servers: list[SandboxServer] = []

    def start_one(*arguments: str) -> SandboxServer:
        server = serving(tmp_path / str(len(servers)), *arguments)
        servers.append(stack.enter_context(server))
        return servers[-1]

    with ExitStack() as stack:
        yield start_one
        for server in servers:
            server.kill()


@dataclass
class Silence:
    """A server that accepts connections and never answers."""

    url: str = ""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __aenter__(self) -> "Silence":
        self._server = await asyncio.start_server(self._keep, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        for writer in self._writers:
            writer.close()
        self._server.close()

    async def _keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)


def episode_at(server: SandboxServer, *others: str) -> str:
    """An episode whose first choice is this server."""
    urls = [server.url, *others]
    return next(name for name in map(str, range(1000)) if preference(urls, name)[0] == server.url)


def test_every_client_routes_alike_and_a_lost_server_moves_only_its_own() -> None:
    servers = [f"http://10.0.0.{n}:8700" for n in range(4)]
    episodes = [f"task-{n}" for n in range(2000)]
    first = {one: preference(servers, one)[0] for one in episodes}
    assert first == {one: preference(reversed(servers), one)[0] for one in episodes}
    assert all(400 < count < 600 for count in Counter(first.values()).values())
    left = servers[1:]
    moved = {one for one in episodes if preference(left, one)[0] != first[one]}
    assert moved == {one for one in episodes if first[one] == servers[0]}


async def test_a_server_killed_in_the_middle_of_a_call_is_a_death(start: Start) -> None:
    server = start()
    backend = RemoteBackend(server.url, TOKEN)
    box = await backend.acquire(SPEC)
    call = asyncio.create_task(box.exec(["sleep", "3"]))
    await asyncio.sleep(0.5)
    server.kill()
    began = time.monotonic()
    with pytest.raises(SandboxDied, match=r"127\.0\.0\.1"):
        await call
    assert time.monotonic() - began < 5
    with pytest.raises(SandboxDied):
        await box.run_python("print(1)")
    assert backend.stats().died == 1
    await backend.aclose()


async def test_a_server_that_hangs_is_a_death_within_a_bound(start: Start) -> None:
    server = start()
    backend = RemoteBackend(server.url, TOKEN, heartbeat_s=0.3)
    box = await backend.acquire(SPEC)
    call = asyncio.create_task(box.exec(["sleep", "4"]))
    await asyncio.sleep(0.3)
    os.kill(server.process.pid, signal.SIGSTOP)  # it still accepts connections: the kernel does
    began = time.monotonic()
    with pytest.raises(SandboxDied, match="3 heartbeats without an answer"):
        await call
    assert time.monotonic() - began < 10  # 3 heartbeats of 1.3 s; a call may take 75
    await backend.aclose()


@pytest.mark.slow
async def test_a_server_that_never_answers_is_no_server(start: Start) -> None:
    async with Silence() as silence:
        backend = RemoteBackend(silence.url)
        with pytest.raises(SandboxUnavailable, match=r"no sandbox server answers.*in 5 s"):
            await backend.start()
        good = start()
        backend = RemoteBackend([silence.url, good.url], TOKEN)
        boxes = await asyncio.gather(*(backend.acquire(SPEC, episode_id=str(n)) for n in range(8)))
        assert {box.server for box in boxes} == {good.url}
        await backend.aclose()


LEASE = {
    "lease": "l",
    "sandbox_id": "s",
    "heartbeat_ttl_s": 60,
    "max_message_bytes": 1_000_000,
    "limits": {name: 1 for name in LimitsMessage.model_fields if name != "network"},
}


@asynccontextmanager
async def answering(answers: dict[str, tuple[int, dict[str, Any]]]) -> AsyncIterator[str]:
    """The address of a stranger's server that gives these answers, by path, and else ``{}``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, body = answers.get(head.split()[1], (200, {}))
        data = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 %d X\r\nConnection: close\r\n" % status)
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, {}, "lacks what was asked for"),
        (200, {"result": {"status": "ok"}}, "not of agentgym"),
        (502, {"error": "bad gateway"}, "HTTP 502 with a body not of agentgym"),
        (500, {"code": "internal", "message": "ZeroDivisionError: x"}, "ZeroDivisionError"),
    ],
)
async def test_an_answer_without_a_result_is_a_death(
    status: int, body: dict[str, Any], says: str
) -> None:
    async with answering({"/v1/acquire": (200, LEASE), "/v1/call": (status, body)}) as url:
        backend = RemoteBackend(url)
        box = await backend.acquire(SPEC)
        with pytest.raises(SandboxDied, match=says):
            await box.exec(["true"])
        await backend.aclose()


async def test_a_server_that_is_too_weak_is_passed_over(start: Start) -> None:
    gap = "network (no namespaces here; fix: run as root)"
    refusal = {"code": "unavailable", "message": gap}
    async with answering({"/v1/acquire": (503, refusal)}) as weak:
        backend = RemoteBackend(weak)
        with pytest.raises(SandboxUnavailable, match="no namespaces here; fix: run as root"):
            await backend.acquire(SPEC, deadline_s=30)
        await backend.aclose()
        good = start()
        backend = RemoteBackend([weak, good.url], TOKEN)
        boxes = [await backend.acquire(SPEC, episode_id=str(n)) for n in range(6)]
        assert {box.server for box in boxes} == {good.url}
        await backend.aclose()


async def test_a_server_that_comes_late_is_waited_for(start: Start) -> None:
    first = start()
    backend = RemoteBackend([first.url], TOKEN)
    await backend.start()
    first.kill()
    with pytest.raises(SandboxUnavailable, match=r"within 1 s.*Cannot connect"):
        await backend.acquire(SPEC, deadline_s=1)
    waiting = asyncio.create_task(backend.acquire(SPEC, deadline_s=30))
    await asyncio.sleep(1)
    start("--port", first.url.rpartition(":")[2])
    assert (await (await waiting).exec(["true"])).ok
    await backend.aclose()


async def test_a_full_server_sends_episodes_to_the_next(start: Start) -> None:
    small, large = start("--max-leases", "1"), start()
    episode = episode_at(small, large.url)
    backend = RemoteBackend([small.url, large.url], TOKEN)
    boxes = [await backend.acquire(SPEC, episode_id=episode, deadline_s=5) for _ in range(3)]
    assert [box.server for box in boxes] == [small.url, large.url, large.url]
    await backend.aclose()


async def test_sigterm_lets_leases_end_and_takes_no_new_ones(start: Start) -> None:
    server = start("--drain", "20")
    backend = RemoteBackend(server.url, TOKEN)
    box = await backend.acquire(SPEC)
    call = asyncio.create_task(box.run_python("import time; time.sleep(1); print('done')"))
    await asyncio.sleep(0.3)
    server.process.terminate()
    await asyncio.sleep(0.2)
    assert await server.get("healthz") == (503, '{"status": "draining"}')
    with pytest.raises(SandboxUnavailable, match="about to stop"):
        await backend.acquire(SPEC, deadline_s=0.5)
    assert (await call).stdout == b"done\n"
    assert server.process.poll() is None
    await backend.aclose()
    assert await asyncio.to_thread(server.process.wait, 10) == 0


async def test_a_drain_ends_at_its_limit(start: Start) -> None:
    server = start("--drain", "0.5")
    backend = RemoteBackend(server.url, TOKEN)
    box = await backend.acquire(SPEC)
    call = asyncio.create_task(box.exec(["sleep", "4"]))
    await asyncio.sleep(0.3)
    server.process.terminate()
    with pytest.raises(SandboxDied):
        await call
    assert await asyncio.to_thread(server.process.wait, 10) == 0
    await backend.aclose()


async def test_a_second_sigterm_does_not_wait(start: Start) -> None:
    server = start("--drain", "60")
    backend = RemoteBackend(server.url, TOKEN)
    await backend.acquire(SPEC)
    server.process.terminate()
    await asyncio.sleep(0.3)
    server.process.terminate()
    assert await asyncio.to_thread(server.process.wait, 10) == 0
    await backend.aclose()


@dataclass
class Played:
    """What became of one episode."""

    number: int
    box: RemoteSandbox | None = None
    closed: bool = False
    in_last_call: bool = False
    right: bool = False
    died: bool = False


TURNS = 4


async def play(
    backend: RemoteBackend, one: Played, places: asyncio.Semaphore, last: asyncio.Event
) -> None:
    """An episode of several calls, each of which needs the state of the one before."""
    async with places:
        one.box = box = await backend.acquire(SPEC, episode_id=f"task-{one.number}")
        try:
            said = b""
            for turn in range(TURNS):
                if turn == TURNS - 1:
                    await last.wait()
                    one.in_last_call = True
                program = f"echo {one.number}.{turn} >> log; cat log"
                result = await box.exec(["sh", "-c", program])
                said += b"%d.%d\n" % (one.number, turn)
                assert result.ok
                assert result.stdout == said, "a lost server must never be a wrong result"
            one.right = True
        except SandboxDied:
            one.died = True
        finally:
            one.closed, one.in_last_call = True, False
            await box.aclose()


@pytest.mark.slow
async def test_one_of_two_servers_killed_in_the_middle_of_200_episodes(start: Start) -> None:
    victim, survivor = start(), start()
    backend = RemoteBackend([victim.url, survivor.url], TOKEN)
    await backend.start()
    places, last = asyncio.Semaphore(16), asyncio.Event()
    last.set()
    episodes = [Played(number) for number in range(200)]
    tasks = [asyncio.create_task(play(backend, one, places, last)) for one in episodes]

    def held_there() -> int:
        return sum(not e.closed for e in episodes if e.box and e.box.server == victim.url)

    # The kill comes when somebody is there, and nobody in the last call: so all must notice it.
    while last.is_set() or held_there() < 3:
        last.set()
        await asyncio.sleep(0.01)
        while sum(one.closed for one in episodes) < 80:
            await asyncio.sleep(0.01)
        last.clear()
        while any(one.in_last_call for one in episodes):
            await asyncio.sleep(0.001)
    closed_before = {one.number for one in episodes if one.closed}
    begun_before = {one.number for one in episodes if one.box}
    for one in episodes:
        own = preference([victim.url, survivor.url], f"task-{one.number}")[0]
        assert one.box is None or one.box.server == own
    os.kill(victim.process.pid, signal.SIGKILL)
    last.set()
    await asyncio.gather(*tasks)

    leased_there = {
        one.number
        for one in episodes
        if one.box and one.box.server == victim.url and one.number not in closed_before
    }
    died = {one.number for one in episodes if one.died}
    right = {one.number for one in episodes if one.right}
    assert died == leased_there
    assert right == {one.number for one in episodes} - died
    assert len(died) >= 3
    later = [one for one in episodes if one.number not in begun_before and one.right]
    assert len(later) >= 80
    assert {one.box.server for one in later if one.box} == {survivor.url}
    assert {one.box.server for one in episodes if one.box} == {victim.url, survivor.url}
    stats = backend.stats()
    assert (stats.leased, stats.running, stats.died) == (0, 0, len(died))
    print(f"{len(died)} died, {len(right)} right, {len(later)} begun after the kill")
    await backend.aclose()
