"""One slot: the namespaces and the files of one sandbox at a time, and its runners.

A slot has a user, network, host-name and mount namespace of its own and lives through many
sandboxes. For each it mounts fresh files and forks runners, each the first process of its own
process namespace. It never runs the model's code.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from typing import Any, NoReturn

from agentgym_tools.sandboxes.jail import wire
from agentgym_tools.sandboxes.jail.inside import changes, linux, runner
from agentgym_tools.sandboxes.jail.settings import Common

BOX = "/box"
_TRIAL = "user.overlay.trial"
_Answer = tuple[dict[str, Any], list[int]]
_PARTS = (("work", "/work"), ("tmp", "/tmp"), ("shm", "/dev/shm"))


def run_forever(
    common: Common, request: dict[str, Any], sock_fd: int, ready_write: int, mapped_read: int
) -> NoReturn:
    """Make the namespaces, then answer the trainer. Never returns."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        # What is set up from here on belongs to this slot alone.
        if common.namespaces:
            linux.unshare(
                linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWNET
                | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
            )  # fmt: skip
        os.write(ready_write, b"r")
        os.read(mapped_read, 1)
        os.close(ready_write)
        os.close(mapped_read)
        if common.form == "root":
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # changing users clears it
        if not common.namespaces:
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        sock = socket.socket(fileno=sock_fd)
        _close_all_but(sock_fd)
        Slot(common, request, sock).serve()
    except EOFError:
        os._exit(0)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"slot: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def remove_tree(folder: str) -> None:
    """Delete a folder however deep and closed it is; nothing may run in it any more.

    By the system's own programs, which need neither recursion nor short paths.
    """
    import subprocess

    for command in (["chmod", "-R", "u+rwX", "--", folder], ["rm", "-rf", "--", folder]):
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if os.path.exists(folder):
        raise OSError(errno.ENOTEMPTY, "could not be deleted", folder)


def _close_all_but(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, 4096)


