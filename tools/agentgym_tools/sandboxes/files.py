"""Reading and writing a sandbox's files from outside, where every name may be a trap.

Paths are resolved by the kernel beneath one folder (``openat2`` with RESOLVE_BENEATH), so no
symbolic link, ``..`` or magic link leads out, not even one that is exchanged in the middle.
Kernels before 5.6 get a walk that follows no link at all.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from agentgym.sandbox import FileInfo

WORK = "/work"
LARGEST_READ = 256 << 20
"""Bytes; a larger file is refused unless the caller says how much of it to read."""

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
# A FIFO must not block us, and a terminal must not become ours.
_CAREFUL = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


class Files:
    """The files beneath one open folder.

    Args:
        root_fd: The folder; borrowed, not closed.
        owner: User and group who write, or None for the caller's own. Files on a mount of
            another user namespace can be made only by a user who is known there.
    """

    def __init__(self, root_fd: int, owner: tuple[int, int] | None = None) -> None:
        self._root_fd = root_fd
        self._owner = owner

    def read(self, path: str, max_bytes: int | None = None) -> bytes:
        """The first ``max_bytes`` of a regular file, or all of it.

        Raises:
            OSError: As ``open`` does; PermissionError if the path leads out.
        """
        with self._opened(path, os.O_RDONLY) as fd:
            info = os.fstat(fd)
            if stat.S_ISDIR(info.st_mode):
                raise IsADirectoryError(errno.EISDIR, "is a folder", path)
            if not stat.S_ISREG(info.st_mode):
                raise OSError(errno.EINVAL, "is not a regular file", path)
            if max_bytes is None and info.st_size > LARGEST_READ:
                raise OSError(errno.EFBIG, "is too large to read whole; give max_bytes", path)
            left = LARGEST_READ if max_bytes is None else max_bytes
            chunks = []
            while left > 0 and (chunk := os.read(fd, min(left, 1 << 20))):
                chunks.append(chunk)
                left -= len(chunk)
            return b"".join(chunks)

    def write(self, path: str, data: bytes) -> None:
        """Put a regular file in place, whole or not at all, making its folders.

        Raises:
            OSError: As ``open`` does; PermissionError if the path leads out.
        """
        folder, _, name = _relative(path).rpartition("/")
        if name in ("", ".", ".."):
            raise IsADirectoryError(errno.EISDIR, "is a folder", path)
        with self._as_owner():
            self._make_folders(folder, path)
            self._write(folder, name, path, data)

    def _write(self, folder: str, name: str, path: str, data: bytes) -> None:
        with self._opened(folder or ".", os.O_RDONLY | os.O_DIRECTORY) as folder_fd:
            mode = 0o644
            with suppress(FileNotFoundError):
                old = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
                if stat.S_ISDIR(old.st_mode):
                    raise IsADirectoryError(errno.EISDIR, "is a folder", path)
                mode = stat.S_IMODE(old.st_mode) & 0o777 if stat.S_ISREG(old.st_mode) else mode
            self._replace(folder_fd, name, data, mode)

    def list(self, path: str = ".") -> list[FileInfo]:
        """The entries of a folder, sorted by name.

        Raises:
            OSError: As ``os.listdir`` does; PermissionError if the path leads out.
        """
        with self._opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd, os.scandir(fd) as entries:
            return sorted(map(_describe, entries), key=lambda entry: entry.name)

    def _replace(self, folder_fd: int, name: str, data: bytes, mode: int) -> None:
        temporary = f".agentgym-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=folder_fd)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fchmod(fd, mode)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        except BaseException:
            os.unlink(temporary, dir_fd=folder_fd)
            raise

    def _make_folders(self, folder: str, path: str) -> None:
        made = ""
        for part in filter(None, folder.split("/")):
            parent, made = made, f"{made}/{part}" if made else part
            try:
                with self._opened(made, os.O_RDONLY | os.O_DIRECTORY):
                    continue
            except FileNotFoundError:
                pass
            except NotADirectoryError:
                raise NotADirectoryError(errno.ENOTDIR, "a part of it is a file", path) from None
            inside = self._opened(parent or ".", os.O_RDONLY | os.O_DIRECTORY)
            with inside as parent_fd, suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=parent_fd)

    @contextmanager
    def _as_owner(self) -> Iterator[None]:
        """Act on files as the owner. Holds for this thread alone, so nothing may be awaited."""
        if self._owner is None or self._owner == (os.geteuid(), os.getegid()):
            yield
            return
        user, group = self._owner
        old_group, old_user = _libc.setfsgid(group), _libc.setfsuid(user)
        try:
            yield
        finally:
            _libc.setfsuid(old_user)
            _libc.setfsgid(old_group)

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        relative = _relative(path)
        try:
            fd = _open_beneath(self._root_fd, relative, flags | _CAREFUL)
        except OSError as error:
            if error.errno == errno.EXDEV or (error.errno == errno.ELOOP and not _openat2_works):
                raise PermissionError(errno.EACCES, "leads out of /work", path) from None
            raise type(error)(error.errno, os.strerror(error.errno or 0), path) from None
        try:
            yield fd
        finally:
            os.close(fd)


def _relative(path: str) -> str:
    """A path of the sandbox, relative to its work folder."""
    if "\0" in path:
        raise ValueError("a path cannot hold a null character")
    if path == WORK or path.startswith(WORK + "/"):
        return path[len(WORK) :].strip("/") or "."
    if path.startswith("/"):
        raise PermissionError(errno.EACCES, f"lies outside {WORK}", path)
    return path.rstrip("/") or "."


def _describe(entry: os.DirEntry[str]) -> FileInfo:
    kind: Literal["file", "folder", "link", "other"] = "other"
    size = 0
    if entry.is_symlink():
        kind = "link"
    elif entry.is_dir(follow_symlinks=False):
        kind = "folder"
    elif entry.is_file(follow_symlinks=False):
        kind = "file"
        with suppress(FileNotFoundError):  # deleted while we look
            size = entry.stat(follow_symlinks=False).st_size
    return FileInfo(entry.name, kind, size)


_openat2_works = True


def _open_beneath(root_fd: int, path: str, flags: int) -> int:
    global _openat2_works
    if _openat2_works:
        how = _OpenHow(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
        for _ in range(64):  # EAGAIN: a rename raced with the walk
            fd = _libc.syscall(
                _OPENAT2, root_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)
            )
            if fd >= 0:
                return int(fd)
            if ctypes.get_errno() != errno.EAGAIN:
                break
        code = ctypes.get_errno()
        if code != errno.ENOSYS:
            raise OSError(code, os.strerror(code), path)
        _openat2_works = False
    return open_following_nothing(root_fd, path, flags)


def open_following_nothing(root_fd: int, path: str, flags: int) -> int:
    """Open a path beneath a folder, part by part, refusing ``..`` and every symbolic link."""
    fd = os.dup(root_fd)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    try:
        for index, part in enumerate(parts):
            if part == "..":
                raise OSError(errno.EXDEV, "leads out", path)
            last = index == len(parts) - 1
            step = flags if last else os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            deeper = os.open(part, step | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = deeper
        if not parts:
            deeper = os.open(".", flags, dir_fd=fd)
            os.close(fd)
            fd = deeper
        return fd
    except BaseException:
        os.close(fd)
        raise
