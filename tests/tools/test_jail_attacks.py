"""The attacks that SandboxBackend promises are about, carried out. Each test is one way out.

The same suite runs for every form of the jail (test_jail_forms.py): without namespaces an attack
must fail in another way, and what that form does not promise is skipped with its reason.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.jails import LIMITS, box, in_namespaces, jail, lease, started

from agentgym import ExecStatus, Sandbox
from agentgym_tools.sandboxes.jail.backend import JailBackend
from agentgym_tools.sandboxes.jail.inside import landlock

__all__ = ["box", "jail"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
signals_hold = pytest.mark.skipif(
    not in_namespaces() and os.getuid() != 0 and landlock.version() < 6,
    reason="without namespaces an ordinary user's signals need Landlock 6 (Linux 6.12)",
)
needs_namespaces = pytest.mark.skipif(
    not in_namespaces(), reason="the landlock form does not promise this"
)
X86 = os.uname().machine == "x86_64"


async def outcome(box: Sandbox, code: str, timeout_s: float = 5.0) -> str:
    """What a program printed, with errors of the operating system by name."""
    program = "import errno\ntry:\n" + textwrap.indent(textwrap.dedent(code), "    ")
    program += "\nexcept OSError as error:\n    print('refused', errno.errorcode[error.errno])\n"
    result = await box.run_python(program, timeout_s=timeout_s)
    return (result.stdout + result.stderr).decode(errors="replace").strip()


def refused(text: str) -> bool:
    """Whether the kernel said no to the first thing that was tried."""
    return text.startswith("refused")


# 1. Files, secrets and descriptors of the host.


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/etc/hostname", "/root", "/home", "/var", "/boot", "/sys/kernel", "/run/lock",
     "/proc/1/environ", "/proc/1/fd", "/proc/1/mem", "/proc/1/root/etc/shadow", "/proc/1/maps",
     "/proc/self/root/etc/shadow", "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/sda", "/dev/vda",
     "/dev/kmsg", "/dev/tty", "/dev/ptmx"],
)  # fmt: skip
async def test_host_files_cannot_be_read(box: Sandbox, path: str) -> None:
    listed = await outcome(
        box, f"p = {path!r}\nimport os\n"
        "print(os.listdir(p)) if os.path.isdir(p) else print(open(p, 'rb').read(10))"
    )  # fmt: skip
    if sys.base_prefix.startswith(f"{path}/"):  # the way to the interpreter, and nothing beside it
        assert listed == repr([Path(sys.base_prefix).relative_to(path).parts[0]])
    else:
        assert refused(listed) or listed == "[]", listed


async def test_the_trainers_secrets_are_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET_TOKEN", "leak-me-not")
    backend = await started()  # with the secret in the environment from its start
    box = await lease(backend)
    code = """
    import glob, os
    text = repr(os.environ)
    for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):
        try:
            text += open(path, 'rb').read().decode(errors='replace')
        except OSError:
            pass
    print('leak-me-not' in text, 'pytest' in text)
    """
    assert await outcome(box, code) == "False False"
    await backend.aclose()


@pytest.mark.parametrize("session", [None, "s"])
async def test_no_descriptor_of_ours_is_open(box: Sandbox, session: str | None) -> None:
    code = "import os\nfor fd in range(3, 1024):\n    try: os.fstat(fd)\n    except OSError: continue\n    print(fd, os.fstat(fd).st_mode)\n"  # noqa: E501
    result = await box.run_python(code, session=session)
    lines = result.stdout.decode().split("\n")[:-1]
    # A session's worker has the socket on which its own cells arrive, and nothing else.
    assert len(lines) == (0 if session is None else 1), lines


# 2. Sockets.


@pytest.fixture
def listeners() -> Iterator[tuple[int, str, str]]:
    """A TCP port, an abstract and a path socket that anybody could connect to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = str(Path(folder, "socket"))
        tcp = socket.create_server(("127.0.0.1", 0))
        unix = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for server, address in zip(unix, (f"\0attack-{os.getpid()}", path), strict=True):
            server.bind(address)
            server.listen()
        os.chmod(path, 0o777)
        yield tcp.getsockname()[1], f"attack-{os.getpid()}", path
        for server in [tcp, *unix]:
            server.close()


