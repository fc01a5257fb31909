"""What the model did wrong with a path, as an error that says so."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from agentgym.errors import ToolError

_BY_ERRNO = {
    errno.ENOENT: ("not_found", "there is no such file or folder; look with view or find"),
    errno.EISDIR: ("is_folder", "it is a folder; give the path of a file"),
    errno.ENOTDIR: ("not_folder", "a part of the path is a file, not a folder"),
    errno.EINVAL: ("not_a_file", "it is not a regular file"),
    errno.ENXIO: ("not_a_file", "it is not a regular file"),
    errno.ELOOP: ("link_loop", "its symbolic links lead in a circle"),
    errno.EFBIG: ("too_large", "it is too large"),
    errno.ENOSPC: ("disk_full", "the disk is full; delete files first"),
    errno.EDQUOT: ("disk_full", "the disk is full; delete files first"),
    errno.ENAMETOOLONG: ("invalid_path", "the name is too long"),
    errno.EILSEQ: ("invalid_path", "the name cannot be encoded"),
    errno.EROFS: ("read_only", "it lies on a read-only file system"),
    errno.EPERM: ("permission_denied", "the file system does not allow that"),
}


@contextmanager
def file_errors(path: str) -> Iterator[None]:
    """Turn the OSErrors of the sandbox's file API into ToolErrors with stable codes."""
    try:
        yield
    except OSError as error:
        raise _explain(path, error) from error
    except ValueError as error:  # a null character, or one that no file name can hold
        raise ToolError(f"{_name(path)}: {error}", "invalid_path") from error


def _explain(path: str, error: OSError) -> ToolError:
    if error.errno == errno.EACCES:
        about = str(error.strerror or error)
        if "/work" in about:
            advice = "only files in /work can be reached; give a path in it"
            return ToolError(f"{_name(path)} {about}; {advice}", "outside_work")
        return ToolError(f"{_name(path)}: permission denied", "permission_denied")
    code, advice = _BY_ERRNO.get(error.errno or 0, ("file_error", str(error.strerror or error)))
    return ToolError(f"{_name(path)}: {advice}", code)


def _name(path: str) -> str:
    return ascii(path if len(path) <= 200 else path[:200] + "…")
