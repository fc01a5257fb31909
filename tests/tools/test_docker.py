"""The backend ``docker``, on a real engine of our own. Skipped, with the reason, without one."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tools.docker_engine import IMAGE, private_engine, why_not, write_image

from agentgym.errors import UsageError
from agentgym.sandbox import (
    ExecStatus,
    Limits,
    NotSupported,
    SandboxDied,
    SandboxSpec,
    SandboxUnavailable,
    Snapshot,
)
from agentgym_tools.sandboxes.docker import DockerBackend, creation, hardening, images
from agentgym_tools.sandboxes.docker.engine import client_library
from agentgym_tools.sandboxes.docker.sandbox import DockerSandbox

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "runs")

LIMITS = Limits(wall_s=5, memory_mb=128, pids=32, disk_mb=16, inodes=512, output_kb=4)
SPEC = SandboxSpec(limits=LIMITS, min_guarantees=frozenset())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("docker", reason="pip install 'agentgym[docker]'")
    with private_engine() as url:
        tarball = tmp_path_factory.mktemp("image") / "root.tar"
        write_image(tarball)
        images.import_tarball(client(url), tarball, IMAGE)
        tarball.unlink()
        yield url


@pytest.fixture
async def backend(url: str) -> AsyncIterator[DockerBackend]:
    backend = DockerBackend(url, image=IMAGE, pool=0)
    await backend.start()
    yield backend
    await backend.aclose()
    assert containers(url) == []


@pytest.fixture
async def box(backend: DockerBackend) -> DockerSandbox:
    return await backend.acquire(SPEC)


def client(url: str) -> Any:
    return client_library().APIClient(base_url=url, version="auto")


def containers(url: str) -> list[str]:
    return [container["Id"] for container in client(url).containers(all=True)]


def running(url: str, box: DockerSandbox) -> list[str]:
    """What the model's user runs in a container, as the engine sees it."""
    short = box.id.removeprefix("docker-")
    table = client(url).top(short, ps_args="-eo pid,uid,stat,args")["Processes"] or []
    return [row[3] for row in table if row[1] == "1000" and not row[2].startswith("Z")]


async def test_every_attack_is_stopped(backend: DockerBackend) -> None:
    guarantees = await backend.probe()
    assert guarantees.gaps == {}
    assert "cgroup" in guarantees.form


async def test_a_program_gets_its_stdin_environment_and_folder(box: DockerSandbox) -> None:
    await box.write_file("sub dir/a", b"")
    result = await box.exec(
        ["sh", "-c", "cat; echo $A; ls; id -u"], stdin=b"in\n", env={"A": "b"}, cwd="sub dir"
    )
    assert result.ok
    assert result.stdout == b"in\nb\na\n1000\n"
    large = await box.exec(["wc", "-c"], stdin=b"x" * (1 << 20))
    assert large.stdout.strip() == b"1048576"
    assert (await box.exec(["true"], stdin=b"x" * (1 << 20))).ok


async def test_endings_are_told_apart(box: DockerSandbox) -> None:
    failed = await box.exec(["sh", "-c", "exit 3"])
    assert (failed.status, failed.exit_code) == (ExecStatus.NONZERO, 3)
    killed = await box.exec(["sh", "-c", "kill -SEGV $$"])
    assert (killed.status, killed.signal) == (ExecStatus.SIGNAL, 11)
    assert (await box.exec(["no-such-program"])).exit_code == 127
    assert (await box.exec(["true"], cwd="nowhere")).exit_code == 127
    memory = await box.run_python("x = bytearray(b'x') * (1 << 30)")
    assert memory.status is ExecStatus.OOM
    flood = await box.exec(["yes"])
    assert flood.status is ExecStatus.OUTPUT_LIMIT
    assert len(flood.stdout) < 5000
    full = await box.exec(["sh", "-c", "head -c 30000000 /dev/zero > big"])
    assert full.status is ExecStatus.DISK_FULL


async def test_memory_of_many_processes_is_one_sum(box: DockerSandbox) -> None:
    child = "x = bytearray(b'x') * (40 << 20); import time; time.sleep(2)"
    code = f"import subprocess as s, sys\ncommand = [sys.executable, '-c', {child!r}]\n"
    code += "children = [s.Popen(command) for _ in range(8)]\n"
    code += "sys.exit(any(child.wait() for child in children))"
    assert (await box.run_python(code)).status is ExecStatus.OOM


