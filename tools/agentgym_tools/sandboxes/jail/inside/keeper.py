"""The process between the trainer and the jail: starts the jail, and buries it.

It sees the host, runs none of the model's code, and holds one end of a pipe whose other end only
the trainer has. When that end closes, however the trainer died, it kills the jail's first process
and with it everything in it, and removes the control groups.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
from typing import Any

from agentgym_tools.sandboxes.jail import wire
from agentgym_tools.sandboxes.jail.inside import linux, runner, slot, zygote
from agentgym_tools.sandboxes.jail.settings import Form, Settings

_CLEANUP_S = 3.0
_DOING = {
    "root": "making namespaces as root",
    "user": "making a user namespace",
    "landlock": "starting",
}


def main(settings_fd: int) -> None:
    """Run until the trainer is gone, or the jail is."""
    # A service manager stops all processes of a service at once; we end after the trainer.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(settings_fd) as file:
        # In a list, and under no other name: the jail's first process takes it out, so that no
        # frame that the model's code could walk to still has it.
        held = [Settings.from_json(file.read())]
    if held[0].form == "landlock":
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)  # what the jail leaves comes to us
    control = socket.socket(fileno=held[0].control_fd)
    trees = socket.socket(fileno=held[0].trees_fd)
    jail_pid: int | None = None
    try:
        try:
            jail_pid = _start(held[0].form, held, control)
        except OSError as error:
            wire.send(control, {"error": f"{error.strerror} ({_DOING[held[0].form]})"})
            return
        control.close()
        _serve(held[0], trees, jail_pid)
    finally:
        _bury(held[0], jail_pid)


def _start(form: Form, held: list[Settings], control: socket.socket) -> int:
    """Fork the jail's first process; in it, never return."""
    flags = linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWNET
    flags |= linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    if form == "user":
        uid, gid = os.getuid(), os.getgid()
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        map_one_user("self", (uid, uid), (gid, gid))
    elif form == "root":
        linux.unshare(linux.CLONE_NEWNS)
    if form != "landlock":
        linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
        linux.prctl(linux.PR_SET_DUMPABLE, 1)
    pid = os.fork() if form == "landlock" else linux.clone(flags)
    if pid == 0:
        zygote.run_forever(held, control)
    return pid


def map_one_user(process: int | str, uid_pair: tuple[int, int], gid_pair: tuple[int, int]) -> None:
    """Map one user and group, each (inside, outside), into a process's new user namespace."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{process}/setgroups", "w") as file:
        file.write("deny")
    for name, (inside, outside) in (("uid_map", uid_pair), ("gid_map", gid_pair)):
        with open(f"/proc/{process}/{name}", "w") as file:
            file.write(f"{inside} {outside} 1")


def _serve(settings: Settings, trees: socket.socket, jail_pid: int) -> None:
    """Hand out copies of host folders as mounts, until one side is gone."""
    import select

    life_fd = settings.life_fd
    jail_fd = os.pidfd_open(jail_pid)
    poll = select.poll()
    ends = {life_fd, settings.trainer_fd, jail_fd}
    for fd in (*ends, trees.fileno()):
        poll.register(fd, select.POLLIN)
    while True:
        ready = {fd for fd, _event in poll.poll()}
        if ready & ends:
            return
        try:
            request, _fds = wire.receive(trees)
        except EOFError:
            return
        answer, opened = _open_tree(request)
        wire.send(trees, {"n": request["n"], **answer}, opened)
        for fd in opened:
            os.close(fd)


def _open_tree(request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """A detached, read-only copy of a folder's mount, its owner shown as the sandbox's user."""
    try:
        tree = linux.call(
            linux.OPEN_TREE, linux.AT_FDCWD, os.fsencode(request["path"]),
            linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC,
        )  # fmt: skip
        try:
            linux.seal_tree(tree)
            if request["owner"] is not None:
                _show_owner_as(tree, os.stat(request["path"]), request["owner"])
        except OSError:
            os.close(tree)
            raise
    except OSError as error:
        return {"error": f"{error.strerror}", "errno": error.errno}, []
    return {}, [tree]


def _show_owner_as(tree: int, info: os.stat_result, owner: int) -> None:
    """Map the folder owner's ids to the sandbox user's, for this mount alone."""
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            linux.unshare(linux.CLONE_NEWUSER)
            os.write(ready_write, b"r")
            os.close(go_write)
            os.read(go_read, 1)
        finally:
            os._exit(0)
    os.close(ready_write)
    os.close(go_read)
    try:
        if not os.read(ready_read, 1):
            raise OSError(errno.ENOSPC, "no user namespace for the base folder's ids")
        map_one_user(pid, (info.st_uid, owner), (info.st_gid, owner))
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.set_mount_idmap(tree, namespace)
        finally:
            os.close(namespace)
    finally:
        os.close(ready_read)
        os.close(go_write)  # the child was only there to have the namespace
        os.waitpid(pid, 0)


def _bury(settings: Settings, jail_pid: int | None) -> None:
    if jail_pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(jail_pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(jail_pid, 0)
    if settings.form == "landlock":
        runner.end_descendants(keep=())
    for base in settings.cgroups:
        _remove_groups(base)
    if settings.scratch:
        with contextlib.suppress(OSError):
            slot.remove_tree(settings.scratch)


def _remove_groups(base: str) -> None:
    """Remove a control group and its children; the last process may take a moment to leave."""
    until = time.monotonic() + _CLEANUP_S
    while time.monotonic() < until:
        try:
            for name in os.listdir(base):
                path = os.path.join(base, name)
                if os.path.isdir(path):
                    os.rmdir(path)
            os.rmdir(base)
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