async def test_no_socket_of_the_host_is_reached(
    box: Sandbox, listeners: tuple[int, str, str]
) -> None:
    port, abstract, path = listeners
    tcp = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1); print('in')"
    assert refused(await outcome(box, tcp))
    for address in (f"'\\0{abstract}'", repr(path)):
        unix = f"import socket; socket.socket(socket.AF_UNIX).connect({address}); print('in')"
        assert refused(await outcome(box, unix))


@pytest.mark.parametrize(
    ("family", "kind"),
    [("INET", 1), ("INET6", 2), ("NETLINK", 3), ("PACKET", 3), ("VSOCK", 1), ("BLUETOOTH", 3),
     ("ALG", 5), ("CAN", 3), ("XDP", 3), ("TIPC", 1)],
)  # fmt: skip
async def test_only_unix_sockets_can_be_made(box: Sandbox, family: str, kind: int) -> None:
    numbers = {"INET": 2, "INET6": 10, "NETLINK": 16, "PACKET": 17, "VSOCK": 40, "BLUETOOTH": 31,
               "ALG": 38, "CAN": 29, "XDP": 44, "TIPC": 30}  # fmt: skip
    code = f"import socket; socket.socket({numbers[family]}, {kind}); print('made')"
    assert await outcome(box, code) == "refused EAFNOSUPPORT"


@needs_namespaces
async def test_two_sandboxes_do_not_meet_on_an_abstract_socket(jail: JailBackend) -> None:
    first, second = await lease(jail), await lease(jail)
    serve = "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0meet'); s.listen()"
    assert (await first.run_python(serve, session="s")).ok
    assert refused(
        await outcome(second, "import socket; socket.socket(socket.AF_UNIX).connect('\\0meet')")
    )
    await first.aclose()
    await second.aclose()


# 3. Writing outside.


@pytest.mark.parametrize(
    "path",
    ["/escaped", "/etc/passwd", "/usr/bin/escaped", "/lib/escaped", "/opt/escaped", "/dev/escaped",
     "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/self/oom_score_adj",
     "/proc/self/uid_map", "/sys/fs/cgroup/escaped", "/run/escaped", "/box/escaped", "/base/x"],
)  # fmt: skip
async def test_nothing_outside_can_be_written(box: Sandbox, path: str) -> None:
    assert refused(await outcome(box, f"open({path!r}, 'w').write('0'); print('wrote')"))


async def test_the_interpreter_cannot_be_changed_for_others(box: Sandbox) -> None:
    for module in ("os", "json", "numpy"):
        code = f"import {module}\nopen({module}.__file__, 'a').write('x')\nprint('wrote')"
        assert refused(await outcome(box, code)) or "No module" in await outcome(box, code)


# 4. Kernel machinery.