@pytest.mark.parametrize(
    "command",
    [
        "sleep 100",
        "trap '' TERM INT HUP; while :; do :; done",
        "setsid sleep 100 & sleep 100",
        "kill -STOP $$",
        "setsid sleep 100 & kill -9 $PPID; sleep 100",
    ],
)
async def test_nothing_runs_after_a_time_out(url: str, box: DockerSandbox, command: str) -> None:
    began = time.monotonic()
    result = await box.exec(["sh", "-c", command], timeout_s=1)
    assert result.status in (ExecStatus.TIMEOUT, ExecStatus.SIGNAL)
    assert time.monotonic() - began < 5
    assert running(url, box) == []
    assert (await box.exec(["true"])).ok


async def test_a_fork_bomb_costs_neither_the_container_nor_its_files(
    url: str, box: DockerSandbox
) -> None:
    await box.write_file("kept", b"1")
    bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    result = await box.run_python(bomb, timeout_s=1)
    assert result.status is ExecStatus.TIMEOUT
    assert running(url, box) == []
    assert await box.read_file("kept") == b"1"


async def test_a_daemon_does_not_outlive_its_call(url: str, box: DockerSandbox) -> None:
    holds_pipe = "setsid sleep 100 &"
    closes_all = "setsid sleep 100 </dev/null >/dev/null 2>&1 &"
    for command in (holds_pipe, closes_all):
        assert (await box.exec(["sh", "-c", command])).ok
        assert running(url, box) == []


async def test_the_keeper_cannot_be_killed_or_traced(box: DockerSandbox) -> None:
    result = await box.exec(
        ["sh", "-c", "kill -9 1; kill -USR1 1; cat /proc/1/environ; kill -9 -1"]
    )
    assert not result.ok
    await box.health()
    assert (await box.exec(["true"])).ok


async def test_an_engine_without_an_init_gets_a_keeper_that_reaps(url: str) -> None:
    api = client(url)
    container = creation.start_one(api, IMAGE, LIMITS, 1.0, {}, init=False)
    try:
        container.script(["sh", "-c", "setsid sleep 99 >/dev/null 2>&1 &"])
        assert container.leftovers()
        container.kill_all()
        assert container.script(["echo", "on"]) == (0, b"on\n")
    finally:
        container.remove()


async def test_the_container_is_closed_from_inside(box: DockerSandbox) -> None:
    code = """
import os, socket
def refused(what):
    try: what()
    except OSError as error: return True
for path in ("/etc/x", "/x", "/usr/x", "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/x"):
    assert refused(lambda: open(path, "w")), path
for family, kind in ((16, 3), (17, 3), (40, 1), (38, 5)):
    assert refused(lambda: socket.socket(family, kind)), family
assert refused(lambda: os.mknod("/work/sda", 0o60666, os.makedev(8, 0)))
assert refused(lambda: os.setuid(0))
assert refused(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
"""
    result = await box.run_python(code)
    assert result.stderr == b""
    assert result.ok


async def test_honest_programs_still_work(box: DockerSandbox) -> None:
    code = """
import asyncio, multiprocessing, signal, subprocess, threading
assert subprocess.check_output(["echo", "hi"]) == b"hi\\n"
with multiprocessing.get_context("fork").Pool(2) as pool: assert pool.map(abs, [-1, 2]) == [1, 2]
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
asyncio.run(asyncio.sleep(0.01))
signal.signal(signal.SIGALRM, lambda *_: print("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()
"""
    result = await box.run_python(code)
    assert result.stderr == b""
    assert result.stdout == b"thread\nalarm\n"


async def test_sessions_keep_their_state_across_other_calls(url: str, box: DockerSandbox) -> None:
    assert (await box.run_python("x = 6", session="s")).state_kept
    await box.run_bash("cd /tmp; export A=1; sleep 99 &", session="s")
    await box.exec(["sh", "-c", "setsid sleep 1000 & kill -9 $PPID"])
    assert "sleep 1000" not in running(url, box)
    assert (await box.run_python("x * 7", session="s")).stdout == b"42\n"
    shell = await box.run_bash("pwd; echo $A; jobs", session="s")
    assert shell.stdout.startswith(b"/tmp\n1\n")
    assert b"sleep 99" in shell.stdout
    polite = await box.run_python("import time; time.sleep(60)", session="s", timeout_s=0.3)
    assert (polite.status, polite.state_kept) == (ExecStatus.TIMEOUT, True)
    lost = await box.run_python("import os; os.kill(os.getppid(), 9)", session="s")
    assert (lost.status, lost.state_kept) == (ExecStatus.KILLED, False)
    assert b"NameError" in (await box.run_python("x", session="s")).stderr
    memory = await box.run_python("x = bytearray(b'x') * (1 << 30)", session="s")
    assert (memory.status, memory.state_kept) == (ExecStatus.OOM, False)


