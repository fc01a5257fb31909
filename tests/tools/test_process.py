"""The backend ``process``: what it does, and that it says what it does not do."""

import asyncio
import io
import os
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentgym.errors import UsageError
from agentgym.sandbox import (
    ExecStatus,
    Limits,
    Promise,
    SandboxDied,
    SandboxError,
    SandboxSpec,
    SandboxUnavailable,
    Snapshot,
)
from agentgym_tools.sandboxes import archive
from agentgym_tools.sandboxes.process import ProcessBackend
from agentgym_tools.sandboxes.process.sandbox import ProcessSandbox
from agentgym_tools.sandboxes.process_tree import marked

QUICK = SandboxSpec(limits=Limits(wall_s=5, output_kb=4))


@pytest.fixture
async def backend() -> AsyncIterator[ProcessBackend]:
    backend = ProcessBackend(allow_unsafe=True)
    await backend.start()
    yield backend
    await backend.aclose()


@pytest.fixture
async def box(backend: ProcessBackend) -> AsyncIterator[ProcessSandbox]:
    box = await backend.acquire(QUICK)
    yield box
    await box.aclose()
    assert not alive(box)


def alive(box: ProcessSandbox) -> set[int]:
    return marked(f"AGENTGYM_BOX={box.id}".encode())


async def test_it_refuses_to_start_unless_told_that_it_is_unsafe() -> None:
    with pytest.raises(SandboxUnavailable, match=r"isolates nothing.*pass allow_unsafe=True"):
        await ProcessBackend().start()
    with pytest.raises(SandboxUnavailable):
        await ProcessBackend().acquire()


async def test_it_promises_bounded_output_only(backend: ProcessBackend) -> None:
    guarantees = await backend.probe()
    assert guarantees.held == {Promise.OUTPUT}
    assert all(gap.fix for gap in guarantees.gaps.values())


async def test_a_program_gets_its_stdin_environment_and_folder(box: ProcessSandbox) -> None:
    await box.write_file("sub/a", b"")
    result = await box.exec(
        ["sh", "-c", "cat; echo $A; ls"], stdin=b"in\n", env={"A": "b"}, cwd="sub"
    )
    assert result.ok
    assert result.stdout == b"in\nb\na\n"
    assert result.max_rss_kb > 0


async def test_nothing_of_the_trainers_environment_is_inherited(box: ProcessSandbox) -> None:
    names = {line.split(b"=")[0] for line in (await box.exec(["env"])).stdout.splitlines()}
    ours = {b"PATH", b"HOME", b"TMPDIR", b"LANG", b"AGENTGYM_CALL", b"AGENTGYM_BOX"}
    assert names == ours


async def test_endings_are_told_apart(box: ProcessSandbox) -> None:
    failed = await box.exec(["sh", "-c", "exit 3"])
    assert (failed.status, failed.exit_code) == (ExecStatus.NONZERO, 3)
    killed = await box.exec(["sh", "-c", "kill -SEGV $$"])
    assert (killed.status, killed.signal, killed.exit_code) == (ExecStatus.SIGNAL, 11, None)
    missing = await box.exec(["no-such-program"])
    assert missing.exit_code == 127
    assert b"no-such-program" in missing.stderr
    nowhere = await box.exec(["true"], cwd="nowhere")
    assert nowhere.exit_code == 127


async def test_a_timeout_kills_daemons_that_hold_the_pipe(box: ProcessSandbox) -> None:
    began = time.monotonic()
    command = "setsid sleep 1000 & trap '' TERM INT; sleep 1000"
    result = await box.exec(["sh", "-c", command], timeout_s=0.5)
    assert result.status is ExecStatus.TIMEOUT
    assert time.monotonic() - began < 5
    assert not alive(box)


