"""A container's files, through scripts inside it: the engine's copy cannot reach a tmpfs."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Sequence
from typing import Literal

from agentgym.sandbox import FileInfo, NotSupported, SandboxError
from agentgym_tools.sandboxes.docker import scripts
from agentgym_tools.sandboxes.docker.container import Container
from agentgym_tools.sandboxes.files import LARGEST_READ

_ERRORS = {
    10: (errno.ENOENT, "no such file or folder"),
    11: (errno.EISDIR, "is a folder"),
    12: (errno.EACCES, "leads out of /work"),
    13: (errno.ENOTDIR, "a part of it is not a folder"),
    14: (errno.EINVAL, "is not a regular file"),
    15: (errno.EACCES, "its folder cannot be written"),
    16: (errno.ENOSPC, "no space left in /work"),
    17: (errno.EACCES, "permission denied"),
}


def read(container: Container, path: str, max_bytes: int | None, stop: threading.Event) -> bytes:
    """See :meth:`agentgym.Sandbox.read_file`."""
    most = LARGEST_READ if max_bytes is None else max_bytes
    command = scripts.shell(scripts.READ, scripts.quoted_path(path), str(most))
    return _run(container, path, command, b"", most, stop)


def write(container: Container, path: str, data: bytes, stop: threading.Event) -> None:
    """See :meth:`agentgym.Sandbox.write_file`."""
    if path.endswith("/") or scripts.quoted_path(path) == "/work":
        raise IsADirectoryError(errno.EISDIR, "is a folder", path)
    command = scripts.shell(scripts.WRITE, scripts.quoted_path(path), str(len(data)))
    _run(container, path, command, data, 1 << 16, stop)


def list_folder(container: Container, path: str, stop: threading.Event) -> list[FileInfo]:
    """See :meth:`agentgym.Sandbox.list_dir`."""
    command = scripts.shell(scripts.LIST, scripts.quoted_path(path))
    most = 512 * int(container.limits.inodes) + (1 << 16)
    data = _run(container, path, command, b"", most, stop)
    if data.startswith(b"\0"):
        return []
    names, _, details = data.partition(b"\0\0")
    entries = zip(names.split(b"\0"), details.splitlines(), strict=False)
    found = [_describe(name, detail) for name, detail in entries]
    return sorted(found, key=lambda entry: entry.name)


def pack(container: Container, stop: threading.Event) -> bytes:
    """All files of /work as a tar archive.

    Raises:
        NotSupported: The image has neither tar nor python3.
    """
    command = _tar(container, scripts.PACK, scripts.PACK_BY_PYTHON)
    # Headers and padding are up to two KiB a file.
    most = (container.limits.disk_mb << 20) + 4096 * int(container.limits.inodes)
    code, data = container.script(command, at_most=most, stop=stop)
    if code:
        raise SandboxError("snapshot", f"tar ended with exit code {code} in {container.image!r}")
    return data


def unpack(container: Container, archive: bytes, stop: threading.Event) -> None:
    """Put a tar archive's files into /work, which must be empty.

    Raises:
        NotSupported: The image has neither tar nor python3.
        SandboxError: They do not fit, or it is not a tar archive.
    """
    command = _tar(container, scripts.UNPACK, scripts.UNPACK_BY_PYTHON)
    code, _ = container.script(command, archive, stop=stop)
    if code:
        raise SandboxError(
            "snapshot",
            f"cannot restore {len(archive)} bytes of files: tar ended with exit code {code}; "
            f"/work has room for three quarters of disk_mb={container.limits.disk_mb}",
        )


def _tar(container: Container, by_tar: str, by_python: str) -> Sequence[str]:
    if container.inside.has("python3"):  # first, since busybox cannot fill a read-only folder
        return ["python3", "-c", by_python]
    if container.inside.has("tar"):
        return scripts.shell(by_tar)
    raise NotSupported(
        f"image {container.image!r} has neither tar nor python3, so files cannot be copied in "
        'or out at once; add one of them to the image, or use "jail"'
    )


def _run(
    container: Container,
    path: str,
    command: Sequence[str],
    stdin: bytes,
    at_most: int,
    stop: threading.Event,
) -> bytes:
    code, data = container.script(command, stdin, at_most=at_most, stop=stop)
    if code:
        number, text = _ERRORS.get(code, (errno.EIO, f"failed with exit code {code}"))
        raise OSError(number, text, path)
    return data


def _describe(name: bytes, detail: bytes) -> FileInfo:
    mode, size = int(detail.split()[0], 16), int(detail.split()[1])
    kind: Literal["file", "folder", "link", "other"] = "other"
    if stat.S_ISREG(mode):
        kind = "file"
    elif stat.S_ISDIR(mode):
        kind = "folder"
    elif stat.S_ISLNK(mode):
        kind = "link"
    return FileInfo(os.fsdecode(name.removeprefix(b"./")), kind, size if kind == "file" else 0)
