"""A private Docker engine and an image for it, made without a network."""

import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

IMAGE = "agentgym-test:latest"
PYTHON = Path("/usr/bin/python3")
_STDLIB_LEFT_OUT = {"test", "idlelib", "tkinter", "turtledemo", "dist-packages", "__pycache__"}


def why_not() -> str:
    """The reason why no engine can be started here; empty if one can."""
    if os.getuid() != 0:
        return "needs root to start a private dockerd"
    missing = [name for name in ("dockerd", "containerd", "busybox") if not shutil.which(name)]
    if missing:
        return f"not installed: {', '.join(missing)} (apt install docker.io busybox-static)"
    if not PYTHON.exists():
        return f"no {PYTHON} to put into the image"
    return ""


@contextmanager
def private_engine() -> Iterator[str]:
    """A dockerd of our own; gives its base_url. Stops only what it started."""
    home = Path(tempfile.mkdtemp(prefix="agentgym-dockerd-", dir="/var/tmp"))
    url = f"unix://{home}/d.sock"
    command = ["dockerd", "--data-root", f"{home}/data", "--exec-root", f"{home}/exec"]
    command += ["-H", url, "--pidfile", f"{home}/pid", "--storage-driver", "overlay2"]
    command += ["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--bridge=none"]
    with open(home / "log", "wb") as log:
        engine = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(engine, home)
        yield url
    finally:
        engine.send_signal(signal.SIGTERM)  # takes its containerd along
        try:
            engine.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(engine.pid, signal.SIGKILL)
            engine.wait()
        _unmount_below(home)
        shutil.rmtree(home, ignore_errors=True)


def _wait_for(engine: "subprocess.Popen[bytes]", home: Path) -> None:
    deadline = time.monotonic() + 60
    while not (home / "d.sock").exists() or b"API listen on" not in (home / "log").read_bytes():
        if engine.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"dockerd does not start here: {(home / 'log').read_text()[-500:]}")
        time.sleep(0.05)


def _unmount_below(folder: Path) -> None:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted(points, reverse=True):
        if point.startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", point], check=False)


def write_image(path: Path) -> None:
    """A root file system: busybox, bash and the host's Python with what it loads."""
    with tarfile.open(path, "w") as tar:
        for folder in ("bin", "work", "tmp", "proc", "sys", "dev", "etc", "root", "usr/bin"):
            _add_folder(tar, folder)
        busybox = shutil.which("busybox") or ""
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for applet in subprocess.check_output([busybox, "--list"], text=True).split():
            if applet not in ("busybox", "bash"):
                _add_link(tar, f"bin/{applet}", "/bin/busybox")
        python = PYTHON.resolve()
        tar.add(python, "usr/bin/python3")
        tar.add(os.path.realpath("/bin/bash"), "bin/bash")
        stdlib = Path(f"/usr/lib/{python.name}")
        tar.add(stdlib, str(stdlib).lstrip("/"), filter=_without_extras)
        binaries = [python, Path("/bin/bash"), *stdlib.glob("lib-dynload/*.so")]
        for library in _libraries(binaries):
            tar.add(os.path.realpath(library), library.lstrip("/"))
        _add_file(
            tar, "etc/passwd", "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/work:/bin/sh\n"
        )


def _without_extras(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if _STDLIB_LEFT_OUT & set(member.name.split("/")) else member


def _libraries(binaries: list[Path]) -> set[str]:
    found = set()
    for binary in binaries:
        listing = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
        found |= {word for word in listing.stdout.split() if word.startswith("/")}
    return {path for path in found if Path(path).exists() and ":" not in path}


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(member)


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)


def _add_file(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text.encode()), 0o644
    tar.addfile(member, io.BytesIO(text.encode()))