async def test_a_daemon_does_not_outlive_a_call_that_ends_well(box: ProcessSandbox) -> None:
    daemon = "os.setsid(); os.fork(); os.execvp('sleep', ['sleep', '99'])"
    result = await box.run_python(f"import os\nif os.fork() == 0: {daemon}")
    assert result.ok
    assert result.wall_s < 4
    assert not alive(box)


async def test_endless_output_is_cut_off(box: ProcessSandbox) -> None:
    result = await box.exec(["yes"])
    assert result.status is ExecStatus.OUTPUT_LIMIT
    assert len(result.stdout) < 5000
    assert b"bytes left out" in result.stdout


async def test_a_megabyte_of_stdin_that_nobody_reads_does_no_harm(box: ProcessSandbox) -> None:
    assert (await box.exec(["true"], stdin=b"x" * (1 << 20))).ok
    counted = await box.exec(["wc", "-c"], stdin=b"x" * (1 << 20))
    assert counted.stdout.strip() == b"1048576"


async def test_limits_hold_for_each_process(box: ProcessSandbox) -> None:
    memory = await box.run_python("x = bytearray(2 << 30)")
    assert b"MemoryError" in memory.stderr
    file = await box.run_python("open('big', 'wb').write(bytes(40 << 20))")
    assert not file.ok


async def test_python_code_shows_its_own_lines_in_a_traceback(box: ProcessSandbox) -> None:
    result = await box.run_python("x = 1\nprint(x)\n1/0", stdin=b"abc")
    assert result.exit_code == 1
    assert result.stdout == b"1\n"
    assert b"    1/0" in result.stderr
    assert b"run_cell" not in result.stderr
    read = await box.run_python("print(input())\nraise SystemExit(4)", stdin=b"abc\n")
    assert (read.stdout, read.exit_code) == (b"abc\n", 4)
    long = await box.run_python("#" + "x" * 300_000 + "\nprint('end')")
    assert long.stdout == b"end\n"


async def test_a_python_session_keeps_its_state_and_says_when_it_loses_it(
    box: ProcessSandbox,
) -> None:
    assert (await box.run_python("x = 6", session="s")).state_kept
    assert (await box.run_python("x * 7", session="s")).stdout == b"42\n"
    assert b"NameError" in (await box.run_python("x", session="other")).stderr
    polite = await box.run_python("import time; time.sleep(60)", session="s", timeout_s=0.3)
    assert (polite.status, polite.state_kept) == (ExecStatus.TIMEOUT, True)
    assert (await box.run_python("x", session="s")).stdout == b"6\n"
    await box.exec(["true"])  # ends without taking the session with it
    assert (await box.run_python("x", session="s")).stdout == b"6\n"
    lost = await box.run_python("import os; os.kill(os.getppid(), 9)", session="s")
    assert (lost.status, lost.state_kept) == (ExecStatus.KILLED, False)
    assert b"NameError" in (await box.run_python("x", session="s")).stderr


async def test_a_bash_session_keeps_its_folder_and_variables(box: ProcessSandbox) -> None:
    await box.run_bash("mkdir d; cd d; export A=1; f() { echo f$A; }; sleep 99 &", session="s")
    result = await box.run_bash("basename $PWD; f; jobs", session="s")
    assert result.stdout.startswith(b"d\nf1\n")
    assert b"sleep 99" in result.stdout
    ended = await box.run_bash("exit 3", session="s")
    assert (ended.exit_code, ended.state_kept) == (3, False)
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in alive(box)]
    assert not [command for command in commands if command.startswith(b"sleep")]


async def test_calls_of_one_session_take_turns(box: ProcessSandbox) -> None:
    calls = [box.run_python(f"print({n})", session="s") for n in range(8)]
    results = await asyncio.gather(*calls)
    assert [result.stdout for result in results] == [b"%d\n" % n for n in range(8)]


