"""A folder as a tar archive and back, never following a link out of it."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
from pathlib import Path, PurePosixPath

from agentgym.sandbox import SandboxError


def pack(folder: Path) -> bytes:
    """Everything below ``folder`` as an uncompressed tar archive; links as links.

    Sockets, FIFOs and devices are left out.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(os.listdir(folder)):
            tar.add(folder / entry, arcname=entry, filter=_anonymous)
    return buffer.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Put an archive's files into ``folder``, which must be empty.

    Symbolic links come last, so that nothing is ever written through one.

    Raises:
        SandboxError: A member's name leads out of the folder, or it is not a tar archive.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = tar.getmembers()
            for member in members:
                _refuse_escape(member)
            for member in members:
                if member.isdir() or member.isreg() or member.islnk():
                    _extract(tar, member, folder)
            for member in members:
                if member.issym():
                    _link(member, folder)
            for member in reversed(members):  # last, or a read-only folder could not be filled
                if member.isdir():
                    os.chmod(folder / member.name, stat.S_IMODE(member.mode))
    except (tarfile.TarError, OSError) as error:
        raise SandboxError("snapshot", f"cannot restore the archive: {error}") from error


def empty(folder: Path) -> None:
    """Delete everything below ``folder``, read-only folders too."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            for parent, _, _ in os.walk(entry.path):
                os.chmod(parent, 0o700)
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member if member.isreg() or member.isdir() or member.issym() or member.islnk() else None


def _refuse_escape(member: tarfile.TarInfo) -> None:
    names = [member.name, member.linkname] if member.islnk() else [member.name]
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise SandboxError("snapshot", f"the archive's member {name!r} leads out of its folder")


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = folder / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        path.mkdir(exist_ok=True)
        return
    if member.islnk():
        os.link(folder / member.linkname, path, follow_symlinks=False)
        return
    source = tar.extractfile(member)
    if source is None:
        raise tarfile.ReadError(f"{member.name!r} has no content")
    with source, open(path, "xb") as target:
        shutil.copyfileobj(source, target)
    os.chmod(path, stat.S_IMODE(member.mode))
    os.utime(path, (member.mtime, member.mtime))


def _link(member: tarfile.TarInfo, folder: Path) -> None:
    parent = folder
    for part in PurePosixPath(member.name).parts[:-1]:
        parent = parent / part
        if parent.is_symlink():
            raise SandboxError("snapshot", f"{member.name!r} lies beneath a symbolic link")
        parent.mkdir(exist_ok=True)
    os.symlink(member.linkname, folder / member.name)
