"""The files of a sandbox as a tar archive and back: all of them, or what differs from a base.

What an overlay marks as deleted travels as a device 0/0, its own mark, and a folder that hides
the base's as a header.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile

_OPAQUE_MARK = "user.overlay.opaque"
_OPAQUE_HEADER = "AGENTGYM.opaque"
_WHOLE_HEADER = "AGENTGYM.whole"


def pack(folder: str, target: IO[bytes], *, whole: bool, alone: bool, most: int) -> None:
    """Write everything below ``folder``. Sockets and FIFOs are left out; links stay links.

    Args:
        folder: Its absolute path.
        target: Where the archive goes.
        whole: Whether these are all files, and not only what was changed.
        alone: Whether nothing of the sandbox runs, and we are no more than the files' owner: then
            files that are closed even to their owner are opened for the moment.
        most: Bytes that the files may have. Holes count: an archive would fill them.

    Raises:
        OSError: EFBIG beyond that.
    """
    import tarfile

    closed = _open_up(folder) if alone else {}
    headers = {_WHOLE_HEADER: "y"} if whole else {}
    total = 0
    with tarfile.open(
        fileobj=target, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers
    ) as tar:
        start = tarfile.TarInfo(".")  # so that no archive is empty
        start.type = tarfile.DIRTYPE
        tar.addfile(start)
        for parent, folders, files in os.walk(folder):
            for name in sorted(folders + files):
                path = os.path.join(parent, name)
                # A program that still runs may delete what we are about to read.
                with contextlib.suppress(FileNotFoundError):
                    total += _add(tar, path, folder, closed, most - total)
    for path, mode in reversed(closed.values()):
        os.chmod(path, mode)


def _open_up(folder: str) -> dict[int, tuple[str, int]]:
    """Make everything readable for its owner; what was changed, by inode, with its old mode."""
    closed: dict[int, tuple[str, int]] = {}
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(parent, name)
            info = os.lstat(path)
            needed = 0o700 if stat.S_ISDIR(info.st_mode) else 0o400
            if not stat.S_ISLNK(info.st_mode) and info.st_mode & needed != needed:
                mode = stat.S_IMODE(info.st_mode)
                closed[info.st_ino] = path, mode
                os.chmod(path, mode | needed)
    return closed


def _add(
    tar: tarfile.TarFile, path: str, folder: str, closed: dict[int, tuple[str, int]], room: int
) -> int:
    """Add one file; the bytes it took."""
    member = tar.gettarinfo(path, arcname=os.path.relpath(path, folder))
    if member is None or member.isfifo() or member.isblk():  # None: a socket
        return 0
    if member.size > room:
        raise OSError(errno.EFBIG, "the files, with their holes, are larger than the disk", path)
    _path, member.mode = closed.get(os.lstat(path).st_ino, (path, member.mode))
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    if member.isdir() and _is_opaque(path):
        member.pax_headers = {_OPAQUE_HEADER: "y"}
    if member.isreg():
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            tar.addfile(member, file)
    else:
        tar.addfile(member)
    return member.size


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, _OPAQUE_MARK, follow_symlinks=False) == b"y"
    except OSError:
        return False


def unpack(source: IO[bytes], work: str, user: int) -> None:
    """Make the files of an archive, over what is there. They belong to ``user``.

    Links come last, so that nothing is written through one.
    """
    import shutil
    import tarfile

    with tarfile.open(fileobj=source) as tar:
        members = tar.getmembers()
        if _WHOLE_HEADER in tar.pax_headers:
            for name in os.listdir(work):
                _delete(os.path.join(work, name))
        for member in sorted(members, key=lambda member: member.issym() or member.islnk()):
            if member.name == ".":
                continue
            path = os.path.join(work, member.name)
            if member.isdir():
                _make_folder(member, path, user)
                continue
            _delete(path)
            if member.isreg():
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                content = tar.extractfile(member)
                assert content is not None
                with open(fd, "wb") as file:
                    shutil.copyfileobj(content, file)
                    os.fchown(fd, user, user)
                    os.fchmod(fd, stat.S_IMODE(member.mode))
                os.utime(path, (member.mtime, member.mtime))
            elif member.issym():
                os.symlink(member.linkname, path)
                os.lchown(path, user, user)
            elif member.islnk():
                os.link(os.path.join(work, member.linkname), path, follow_symlinks=False)
        for member in reversed(members):  # last: a read-only folder could not be filled
            if member.isdir() and member.name != ".":
                os.chmod(os.path.join(work, member.name), stat.S_IMODE(member.mode))


def _make_folder(member: tarfile.TarInfo, path: str, user: int) -> None:
    if _OPAQUE_HEADER in member.pax_headers or not os.path.isdir(path) or os.path.islink(path):
        _delete(path)
        os.mkdir(path)
    os.chown(path, user, user)


def _delete(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