async def test_cancelling_a_call_kills_its_processes(box: ProcessSandbox) -> None:
    for call in (
        box.exec(["sh", "-c", "setsid sleep 99 & sleep 99"]),
        box.run_python("import time\nwhile True: time.sleep(1)", session="s"),
    ):
        task = asyncio.create_task(call)
        while not alive(box):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(box)
    assert (await box.run_python("1", session="s")).ok


async def test_snapshots_reset_and_fork_copy_the_files(
    backend: ProcessBackend, box: ProcessSandbox
) -> None:
    await box.exec(["sh", "-c", "mkdir d; echo a > d/f; ln -s /etc/passwd l; chmod 500 d"])
    await box.run_python("x = 1", session="s")
    saved = await box.snapshot()
    twin = await box.fork()
    await box.exec(["sh", "-c", "chmod 700 d; rm -r d; echo b > g"])
    await box.reset(saved)
    assert [entry.name for entry in await box.list_dir()] == ["d", "l"]
    assert await box.read_file("d/f") == b"a\n"
    assert not (await box.run_python("x", session="s")).ok
    assert await twin.read_file("/work/d/f") == b"a\n"
    with pytest.raises(PermissionError):
        await twin.read_file("l")
    await twin.aclose()
    await box.reset()
    assert await box.list_dir() == []
    assert backend.stats().leased == 1
    with pytest.raises(UsageError, match="snapshot of 'jail'"):
        await box.reset(Snapshot("jail", None, b""))


async def test_the_base_is_copied_in_and_never_written(
    backend: ProcessBackend, tmp_path: Path
) -> None:
    (tmp_path / "task").write_text("one")
    box = await backend.acquire(SandboxSpec(base=tmp_path))
    await box.exec(["sh", "-c", "echo two > task"])
    assert await box.read_file("task") == b"two\n"
    await box.reset()
    assert await box.read_file("task") == b"one"
    assert (tmp_path / "task").read_text() == "one"
    with pytest.raises(UsageError, match="must be a folder"):
        await backend.acquire(SandboxSpec(base=tmp_path / "task"))


async def test_wrong_inputs_say_what_to_give(backend: ProcessBackend, box: ProcessSandbox) -> None:
    with pytest.raises(UsageError, match=r"argv must be a list.*\['sh', '-c'"):
        await box.exec("ls")
    with pytest.raises(UsageError, match="argv must be a list"):
        await box.exec([])
    with pytest.raises(UsageError, match="runs no images"):
        await backend.acquire(SandboxSpec(image="python"))
    with pytest.raises(UsageError, match="at least 1, got 0"):
        ProcessBackend(concurrency=0)


async def test_a_closed_or_expired_sandbox_is_dead(backend: ProcessBackend) -> None:
    box = await backend.acquire(QUICK)
    await box.health()
    await box.aclose()
    await box.aclose()
    with pytest.raises(SandboxDied, match="it was closed"):
        await box.exec(["true"])
    idle = await backend.acquire(QUICK, ttl_s=0.1)
    await asyncio.sleep(0.4)
    with pytest.raises(SandboxDied, match=r"ended after 0.1 s without a call"):
        await idle.health()
    assert backend.stats().leased == 0


async def test_no_more_calls_run_than_allowed() -> None:
    backend = ProcessBackend(allow_unsafe=True, concurrency=1)
    box = await backend.acquire(QUICK)
    calls = [asyncio.create_task(box.exec(["sleep", "0.2"])) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert (backend.stats().running, backend.stats().waiting) == (1, 2)
    await asyncio.gather(*calls)
    assert backend.stats().calls >= 3
    await backend.aclose()
    await backend.aclose()


async def test_calls_leave_no_descriptor_open(box: ProcessSandbox) -> None:
    await box.run_python("1", session="s")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        await box.exec(["true"])
        await box.run_python("1", session="s")
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("name", ["../evil", "/evil", "l/evil"])
def test_an_archive_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(SandboxError):
        archive.unpack(buffer.getvalue(), target)
    assert not (tmp_path / "evil").exists()