CALLS = {
    "unshare user": "libc.unshare(0x10000000)",
    "unshare mount": "libc.unshare(0x00020000)",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, b'')",
    "umount": "libc.umount2(b'/proc', 2)",
    "chroot": "libc.chroot(b'/tmp')",
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "bpf": f"libc.syscall({321 if X86 else 280}, 0, 0, 0)",
    "io_uring": "libc.syscall(425, 1, ctypes.create_string_buffer(256))",
    "userfaultfd": f"libc.syscall({323 if X86 else 282}, 1)",
    "keyctl": f"libc.syscall({250 if X86 else 219}, 0, -3, 0)",
    "perf": f"libc.syscall({298 if X86 else 241}, bytes(128), 0, -1, -1, 0)",
    "process_vm_readv": f"libc.syscall({310 if X86 else 270}, 1, 0, 0, 0, 0, 0)",
    "pidfd_getfd": "libc.syscall(438, 3, 0, 0)",
    "clone3": "libc.syscall(435, ctypes.create_string_buffer(64), 64)",
    "fsopen": "libc.syscall(430, b'tmpfs', 0)",
    "open_tree": "libc.syscall(428, -100, b'/', 1)",
    "setns": "libc.setns(0, 0)",
    "kexec": f"libc.syscall({246 if X86 else 104}, 0, 0, 0, 0)",
    "sethostname": "libc.sethostname(b'x', 1)",
    "settimeofday": "libc.settimeofday(ctypes.create_string_buffer(16), None)",
    "memfd_secret": "libc.syscall(447, 0)",
    "mknod device": "libc.mknod(b'/tmp/d', 0o020666, 0x0103)",
    "raw io": f"libc.syscall({172 if X86 else 9999}, 3)",
}


@pytest.mark.parametrize("name", list(CALLS))
async def test_kernel_machinery_is_closed(box: Sandbox, name: str) -> None:
    code = f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint({CALLS[name]})"
    assert await outcome(box, code) == "-1"


async def test_namespaces_cannot_be_cloned(box: Sandbox) -> None:
    number = 56 if X86 else 220
    flags = (0x10000000, 0x20000000, 0x00020000, 0x40000000, 0x02000000, 0x08000000)
    code = f"""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    print([libc.syscall({number}, flag | 17, 0, 0, 0, 0) for flag in {flags}])
    """
    assert await outcome(box, code) == str([-1] * len(flags))


@pytest.mark.skipif(not X86, reason="a matter of x86-64")
async def test_another_architectures_calls_kill(box: Sandbox) -> None:
    x32_getpid = "import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 39); print('alive')"
    result = await box.run_python(x32_getpid)
    assert (result.status, result.signal) == (ExecStatus.SIGNAL, signal.SIGSYS)


async def test_real_time_and_priority_are_refused(box: Sandbox) -> None:
    assert refused(
        await outcome(box, "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))")
    )
    assert refused(await outcome(box, "import os; os.nice(-5)"))
    raised = "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (9999, 9999))"
    text = await outcome(box, f"try:\n    {raised}\nexcept ValueError: print('refused')")
    assert "refused" in text


async def test_suid_programs_gain_nothing(box: Sandbox) -> None:
    result = await box.exec(
        ["sh", "-c", "su -c id root < /dev/null; grep NoNewPrivs /proc/self/status || true; mount"]
    )
    assert b"uid=0" not in result.stdout
    capabilities = await box.exec(["sh", "-c", "grep Cap /proc/self/status || echo none"])
    if in_namespaces():
        assert b"NoNewPrivs:\t1" in result.stdout
        values = {line.split()[1] for line in capabilities.stdout.splitlines()}
        assert values == {b"0000000000000000"}


# 5. Exhaustion.


async def test_a_fork_bomb_ends_at_its_limit_and_hurts_nobody(jail: JailBackend) -> None:
    bomb, neighbour = await lease(jail), await lease(jail)
    code = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    running = asyncio.create_task(bomb.run_python(code, timeout_s=1.0))
    await asyncio.sleep(0.3)
    if in_namespaces():
        result = await neighbour.run_python("import subprocess; subprocess.run(['true'])")
        assert result.ok, result
    assert (await running).status in (ExecStatus.TIMEOUT, ExecStatus.KILLED)
    assert (await bomb.run_python("print(1)")).stdout == b"1\n"
    await bomb.aclose()
    await neighbour.aclose()


async def test_memory_is_bounded_for_one_process_and_for_all_together(box: Sandbox) -> None:
    one = await box.run_python(
        "data = bytearray(900 << 20)\ndata[::4096] = data[::4096]\nprint('got it')"
    )
    assert one.status in (ExecStatus.OOM, ExecStatus.NONZERO)
    assert b"got it" not in one.stdout
    eight = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        data = bytearray(60 << 20)
        for i in range(0, len(data), 4096): data[i] = 1
        time.sleep(2)
        os._exit(0)
