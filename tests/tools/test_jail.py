"""What the jail does for honest callers: results, sessions, files, snapshots, the pool."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from tools.jails import LIMITS, box, in_namespaces, interrupted, jail, lease, started

import agentgym
from agentgym import (
    ExecStatus,
    Limits,
    Sandbox,
    SandboxDied,
    SandboxSpec,
    SandboxUnavailable,
    UsageError,
)
from agentgym_tools.sandboxes.jail.backend import JailBackend

__all__ = ["box", "jail"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_program_ends_with_its_output_and_its_exit_code(box: Sandbox) -> None:
    result = await box.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.status, result.exit_code) == (ExecStatus.NONZERO, 3)
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")
    assert not result.ok
    assert result.wall_s > 0
    assert result.cpu_s > 0
    assert result.max_rss_kb > 0


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("print(1)", ExecStatus.OK, 0),
        ("raise SystemExit(7)", ExecStatus.NONZERO, 7),
        ("raise SystemExit('no')", ExecStatus.NONZERO, 1),
        ("1/0", ExecStatus.NONZERO, 1),
        ("def f(:", ExecStatus.NONZERO, 1),
        ("import os; os._exit(0)", ExecStatus.OK, 0),
        ("import os; os._exit(255)", ExecStatus.NONZERO, 255),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", ExecStatus.SIGNAL, None),
        ("import os; os.abort()", ExecStatus.SIGNAL, None),
        ("while True: pass", ExecStatus.TIMEOUT, None),
        ("import time; time.sleep(60)", ExecStatus.TIMEOUT, None),
    ],
)
async def test_every_ending_has_its_name(
    box: Sandbox, code: str, status: ExecStatus, exit_code: int | None
) -> None:
    result = await box.run_python(code, timeout_s=1.0)
    assert (result.status, result.exit_code) == (status, exit_code)


async def test_a_traceback_shows_only_the_programs_own_frames(box: Sandbox) -> None:
    result = await box.run_python("def f():\n    return 1 / 0\nf()")
    text = result.stderr.decode()
    assert "return 1 / 0" in text
    assert "ZeroDivisionError" in text
    assert "worker.py" not in text
    assert "python_cell.py" not in text


async def test_stdin_environment_and_folder_are_given(box: Sandbox) -> None:
    await box.write_file("sub/x", b"")
    result = await box.exec(
        ["sh", "-c", "pwd; echo $A; cat; env | wc -l"], stdin=b"in", env={"A": "1"}, cwd="sub"
    )
    assert result.stdout.startswith(b"/work/sub\n1\nin" if in_namespaces() else b"/")
    assert (await box.run_python("print(input())", stdin=b"hello")).stdout == b"hello\n"
    assert (await box.run_python("import sys; print(len(sys.stdin.read()))")).stdout == b"0\n"
    big = bytes(3_000_000)
    count = "import sys; print(len(sys.stdin.buffer.read()))"
    assert (await box.run_python(count, stdin=big)).stdout == b"3000000\n"


async def test_a_program_that_does_not_exist_is_no_failure_of_ours(box: Sandbox) -> None:
    missing = await box.exec(["no-such-program"])
    assert missing.exit_code == 127
    assert b"no-such-program: No such file" in missing.stderr
    assert (await box.exec(["/etc/passwd"])).exit_code == 126
    assert (await box.exec(["ls"], cwd="nowhere")).status is ExecStatus.NONZERO


async def test_wrong_arguments_are_said_in_one_line(box: Sandbox) -> None:
    with pytest.raises(UsageError, match="list of strings"):
        await box.exec("ls")
    with pytest.raises(UsageError, match="list of strings"):
        await box.exec([])
    with pytest.raises(UsageError, match="null character"):
        await box.exec(["a\0b"])
    with pytest.raises(UsageError, match="above 0"):
        await box.run_python("1", timeout_s=0)
    assert (await box.run_python("print('still here')")).ok


async def test_a_large_program_and_odd_text_arrive_whole(box: Sandbox) -> None:
    code = f"text = {'x' * 400_000!r}\nprint(len(text), 'ü😀')"
    assert (await box.run_python(code)).stdout == "400000 ü😀\n".encode()
    assert (await box.run_python("print('\udcff'.encode('utf-8', 'surrogateescape'))")).ok is False
    result = await box.run_python("import os; os.write(1, bytes(range(256)))")
    assert result.stdout == bytes(range(256))


async def test_output_keeps_head_and_tail_and_counts_the_rest(box: Sandbox) -> None:
    result = await box.run_python("print('a' * 10000); print('z' * 10000)")
    assert result.stdout_total == 20002
    assert result.stdout.startswith(b"aaaa")
    assert result.stdout.endswith(b"zzz\n")
    assert b"11810 bytes left out" in result.stdout
    assert result.ok


async def test_state_lives_from_call_to_call(box: Sandbox) -> None:
    await box.run_python("import math\nx = 41\nf = open('log', 'w')", session="a")
    result = await box.run_python("f.write('kept'); f.flush(); x + 1", session="a")
    assert result.stdout == b"42\n"
    assert result.state_kept
    assert await box.read_file("log") == b"kept"
    other = await box.run_python("x", session="b")
    assert other.exit_code == 1
    assert b"NameError" in other.stderr
    assert (await box.run_python("raise SystemExit(3)", session="a")).exit_code == 3
    assert (await box.run_python("x", session="a")).stdout == b"41\n"


async def test_an_interrupted_cell_keeps_its_state_and_a_stubborn_one_loses_it(
    box: Sandbox,
) -> None:
    slow = "x = 1; import time; time.sleep(60)"
    gentle = await interrupted(lambda: box.run_python(slow, session="a", timeout_s=0.3))
    assert gentle.state_kept is True
    assert (await box.run_python("x", session="a")).stdout == b"1\n"
    stubborn = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    lost = await box.run_python(stubborn, session="a", timeout_s=0.3)
    assert lost.status is ExecStatus.TIMEOUT
    assert lost.state_kept is False
    again = await box.run_python("x", session="a")
    assert b"NameError" in again.stderr


async def test_a_cell_may_fork(box: Sandbox) -> None:
    for number in range(5):
        result = await box.run_python(f"import os; pid = os.fork(); {number}", session="a")
        assert result.ok, "its child ends with the cell, at its own pace"
    # What a child still wrote between two calls comes with the next.
    assert b"True\n" in (await box.run_python("pid > 0", session="a")).stdout


async def test_a_session_that_dies_says_so(box: Sandbox) -> None:
    result = await box.run_python("import os; os._exit(5)", session="a")
    assert (result.status, result.exit_code, result.state_kept) == (ExecStatus.NONZERO, 5, False)
    crash = await box.run_python(
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", session="a"
    )
    assert (crash.status, crash.signal) == (ExecStatus.SIGNAL, signal.SIGSEGV)
    assert (await box.run_python("1 + 1", session="a")).stdout == b"2\n"


async def test_a_shell_keeps_folder_variables_functions_and_jobs(box: Sandbox) -> None:
    await box.run_bash("mkdir d; cd d; export A=1; B=2; f() { echo f$1; }", session="s")
    result = await box.run_bash("echo $(basename $PWD) $A $B; f 3", session="s")
    assert result.stdout == b"d 1 2\nf3\n"
    await box.run_bash("(sleep 0.3; echo done > finished) &", session="s")
    await asyncio.sleep(0.6)
    assert (await box.run_bash("cat finished", session="s")).stdout == b"done\n"
    assert (await box.run_bash("false", session="s")).exit_code == 1
    assert (await box.run_bash("(exit 42)", session="s")).exit_code == 42
    assert (await box.run_bash("if", session="s")).exit_code != 0
    assert (await box.run_bash("cat <<EOF\nhi\nEOF", session="s")).stdout == b"hi\n"
    assert (await box.run_bash("cat", session="s")).ok, "stdin is empty, not endless"


async def test_what_a_shell_prints_is_never_taken_for_its_exit_code(box: Sandbox) -> None:
    fake = await box.run_bash("printf '0\\0'; printf '0\\0' >&3; echo 0 >&4; exit_code=0; (exit 9)",
                              session="s")  # fmt: skip
    assert fake.exit_code == 9
    assert fake.stdout == b"0\0"


async def test_leaving_a_shell_is_told_and_the_next_call_gets_a_new_one(box: Sandbox) -> None:
    await box.run_bash("A=1", session="s")
    left = await box.run_bash("exit 3", session="s")
    assert (left.exit_code, left.state_kept) == (3, False)
    assert (await box.run_bash("echo [$A]", session="s")).stdout == b"[]\n"
    slow = await interrupted(lambda: box.run_bash("sleep 60", session="s", timeout_s=0.3))
    assert slow.state_kept is True
    stuck = await box.run_bash("trap '' INT; sleep 60", session="s", timeout_s=0.3)
    assert stuck.status is ExecStatus.TIMEOUT
    assert stuck.state_kept is False


async def test_files_are_read_written_and_listed(box: Sandbox) -> None:
    await box.write_file("/work/a/b.bin", bytes(range(256)))
    assert await box.read_file("a/b.bin") == bytes(range(256))
    assert await box.read_file("a/b.bin", max_bytes=3) == bytes(range(3))
    assert (await box.run_python("print(len(open('a/b.bin','rb').read()))")).stdout == b"256\n"
    await box.run_python("open('a/b.bin','ab').write(b'!')")
    assert (await box.read_file("a/b.bin"))[-1:] == b"!"
    names = [(entry.name, entry.kind, entry.size) for entry in await box.list_dir("a")]
    assert names == [("b.bin", "file", 257)]
    with pytest.raises(FileNotFoundError):
        await box.read_file("nothing")
    with pytest.raises(IsADirectoryError):
        await box.read_file("a")
    with pytest.raises(PermissionError):
        await box.read_file("/etc/passwd")


async def test_files_come_back_with_a_snapshot_and_go_with_a_reset(box: Sandbox) -> None:
    await box.run_bash("echo 1 > keep; mkdir -p d/e; echo 2 > d/e/f; ln -s keep link", session="s")
    await box.run_bash("chmod 700 d; chmod 755 keep", session="s")
    snapshot = await box.snapshot()
    await box.run_bash("rm -r keep d; echo 3 > new", session="s")
    await box.reset(snapshot)
    shown = await box.exec(["sh", "-c", "cat keep d/e/f link; ls new; stat -c %a keep d"])
    assert shown.stdout == b"1\n2\n1\n755\n700\n"
    assert (await box.exec(["sh", "-c", "echo x >> d/e/f"])).ok, "they are the sandbox's own"
    await box.reset()
    assert await box.list_dir() == []


async def test_a_fork_goes_its_own_way(box: Sandbox) -> None:
    await box.write_file("f", b"common")
    other = await box.fork()
    try:
        await other.write_file("f", b"other")
        assert await other.read_file("f") == b"other"
        assert await box.read_file("f") == b"common"
    finally:
        await other.aclose()


async def test_a_base_folder_is_seen_and_never_changed(jail: JailBackend, tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "pkg").mkdir(parents=True)
    (base / "pkg" / "a.py").write_text("A = 1\n")
    (base / "gone").write_text("x")
    (base / "old").mkdir()
    (base / "old" / "x").write_text("x")
    tmp_path.chmod(0o755)
    box = await lease(jail, base=base)
    try:
        result = await box.run_bash(
            "cat pkg/a.py; rm gone; echo 'B = 2' >> pkg/a.py; ls", session="s"
        )
        assert result.stdout == b"A = 1\nold\npkg\n", result
        snapshot = await box.snapshot()
        await box.reset()
        assert (await box.exec(["ls"])).stdout == b"gone\nold\npkg\n"
        await box.reset(snapshot)
        assert (await box.exec(["cat", "pkg/a.py"])).stdout == b"A = 1\nB = 2\n"
        assert (await box.exec(["ls"])).stdout == b"old\npkg\n"
        # A folder that is deleted and made again hides the base's.
        await box.reset()
        assert (await box.run_bash("rm -r old && mkdir old && mv pkg new", session="s")).ok
        remade = await box.snapshot()
        await box.reset(remade)
        assert (await box.exec(["ls", "-A", "old", "new"])).stdout == b"new:\na.py\n\nold:\n"
        await box.reset(snapshot)
        fork = await box.fork()
        assert (await fork.exec(["cat", "pkg/a.py"])).stdout == b"A = 1\nB = 2\n"
        await fork.aclose()
    finally:
        await box.aclose()
    assert (base / "pkg" / "a.py").read_text() == "A = 1\n"
    assert (base / "gone").exists()


async def test_a_snapshot_of_another_base_is_refused(jail: JailBackend, tmp_path: Path) -> None:
    box, based = await lease(jail), await lease(jail, base=tmp_path)
    try:
        with pytest.raises(UsageError, match="with base"):
            await based.reset(await box.snapshot())
    finally:
        await box.aclose()
        await based.aclose()


async def test_a_sandbox_starts_with_nothing_of_the_one_before(jail: JailBackend) -> None:
    for _ in range(3):
        box = await lease(jail)
        leave = "for d in /work /tmp /dev/shm; do ls -A $d; echo x > $d/left; done"
        result = await box.exec(["sh", "-c", leave] if in_namespaces() else ["ls", "-A"])
        assert result.stdout == b""
        await box.run_bash(
            "sleep 100 & ipcmk -Q > /dev/null 2>&1; ipcs -q | grep -c 0x", session="s"
        )
        await box.aclose()


async def test_a_closed_sandbox_says_so(jail: JailBackend) -> None:
    box = await lease(jail)
    await box.aclose()
    await box.aclose()
    with pytest.raises(SandboxDied, match="closed"):
        await box.run_python("1")
    with pytest.raises(SandboxDied, match="closed"):
        await box.read_file("x")


async def test_a_lease_without_calls_ends(jail: JailBackend) -> None:
    spec = SandboxSpec(LIMITS, min_guarantees=frozenset())
    box = await jail.acquire(spec, ttl_s=2)
    for _ in range(3):
        await asyncio.sleep(0.8)
        assert (await box.run_python("1")).ok
    await asyncio.sleep(4)
    with pytest.raises(SandboxDied, match="lease ended"):
        await box.run_python("1")


async def test_waiting_callers_are_served_in_order_or_told() -> None:
    backend = await started(max_sandboxes=1)
    try:
        first = await lease(backend)
        with pytest.raises(SandboxUnavailable, match=r"within 0\.1 s"):
            await backend.acquire(SandboxSpec(LIMITS, frozenset()), deadline_s=0.1)
        served: list[int] = []

        async def take(number: int) -> None:
            box = await lease(backend)
            served.append(number)
            await box.aclose()

        waiting = [asyncio.create_task(take(number)) for number in range(8)]
        await asyncio.sleep(0.05)
        waiting[3].cancel()
        assert backend.stats().waiting in (7, 8)  # the cancelled one may not have noticed yet
        await first.aclose()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert served == [0, 1, 2, 4, 5, 6, 7]
        assert backend.stats().leased == 0
    finally:
        await backend.aclose()


async def test_calls_queue_in_order_of_arrival() -> None:
    backend = await started(concurrency=1)
    try:
        boxes = [await lease(backend) for _ in range(6)]
        finished: list[int] = []

        async def call(number: int) -> None:
            await boxes[number].run_python("import time; time.sleep(0.05)")
            finished.append(number)

        await asyncio.gather(*(call(number) for number in range(6)))
        assert finished == list(range(6))
    finally:
        await backend.aclose()


async def test_a_slot_is_replaced_after_its_calls() -> None:
    backend = await started(recycle_after=3)
    try:
        for _ in range(4):
            box = await lease(backend)
            for _ in range(2):
                assert (await box.run_python("1")).ok
            await box.aclose()
        assert backend.stats().calls == 8
    finally:
        await backend.aclose()


async def test_the_jail_dying_masks_what_ran_and_the_next_caller_gets_another() -> None:
    backend = await started()
    try:
        box = await lease(backend)
        call = asyncio.create_task(box.run_python("import time; time.sleep(3)"))
        await asyncio.sleep(0.2)
        assert backend._jail is not None
        os.kill(backend._jail._process.pid, signal.SIGKILL)
        with pytest.raises(SandboxDied):
            await call
        with pytest.raises(SandboxDied):
            await box.run_python("1")
        await box.aclose()
        fresh = await lease(backend)
        assert (await fresh.run_python("print(1)")).stdout == b"1\n"
    finally:
        await backend.aclose()


async def test_equal_code_prints_equal_text(jail: JailBackend) -> None:
    first, second = await lease(jail), await lease(jail)
    code = "print(hash('a'), {'x', 'y', 'z', 'w'})"
    assert (await first.run_python(code)).stdout == (await second.run_python(code)).stdout
    draw = "import random, numpy.random; print(random.random(), numpy.random.rand())"
    assert (await first.run_python(draw)).stdout != (await second.run_python(draw)).stdout
    await first.aclose()
    await second.aclose()


async def test_the_door_that_everybody_uses() -> None:
    if not in_namespaces():
        pytest.skip("the landlock form must be asked for with fewer guarantees")
    async with agentgym.open_sandbox("jail", limits=Limits(wall_s=5)) as box:
        assert (await box.run_python("print(6 * 7)")).stdout == b"42\n"
        await box.health()


async def test_a_weak_form_is_refused_with_reason_and_remedy() -> None:
    if in_namespaces():
        pytest.skip("only the landlock form has gaps here; the suite runs it as an ordinary user")
    backend = await started()
    try:
        with pytest.raises(SandboxUnavailable, match=r"disk \(.*fix: .*min_guarantees"):
            await backend.acquire()
        guarantees = await backend.probe()
        box = await backend.acquire(SandboxSpec(min_guarantees=guarantees.held))
        assert (await box.run_python("print(1)")).ok
    finally:
        await backend.aclose()


async def test_bad_options_are_said_at_once() -> None:
    with pytest.raises(UsageError, match="did you mean 'root'"):
        agentgym.make_backend("jail", form="roots")
    with pytest.raises(UsageError, match="sandbox 'jail'"):
        agentgym.make_backend("jail", speed=11)
    with pytest.raises(agentgym.UnknownName, match="did you mean 'jail'"):
        agentgym.make_backend("jial")
    with pytest.raises(UsageError, match=r"Limits\.pids"):
        Limits(pids=0)
    with pytest.raises(UsageError, match="network"):
        Limits(network="host")  # type: ignore[arg-type]
    backend = JailBackend()
    with pytest.raises(UsageError, match="no images"):
        await backend.acquire(SandboxSpec(image="busybox"))
    with pytest.raises(UsageError, match="no folder"):
        await backend.acquire(SandboxSpec(base=Path("/nowhere")))
