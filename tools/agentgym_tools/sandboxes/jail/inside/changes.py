"""The files of a sandbox as a tar archive and back: all of them, or what differs from a base.

What an overlay marks as deleted travels as a device 0/0, its own mark, and a folder that hides
the base's as a header.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tarfile

_OPAQUE_MARK = "user.overlay.opaque"
_OPAQUE_HEADER = "AGENTGYM.opaque"


def pack(folder: str) -> bytes:
    """Everything below ``folder``. Sockets and FIFOs are left out; links stay links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for parent, folders, files in os.walk(folder):
            for name in sorted(folders + files):
                # A program that still runs may delete what we are about to read.
                with contextlib.suppress(FileNotFoundError):
                    _add(tar, os.path.join(parent, name), folder)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: str, folder: str) -> None:
    member = tar.gettarinfo(path, arcname=os.path.relpath(path, folder))
    if member is None or member.isfifo() or member.isblk():  # None: a socket
        return
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


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, _OPAQUE_MARK, follow_symlinks=False) == b"y"
    except OSError:
        return False


def unpack(data: bytes, work: str, user: int) -> None:
    """Make the files of an archive, over what is there. They belong to ``user``.

    Links come last, so that nothing is written through one.
    """
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        for member in sorted(members, key=lambda member: member.issym() or member.islnk()):
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
                os.link(os.path.join(work, member.linkname), path)
        for member in reversed(members):  # last: a read-only folder could not be filled
            if member.isdir():
                os.chmod(os.path.join(work, member.name), stat.S_IMODE(member.mode))


def _make_folder(member: tarfile.TarInfo, path: str, user: int) -> None:
    if _OPAQUE_HEADER in member.pax_headers or not os.path.isdir(path) or os.path.islink(path):
        _delete(path)
        os.mkdir(path)
    os.chown(path, user, user)


def _delete(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