assert all(os.wait()[1] == 0 for _ in range(8))
print('got it')
"""
    together = await box.run_python(eight)
    assert together.status is ExecStatus.OOM
    assert b"got it" not in together.stdout
    assert (await box.run_python("print(1)")).ok


async def test_untouched_memory_has_a_bound_too(box: Sandbox) -> None:
    result = await box.run_python("import mmap; mmap.mmap(-1, 6 << 30); print('got 6GiB')")
    assert b"got" not in result.stdout


@needs_namespaces
@pytest.mark.parametrize("folder", ["/work", "/tmp", "/dev/shm"])
async def test_disk_and_inodes_are_bounded(jail: JailBackend, folder: str) -> None:
    box = await lease(jail)
    fill = f"""
size = 0
try:
    for i in range(100):
        with open(f'{folder}/f{{i}}', 'wb') as file: size += file.write(bytes(1 << 20))
except OSError as error:
    print(error.errno)
print(size >> 20)
raise SystemExit(1)
"""
    result = await box.run_python(fill)
    assert result.status is ExecStatus.DISK_FULL
    assert int(result.stdout.split()[-1]) <= LIMITS.disk_mb
    await box.reset()
    many = f"i = 0\nwhile i < 1000:\n    open('{folder}/n%d' % i, 'w').close(); i += 1"
    result = await box.run_python(many)
    assert result.status is ExecStatus.DISK_FULL
    await box.aclose()


async def test_a_single_file_is_bounded(box: Sandbox) -> None:
    code = "open('big', 'wb').write(bytes(9 << 20)); print('wrote')"
    assert b"wrote" not in (await box.run_python(code)).stdout
    assert (await box.run_python("open('ok', 'wb').write(bytes(4 << 20))")).ok


async def test_anonymous_files_count_as_memory(box: Sandbox) -> None:
    code = """
    import os
    fds, total = [], 0
    for i in range(60):
        fd = os.memfd_create('m')
        for _ in range(7):
            total += os.write(fd, bytes(1 << 20))
        fds.append(fd)
    print('kept', total >> 20)
    """
    text = await outcome(box, code)
    assert "kept" not in text or int(text.split()[1]) < 300


async def test_shared_memory_counts_as_memory(box: Sandbox) -> None:
    code = """
    import mmap, time
    m = mmap.mmap(-1, 400 << 20)
    for i in range(0, 400 << 20, 4096): m[i] = 1
    print('kept')
    """
    assert "kept" not in await outcome(box, code)


@pytest.mark.parametrize("stream", [1, 2])
async def test_floods_are_cut_off_and_our_memory_stays_flat(box: Sandbox, stream: int) -> None:
    before = Path("/proc/self/statm").read_text().split()[1]
    result = await box.run_python(f"import os\nwhile True: os.write({stream}, b'x' * 65536)")
    assert result.status is ExecStatus.OUTPUT_LIMIT
    assert len(result.stdout) + len(result.stderr) < 20_000
    after = Path("/proc/self/statm").read_text().split()[1]
    assert (int(after) - int(before)) * 4096 < 5 << 20
    flood = await box.run_python("import os\nwhile True: os.write(1, b'x' * 65536)", session="s")
    assert flood.status is ExecStatus.OUTPUT_LIMIT


# 6. What would outlive its call.

DAEMON = """
import os, signal, sys, time
for _ in range(2):
    if os.fork(): {end}
    os.setsid()
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
{pipes}
while True:
    with open('beat', 'a') as file: file.write('x')
    time.sleep(0.02)