async def test_files_survive_the_trip_whatever_their_names(box: DockerSandbox) -> None:
    data = bytes(range(256)) * 4000
    for path in ("a", "deep/er/b", "two\nlines", "-n", "bad\udcff", "/work/absolute", " "):
        await box.write_file(path, data)
        assert await box.read_file(path) == data
    names = [entry.name for entry in await box.list_dir()]
    assert names == sorted(["a", "deep", "two\nlines", "-n", "bad\udcff", "absolute", " "])
    assert await box.list_dir("deep/er/") == [(await box.list_dir("deep/er"))[0]]
    assert await box.read_file("a", max_bytes=3) == b"\0\1\2"
    await box.exec(["mkdir", "empty"])
    assert await box.list_dir("empty") == []


async def test_file_errors_are_those_of_open(box: DockerSandbox) -> None:
    await box.exec(["sh", "-c", "mkdir d; ln -s /etc out; ln -s d in; mkfifo fifo; echo 1 > d/f"])
    assert await box.read_file("in/f") == b"1\n"
    for error, call in (
        (FileNotFoundError, box.read_file("none")),
        (IsADirectoryError, box.read_file("d")),
        (NotADirectoryError, box.read_file("d/f/g")),
        (PermissionError, box.read_file("out/passwd")),
        (PermissionError, box.read_file("/etc/passwd")),
        (PermissionError, box.read_file("d/../../etc/passwd")),
        (PermissionError, box.write_file("out/x", b"")),
        (PermissionError, box.list_dir("out")),
        (OSError, box.read_file("fifo")),
        (IsADirectoryError, box.write_file("d", b"")),
        (NotADirectoryError, box.list_dir("d/f")),
        (FileNotFoundError, box.list_dir("none")),
        (OSError, box.write_file("big", bytes(20 << 20))),
    ):
        with pytest.raises(error):
            await call
    assert "big" not in [entry.name for entry in await box.list_dir()]


