"""The backend ``remote``: a sandbox on a server behaves as a local one."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tools.remote_servers import SPEC, TOKEN, SandboxServer, serving

from agentgym.errors import UsageError
from agentgym.sandbox import (
    ExecStatus,
    FileInfo,
    Promise,
    SandboxDied,
    SandboxSpec,
    SandboxUnavailable,
)
from agentgym_tools.sandboxes.remote.backend import RemoteBackend
from agentgym_tools.sandboxes.remote.box import RemoteSandbox


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server
    assert server.process.returncode == 0


@pytest.fixture
async def backend(server: SandboxServer) -> AsyncIterator[RemoteBackend]:
    backend = RemoteBackend(server.url, TOKEN)
    yield backend
    await backend.aclose()


@pytest.fixture
async def box(backend: RemoteBackend) -> AsyncIterator[RemoteSandbox]:
    box = await backend.acquire(SPEC, episode_id="one")
    yield box
    await box.aclose()


async def test_a_program_tells_how_it_ended(box: RemoteSandbox) -> None:
    done = await box.exec(["sh", "-c", "cat; echo $NAME; pwd"], stdin=b"in\n", env={"NAME": "v"})
    assert done.status is ExecStatus.OK
    assert done.stdout.startswith(b"in\nv\n/")
    assert done.exit_code == 0
    bad = await box.exec(["sh", "-c", "echo no >&2; exit 7"])
    assert (bad.status, bad.exit_code, bad.stderr) == (ExecStatus.NONZERO, 7, b"no\n")


async def test_python_runs_afresh_and_in_a_session(box: RemoteSandbox) -> None:
    assert (await box.run_python("print(6 * 7)")).stdout == b"42\n"
    await box.run_python("x = 41", session="main")
    result = await box.run_python("x + 1", session="main")
    assert (result.stdout, result.state_kept) == (b"42\n", True)


async def test_a_shell_keeps_its_variables(box: RemoteSandbox) -> None:
    await box.run_bash("A=7", session="sh")
    assert (await box.run_bash("echo $A", session="sh")).stdout == b"7\n"


async def test_a_timeout_is_data(box: RemoteSandbox) -> None:
    result = await box.exec(["sleep", "20"], timeout_s=0.3)
    assert result.status is ExecStatus.TIMEOUT
    assert (await box.run_python("print(1)")).ok


async def test_output_is_cut_and_counted_and_bytes_survive(box: RemoteSandbox) -> None:
    result = await box.run_python("import sys; sys.stdout.buffer.write(bytes(range(256)))")
    assert result.stdout == bytes(range(256))
    long = await box.run_python("print('a' * 10000)")
    assert long.stdout_total == 10001
    assert len(long.stdout) < 5000


async def test_files_come_back_as_they_were(box: RemoteSandbox) -> None:
    data = os.urandom(100_000)
    await box.write_file("folder/data.bin", data)
    assert await box.read_file("folder/data.bin") == data
    assert await box.read_file("folder/data.bin", max_bytes=10) == data[:10]
    assert await box.list_dir("folder") == [FileInfo("data.bin", "file", 100_000)]
    assert [(one.name, one.kind) for one in await box.list_dir()] == [("folder", "folder")]


async def test_a_file_name_that_is_not_unicode_survives(box: RemoteSandbox) -> None:
    assert (await box.run_python(r"open(b'\xff\xfe', 'w').write('x')")).ok
    (entry,) = await box.list_dir()
    assert entry.name == "\udcff\udcfe"
    assert await box.read_file(entry.name) == b"x"


async def test_file_errors_keep_their_class(box: RemoteSandbox) -> None:
    await box.write_file("file", b"")
    with pytest.raises(FileNotFoundError, match="No such file"):
        await box.read_file("none")
    with pytest.raises(IsADirectoryError):
        await box.read_file(".")
    with pytest.raises(PermissionError):
        await box.read_file("../../etc/passwd")
    with pytest.raises(NotADirectoryError):
        await box.list_dir("file")
    await box.health()


async def test_a_snapshot_restores_and_a_fork_is_independent(box: RemoteSandbox) -> None:
    await box.write_file("a", b"1")
    snapshot = await box.snapshot()
    await box.write_file("a", b"2")
    fork = await box.fork()
    assert fork.server == box.server
    await box.reset(snapshot)
    assert await box.read_file("a") == b"1"
    assert await fork.read_file("a") == b"2"
    await fork.aclose()
    await box.reset()
    assert await box.list_dir() == []


async def test_a_closed_sandbox_is_gone_and_closes_twice(backend: RemoteBackend) -> None:
    box = await backend.acquire(SPEC)
    await box.aclose()
    await box.aclose()
    with pytest.raises(SandboxDied, match="given back"):
        await box.exec(["true"])
    assert backend.stats().leased == 0


async def test_stats_count_what_this_client_did(backend: RemoteBackend) -> None:
    box = await backend.acquire(SPEC)
    await box.exec(["true"])
    stats = backend.stats()
    assert (stats.leased, stats.running, stats.calls, stats.died) == (1, 0, 1, 0)
    await backend.aclose()
    assert backend.stats().leased == 0
    with pytest.raises(SandboxDied, match="backend was closed"):
        await box.exec(["true"])


async def test_cancelling_a_call_ends_the_program(box: RemoteSandbox) -> None:
    code = "import time\nfor i in range(100):\n open('ticks', 'a').write('.'); time.sleep(0.05)"
    call = asyncio.create_task(box.run_python(code))
    await asyncio.sleep(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0.5)
    before = await box.read_file("ticks")
    await asyncio.sleep(0.5)
    assert before
    assert await box.read_file("ticks") == before


async def test_what_the_caller_gives_wrongly_is_his_mistake(box: RemoteSandbox) -> None:
    with pytest.raises(UsageError, match="timeout_s: Input should be greater than 0"):
        await box.exec(["true"], timeout_s=-1)
    with pytest.raises(UsageError, match="argv"):
        await box.exec([1])  # type: ignore[list-item]  # the mistake
    await box.health()


async def test_probe_holds_what_the_server_holds(
    backend: RemoteBackend, server: SandboxServer
) -> None:
    found = await backend.probe()
    assert found.backend == "remote"
    assert "1 of 1 servers answer" in found.form
    status, local = await server.post("probe", {})
    assert status == 200
    assert found.held == frozenset(Promise) - set(local["gaps"])


async def test_a_wrong_token_is_one_line(server: SandboxServer) -> None:
    backend = RemoteBackend(server.url, "wrong")
    with pytest.raises(UsageError, match=r"token is missing or wrong.*AGENTGYM_SANDBOX_TOKEN"):
        await backend.acquire(SPEC)
    await backend.aclose()


async def test_a_base_must_be_offered_by_the_server(backend: RemoteBackend) -> None:
    with pytest.raises(UsageError, match=r"base '/etc' is not offered.*--base FOLDER"):
        await backend.acquire(SandboxSpec(min_guarantees=frozenset(), base=Path("/etc")))


async def test_an_offered_base_is_there(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "given").write_text("yes")
    spec = SandboxSpec(min_guarantees=frozenset(), base=tmp_path / "base")
    with serving(tmp_path / "server", "--base", str(tmp_path / "base")) as server:
        backend = RemoteBackend(server.url, TOKEN)
        box = await backend.acquire(spec)
        assert await box.read_file("given") == b"yes"
        await backend.aclose()


async def test_a_full_server_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-leases", "1") as server:
        backend = RemoteBackend(server.url, TOKEN)
        first = await backend.acquire(SPEC)
        with pytest.raises(SandboxUnavailable, match=r"within 0.5 s.*all 1 sandboxes are leased"):
            await backend.acquire(SPEC, deadline_s=0.5)
        waiting = asyncio.create_task(backend.acquire(SPEC, deadline_s=20))
        await asyncio.sleep(0.2)
        assert backend.stats().waiting == 1
        await first.aclose()
        second = await waiting
        assert (await second.exec(["true"])).ok
        with pytest.raises(SandboxUnavailable, match="all 1 sandboxes are leased"):
            await second.fork()
        await backend.aclose()


async def test_another_clients_place_is_taken_after_retry_after(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-leases", "1") as server:
        mine, other = RemoteBackend(server.url, TOKEN), RemoteBackend(server.url, TOKEN)
        first = await other.acquire(SPEC)
        waiting = asyncio.create_task(mine.acquire(SPEC, deadline_s=20))
        await asyncio.sleep(0.5)
        await first.aclose()
        assert (await (await waiting).exec(["true"])).ok
        _, metrics = await server.get("metrics")
        # Refused at 0 s and let in at 1 s, as Retry-After said: not asked again in between.
        assert 'rejected_total{reason="busy"} 1\n' in metrics
        await mine.aclose()
        await other.aclose()


async def test_heartbeats_keep_an_idle_lease(tmp_path: Path) -> None:
    with serving(tmp_path, "--lease-ttl", "1") as server:
        backend = RemoteBackend(server.url, TOKEN)
        box = await backend.acquire(SPEC)
        await asyncio.sleep(3)
        assert (await box.exec(["true"])).ok
        await backend.aclose()


async def test_a_lease_nobody_calls_ends_despite_heartbeats(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        backend = RemoteBackend(server.url, TOKEN, heartbeat_s=0.3)
        box = await backend.acquire(SPEC, ttl_s=0.5)
        await asyncio.sleep(2.5)
        with pytest.raises(SandboxDied, match="ended the lease"):
            await box.exec(["true"])
        assert backend.stats().died == 1
        await backend.aclose()


async def test_a_message_that_is_too_large_is_refused_clearly(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-message-mb", "1") as server:
        backend = RemoteBackend(server.url, TOKEN)
        box = await backend.acquire(SPEC)
        with pytest.raises(OSError, match=r"takes at most 1048576.*--max-message-mb"):
            await box.write_file("big", bytes(2_000_000))
        with pytest.raises(UsageError, match="takes at most 1048576"):
            await box.exec(["true"], stdin=bytes(2_000_000))
        assert (await box.run_python("open('big', 'wb').write(bytes(2_000_000))")).ok
        with pytest.raises(OSError, match=r"this server sends at most 1048576"):
            await box.read_file("big")
        assert await box.read_file("big", max_bytes=3) == bytes(3)
        await backend.aclose()


def test_addresses_are_checked_when_the_backend_is_made() -> None:
    with pytest.raises(UsageError, match="no servers"):
        RemoteBackend([])
    with pytest.raises(UsageError, match=r"'ftp://x' is not an address such as 'http://"):
        RemoteBackend(["ftp://x"])