"""


@pytest.mark.parametrize("pipes", ["", "os.close(0); os.close(1); os.close(2)"])
async def test_a_daemon_ends_with_its_call(box: Sandbox, pipes: str) -> None:
    code = DAEMON.format(end="time.sleep(0.3); os._exit(0)", pipes=pipes)
    result = await box.run_python(code, timeout_s=5)
    assert result.ok, "a held pipe must not hold us"
    beats = len(await box.read_file("beat"))
    assert beats > 0
    await asyncio.sleep(0.2)
    assert len(await box.read_file("beat")) == beats


STUBBORN = {
    "stops itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "ignores signals": """
import signal, time
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: time.sleep(1)
""",
    "sleeps": "import time; time.sleep(100)",
    "spins": "while True: pass",
    "has children that left": """
import os, time
for _ in range(8):
    if os.fork() == 0:
        os.setsid(); time.sleep(100)
time.sleep(100)
""",
    "stops its parent": """
import os, signal
if os.fork() == 0:
    while True: os.kill(os.getppid(), signal.SIGSTOP)
while True: pass
""",
    "has threads": """
import threading, time
for _ in range(10): threading.Thread(target=time.sleep, args=(100,)).start()
""",
}


@pytest.mark.parametrize("name", list(STUBBORN))
async def test_the_time_limit_ends_everything(box: Sandbox, name: str) -> None:
    result = await box.run_python(STUBBORN[name], timeout_s=0.5)
    assert result.status is ExecStatus.TIMEOUT
    assert (await box.run_python("print(1)")).ok


# 7. Processes outside.


@signals_hold
async def test_processes_outside_cannot_be_signalled(box: Sandbox) -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        code = f"""
        import os, signal
        for pid in ({victim.pid}, {os.getpid()}, -1):
            try: os.kill(pid, signal.SIGTERM)
            except OSError: pass
        """
        await box.run_python(textwrap.dedent(code))
        await asyncio.sleep(0.1)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@signals_hold
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGSTOP", "SIGUSR1", "SIGINT"])
async def test_the_process_that_judges_cannot_be_reached(box: Sandbox, number: str) -> None:
    code = f"""
    import os, signal
    for pid in (1, os.getppid()):
        try: os.kill(pid, signal.{number})
        except OSError: pass
    raise SystemExit(7)
    """
    result = await box.run_python(textwrap.dedent(code))
    assert result.exit_code == 7
    assert (await box.run_python("print(1)")).stdout == b"1\n"


# 8. The files, from the host's side.


async def test_no_link_leads_the_host_out(box: Sandbox) -> None:
    await box.run_bash(
        "ln -s /etc/passwd absolute; ln -s ../../../etc/passwd relative; ln -s / root;"
        "ln -s /proc/self/root magic; mkdir d; ln -s .. d/up; ln -s loop loop; mkfifo fifo;"
        "truncate -s 7M sparse; touch $'bad\\xffname'; mkdir folder",
        session="s",
    )
    out = ["absolute", "relative", "root/etc/passwd", "magic/etc/passwd", "loop", "/etc/passwd"]
    out += ["d/up/../../etc/passwd", "../etc/passwd", "folder/../../etc/passwd"]
    for path in out:
        with pytest.raises(OSError, match=r"."):
            await box.read_file(path)
    for path in ("root/tmp/escaped", "magic/tmp/escaped", "../escaped", "/tmp/escaped"):
        with pytest.raises(OSError, match=r"."):
            await box.write_file(path, b"x")
    assert not Path("/tmp/escaped").exists()
    await box.write_file("absolute", b"replaces the link")
    assert (await box.read_file("absolute")) == b"replaces the link"
    for path in ("fifo", "folder"):
        with pytest.raises(OSError, match=r"."):
            await asyncio.wait_for(box.read_file(path), 1)
    assert len(await box.read_file("sparse", max_bytes=100)) == 100
    names = [entry.name for entry in await box.list_dir()]
    assert "bad\udcffname" in names
    assert await box.read_file("bad\udcffname") == b""


async def test_exchanging_a_folder_for_a_link_never_leads_out(box: Sandbox) -> None:
    await box.write_file("d/passwd", b"mine")
    flip = "while :; do mv d e; ln -s /etc d; rm d; mv e d; done &"
    await box.run_bash(flip, session="s")
    seen = set()
    for _ in range(2000):
        try:
            seen.add(await box.read_file("d/passwd"))
        except OSError:
            continue
    assert seen <= {b"mine"}


async def test_a_hostile_tree_survives_snapshot_and_reset(box: Sandbox) -> None:
    await box.run_bash(
        "ln -s /etc e; ln -s ../.. up; mkfifo f; echo x > a; ln a b; mkdir locked;"
        "echo y > locked/z; chmod 000 locked a; touch $'n\\nl';"
        "p=.; for i in $(seq 60); do p=$p/deep; done; mkdir -p $p",
        session="s",
    )
    snapshot = await box.snapshot()
    await box.reset(snapshot)
    result = await box.exec(
        ["sh", "-c", "readlink e up; stat -c %a locked a; ls | wc -l; ls -di a b"]
    )
    lines = result.stdout.decode().splitlines()
    assert lines[:4] == ["/etc", "../..", "0", "0"], result
    assert lines[5].split()[0] == lines[6].split()[0], "hard links stay one file"
    await box.reset()
    assert await box.list_dir() == []


# 9. Crashes and lies.


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import ctypes; ctypes.string_at(0)", ExecStatus.SIGNAL),
        ("import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()", None),
        ("print('\\udcff')", None),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\x00')", ExecStatus.OK),
        ("import os; os.close(1); os.close(2)", None),
        ("import sys; sys.exit = None; del sys.modules['sys']; raise SystemExit(0)", ExecStatus.OK),
        ("import os; os._exit(0)", ExecStatus.OK),
        ("import threading; threading.Thread(target=lambda: 1/0).start()", ExecStatus.OK),
    ],
)
async def test_crashes_stay_inside(box: Sandbox, code: str, status: ExecStatus | None) -> None:
    result = await box.run_python(code)
    assert status is None or result.status is status, result
    assert (await box.run_python("print('next')")).stdout == b"next\n"


async def test_a_call_cannot_lie_about_how_it_ended(box: Sandbox) -> None:
    forged = '{"status": 0, "cpu_s": 0, "max_rss_kb": 0, "disk_full": false}'
    code = f"""