async def test_snapshots_reset_and_fork_copy_the_files(
    backend: DockerBackend, box: DockerSandbox
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
    await twin.aclose()
    await box.reset()
    assert await box.list_dir() == []
    assert backend.stats().leased == 1
    with pytest.raises(UsageError, match="snapshot of 'jail'"):
        await box.reset(Snapshot("jail", None, b""))


async def test_the_base_is_copied_in_and_never_written(
    backend: DockerBackend, tmp_path: Path
) -> None:
    (tmp_path / "task").write_text("one")
    box = await backend.acquire(SandboxSpec(LIMITS, frozenset(), base=tmp_path))
    await box.exec(["sh", "-c", "echo two > task"])
    assert await box.read_file("task") == b"two\n"
    await box.reset()
    assert await box.read_file("task") == b"one"
    assert (tmp_path / "task").read_text() == "one"


async def test_cancelling_a_call_leaves_nothing_running(url: str, box: DockerSandbox) -> None:
    calls = (
        lambda: box.exec(["sh", "-c", "setsid sleep 99 & sleep 99"]),
        lambda: box.run_python("import time\nwhile True: time.sleep(1)", session="s"),
        lambda: box.write_file("x", bytes(1 << 22)),
    )
    for call in calls:
        for delay in (0.0, 0.02, 0.1, 0.4):
            task = asyncio.ensure_future(call())
            await asyncio.sleep(delay)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                assert [line for line in running(url, box) if "sleep" in line] == []


async def test_cancelling_acquire_leaves_no_container(url: str, backend: DockerBackend) -> None:
    for delay in (0.0, 0.02, 0.05, 0.1, 0.15):
        task = asyncio.create_task(backend.acquire(SPEC))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert containers(url) == []
    assert backend.stats().leased == 0


async def test_containers_of_a_killed_trainer_are_removed_at_the_next_start(url: str) -> None:
    trainer = f"""
import asyncio, os, signal
from agentgym.sandbox import SandboxSpec
from agentgym_tools.sandboxes.docker import DockerBackend
async def main():
    backend = DockerBackend({url!r}, image={IMAGE!r}, pool=1)
    box = await backend.acquire(SandboxSpec(min_guarantees=frozenset()), episode_id="e1")
    print("leased", flush=True)
    await box.exec(["sleep", "99"])
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", trainer], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"leased\n"
    time.sleep(0.5)
    alive = DockerBackend(url, image=IMAGE)
    await alive.start()
    await alive.aclose()
    assert containers(url), "a living trainer's containers stay"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    backend = DockerBackend(url, image=IMAGE)
    await backend.start()
    assert containers(url) == []
    await backend.aclose()


async def test_a_container_that_is_gone_is_a_dead_sandbox(url: str, backend: DockerBackend) -> None:
    box = await backend.acquire(SPEC)
    call = asyncio.create_task(box.exec(["sleep", "99"]))
    await asyncio.sleep(0.3)
    client(url).remove_container(box.id.removeprefix("docker-"), force=True)
    with pytest.raises(SandboxDied, match="is gone"):
        await call
    for broken in (box.health(), box.run_python("1", session="s"), box.read_file("x")):
        with pytest.raises(SandboxDied):
            await broken
    assert backend.stats().died >= 1
    await box.aclose()
    await box.aclose()
    with pytest.raises(SandboxDied, match="it was closed"):
        await box.exec(["true"])


async def test_leases_are_limited_and_end_when_unused(url: str) -> None:
    backend = DockerBackend(url, image=IMAGE, pool=0, leases=1)
    box = await backend.acquire(SPEC, ttl_s=1.0)
    with pytest.raises(SandboxUnavailable, match=r"no container came free within 0.1 s"):
        await backend.acquire(SPEC, deadline_s=0.1)
    second = await backend.acquire(SPEC, deadline_s=10)  # once the first one has ended
    with pytest.raises(SandboxDied, match="1 s without a call"):
        await box.exec(["true"])
    await second.health()
    await backend.aclose()
    await backend.aclose()
    assert containers(url) == []


async def test_warm_containers_are_lent_once_each(url: str) -> None:
    backend = DockerBackend(url, image=IMAGE, pool=2)
    first = await backend.acquire(SPEC)
    while len(containers(url)) < 3:
        await asyncio.sleep(0.05)
    await first.write_file("x", b"1")
    await first.aclose()
    second, third = await asyncio.gather(backend.acquire(SPEC), backend.acquire(SPEC))
    assert second.id != third.id
    assert await second.list_dir() == await third.list_dir() == []
    await backend.aclose()
    assert containers(url) == []


async def test_calls_leave_no_descriptor_or_exec_behind(box: DockerSandbox) -> None:
    for _ in range(3):
        await box.exec(["true"])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        await box.exec(["true"])
    assert len(os.listdir("/proc/self/fd")) <= before + 1


async def test_an_engine_that_ignores_limits_is_refused(url: str) -> None:
    api = client(url)
    created = api.create_container(IMAGE, ["sleep", "60"], user="1000:1000")["Id"]
    try:
        api.start(created)
        inspect = api.inspect_container(created)
        run = api.exec_create(created, ["sh", "-c", hardening.INSPECTION], user="1000:1000")["Id"]
        inside = hardening.parse_inspection(api.exec_start(run).decode())
    finally:
        api.remove_container(created, force=True)
    wanted = hardening.container_options(LIMITS, 1.0, init=True)
    problems = "; ".join(hardening.missing_limits(inspect, inside, wanted))
    for named in ("Memory=0", "PidsLimit=None", "memory.max is", "pids.max is", "NoNewPrivs is 0"):
        assert named in problems


async def test_wrong_inputs_say_what_to_give(
    url: str, backend: DockerBackend, box: DockerSandbox, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="argv must be a list"):
        await box.exec("ls")
    with pytest.raises(UsageError, match="valid Unicode"):
        await box.exec(["echo", "\udcff"])
    with pytest.raises(UsageError, match="concurrency=0"):
        DockerBackend(concurrency=0)
    with pytest.raises(UsageError, match="must be a folder"):
        await backend.acquire(SandboxSpec(base=tmp_path / "none"))
    with pytest.raises(UsageError, match="no tarball"):
        images.import_tarball(client(url), tmp_path / "none.tar", "x")
    with pytest.raises(UsageError, match="no Dockerfile"):
        images.build(client(url), tmp_path, "x")
    with pytest.raises(SandboxUnavailable, match="no image 'agentgym-none:1'"):
        await backend.acquire(SandboxSpec(LIMITS, frozenset(), image="agentgym-none:1"))
    nowhere = DockerBackend("unix:///nowhere/d.sock")
    with pytest.raises(SandboxUnavailable, match="no container engine answers at unix:///nowhere"):
        await nowhere.start()
    await nowhere.aclose()


async def test_an_image_is_built_and_one_without_python_says_so(
    url: str, backend: DockerBackend, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nENV PATH=/bin\n")
    images.build(client(url), tmp_path, "agentgym-plain:1")
    box = await backend.acquire(SandboxSpec(LIMITS, frozenset(), image="agentgym-plain:1"))
    assert (await box.exec(["echo", "hi"])).stdout == b"hi\n"
    with pytest.raises(NotSupported, match="'agentgym-plain:1' has no python3"):
        await box.run_python("1")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY none /\n")
    with pytest.raises(SandboxUnavailable, match="cannot be built"):
        images.build(client(url), tmp_path, "agentgym-broken:1")