class Slot:
    """Answers one request at a time."""

    def __init__(self, common: Common, request: dict[str, Any], sock: socket.socket) -> None:
        self.common = common
        self.sock = sock
        self.in_jail = common.namespaces
        self.user: int = request["user"]
        self.box: str = BOX if self.in_jail else request["folder"]
        self.runners: set[int] = set()
        self.has_base = False
        self.mounted = False

    def serve(self) -> NoReturn:
        """Answer until the trainer closes the socket."""
        while True:
            request, fds = wire.receive(self.sock)
            answer: dict[str, Any] = {}
            opened: list[int] = []
            try:
                answer, opened = getattr(self, "do_" + request["do"])(request, fds)
            except Exception as error:
                answer = {"error": str(error), "errno": getattr(error, "errno", None)}
            wire.send(self.sock, {"n": request["n"], **answer}, opened)
            for fd in fds + opened:
                os.close(fd)

    def do_open(self, request: dict[str, Any], fds: list[int]) -> _Answer:
        """Fresh, empty files, or a base folder's; the answer carries the work folder."""
        self._end_all()
        self._clear()
        self.has_base = bool(fds)
        if self.in_jail:
            size = f"size={request['disk_mb']}m,nr_inodes={request['inodes']},mode=700"
            linux.mount("box", BOX, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, size)
            self.mounted = True
        for name, _target in _PARTS:
            self._make_folder(name, 0o1777 if name != "work" else 0o755)
        if fds:
            self._lay_over(fds[0])
        elif request.get("base"):
            self._copy(request["base"])
        if self.in_jail:
            for name, target in _PARTS:
                linux.mount(f"{BOX}/{name}", target, "", linux.MS_BIND)
        work = os.open(self.work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return {}, [work]

    @property
    def work(self) -> str:
        """The work folder, as we see it."""
        return "/work" if self.in_jail else f"{self.box}/work"

    def _make_folder(self, name: str, mode: int) -> None:
        path = f"{self.box}/{name}"
        os.makedirs(path, exist_ok=True)
        os.chown(path, self.user, self.user)
        os.chmod(path, mode)

    def _lay_over(self, tree: int) -> None:
        """Show a base folder in /work, with all changes going to this sandbox's own files."""
        linux.attach_tree(tree, "/base")
        for name in ("changes", "scratch"):
            self._make_folder(name, 0o755)
        layers = f"lowerdir=/base,upperdir={BOX}/changes,workdir={BOX}/scratch,userxattr"
        try:
            # Without extended attributes (tmpfs before Linux 6.6) it mounts, and then fails later.
            os.setxattr(f"{BOX}/changes", _TRIAL, b"y")
            os.removexattr(f"{BOX}/changes", _TRIAL)
            linux.mount("box", f"{BOX}/work", "overlay", linux.MS_NOSUID | linux.MS_NODEV, layers)
            os.chown(f"{BOX}/work", self.user, self.user)
        except OSError:
            self.has_base = False
            self._copy("/base")
        finally:
            linux.umount("/base")  # the overlay has its own hold on it; nobody else may

    def _copy(self, source: str) -> None:
        import shutil

        work = f"{self.box}/work"
        shutil.copytree(source, work, symlinks=True, dirs_exist_ok=True)
        for folder, names, files in os.walk(work):
            for name in names + files:
                os.lchown(os.path.join(folder, name), self.user, self.user)

    def do_runner(self, request: dict[str, Any], fds: list[int]) -> _Answer:
        """Fork a runner that answers on the given socket; the answer carries its handle."""
        pid = self._fork_runner(request, fds)
        self.runners.add(pid)
        handle = os.pidfd_open(pid)
        return {"pid": pid}, [handle]

    def _fork_runner(self, request: dict[str, Any], fds: list[int]) -> int:
        if self.in_jail:
            pid = linux.clone(linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWIPC)
        else:
            pid = os.fork()
        if pid == 0:
            self.sock.close()
            place = runner.Place(self.box, self.work, self.user)
            runner.run_forever(self.common, place, request, fds)
        return pid

    def do_ended(self, request: dict[str, Any], fds: list[int]) -> _Answer:
        """Wait until a killed runner and all that it started are gone; what they used."""
        return self._wait_for(request["pid"]), []

    def do_pack(self, request: dict[str, Any], fds: list[int]) -> _Answer:
        """Write the files of /work, or what was changed of the base, into the given file."""
        folder = f"{self.box}/changes" if self.has_base else self.work
        if not self.in_jail:
            self._end_all()  # out here, what still runs could lead us astray by links
        with open(fds[0], "wb", closefd=False) as file:
            changes.pack(
                folder,
                file,
                whole=not self.has_base,
                alone=not self.in_jail,
                most=request["disk_mb"] << 20,
            )
        return {}, []

    def do_unpack(self, request: dict[str, Any], fds: list[int]) -> _Answer:
        """Fill fresh files from an archive."""
        with open(fds[0], "rb", closefd=False) as file:
            changes.unpack(file, self.work, self.user)
        return {}, []

    def do_close(self, request: dict[str, Any], fds: list[int]) -> _Answer:
        """End everything and drop the files."""
        self._end_all()
        self._clear()
        return {}, []

    def do_ping(self, request: dict[str, Any], fds: list[int]) -> _Answer:
        return {}, []

    def _end_all(self) -> None:
        for pid in list(self.runners):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._wait_for(pid)

    def _wait_for(self, pid: int) -> dict[str, Any]:
        if pid not in self.runners:  # of a sandbox that is over
            return {"cpu_s": 0.0, "max_rss_kb": 0}
        self.runners.discard(pid)
        _pid, _status, usage = os.wait4(pid, 0)
        if not self.in_jail:
            runner.end_descendants(keep=self.runners)
        return {"cpu_s": usage.ru_utime + usage.ru_stime, "max_rss_kb": usage.ru_maxrss}

    def _clear(self) -> None:
        if not self.in_jail:
            for name, _target in _PARTS:
                remove_tree(f"{self.box}/{name}")
            return
        if not self.mounted:
            return
        for _name, target in _PARTS:
            linux.umount(target)
        with contextlib.suppress(OSError):
            linux.umount(f"{BOX}/work")
        linux.umount(BOX)
        self.mounted = False