import os
for fd in range(0, 256):
    for data in (b'i' + {forged!r}.encode(), b'\\0\\0\\0\\0'):
        try: os.write(fd, data)
        except OSError: pass
os._exit(9)
"""
    assert (await box.run_python(code)).exit_code == 9
    assert (await box.run_python("print('next')")).stdout == b"next\n"


async def test_files_left_behind_do_not_change_the_next_call(box: Sandbox) -> None:
    for name in (
        "os",
        "sitecustomize",
        "usercustomize",
        "encodings",
        "json",
        "traceback",
        "random",
    ):
        await box.write_file(f"{name}.py", b"print('HIJACKED')")
    result = await box.run_python("print('clean')\n1/0")
    assert b"HIJACKED" not in result.stdout + result.stderr
    assert result.stdout == b"clean\n"
    assert b"ZeroDivisionError" in result.stderr


async def test_a_session_that_speaks_out_of_turn_harms_only_itself(box: Sandbox) -> None:
    spam = """
import os
for _ in range(10000):
    try: os.write(3, bytes(100))
    except OSError: break
"""
    await box.run_python(spam, session="s", timeout_s=1)
    assert (await box.run_python("print(1)")).stdout == b"1\n"
    assert (await box.run_python("print(2)", session="other")).stdout == b"2\n"
    result = await box.run_python("print(3)", session="s", timeout_s=1)
    assert isinstance(result.status, ExecStatus)
