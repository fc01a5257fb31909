"""Errors on the wire: a stable code each, and the exception it becomes at the other end."""

from __future__ import annotations

import asyncio
import logging
import os
from enum import StrEnum

from agentgym.errors import UsageError
from agentgym.sandbox import NotSupported, SandboxDied, SandboxUnavailable
from agentgym_tools.sandboxes.remote.wire import WireMessage

_log = logging.getLogger(__name__)


class Code(StrEnum):
    """What went wrong."""

    USAGE = "usage"
    """The caller gave something wrong; nothing was run."""
    NOT_SUPPORTED = "not_supported"
    OS_ERROR = "os_error"
    """A file call failed as ``open`` does; ``errno`` says how."""
    TOO_LARGE = "too_large"
    """A message is larger than the server takes or sends."""
    UNAUTHORIZED = "unauthorized"
    BUSY = "busy"
    """Every place is leased; come back after ``Retry-After`` seconds."""
    DRAINING = "draining"
    """The server is about to stop and leases no more."""
    UNAVAILABLE = "unavailable"
    """The server's backend cannot give such a sandbox."""
    UNKNOWN_LEASE = "unknown_lease"
    DIED = "died"
    INTERNAL = "internal"


_HTTP_STATUS = {
    Code.USAGE: 400,
    Code.NOT_SUPPORTED: 400,
    Code.OS_ERROR: 422,
    Code.TOO_LARGE: 413,
    Code.UNAUTHORIZED: 401,
    Code.BUSY: 429,
    Code.DRAINING: 503,
    Code.UNAVAILABLE: 503,
    Code.UNKNOWN_LEASE: 410,
    Code.DIED: 410,
    Code.INTERNAL: 500,
}


_OS_CLASSES: dict[str, type[OSError]] = {
    one.__name__: one
    for one in (
        FileExistsError,
        FileNotFoundError,
        IsADirectoryError,
        NotADirectoryError,
        PermissionError,
    )
}


class ErrorMessage(WireMessage):
    """The body of every answer that is not 2xx."""

    code: Code
    message: str
    errno: int | None = None
    filename: str | None = None
    os_class: str | None = None
    """Name of the OSError's class, for those raised without an errno."""
    retryable: bool = False
    retry_after_s: float | None = None

    @property
    def http_status(self) -> int:
        return _HTTP_STATUS[self.code]


class Refused(Exception):
    """The server's own refusal, or one that the client received."""

    def __init__(self, error: ErrorMessage) -> None:
        super().__init__(error.message)
        self.error = error


def refusal(code: Code, message: str, *, retry_after_s: float | None = None) -> Refused:
    """A refusal to raise in the server."""
    return Refused(ErrorMessage(code=code, message=message, retry_after_s=retry_after_s))


def describe(error: BaseException) -> ErrorMessage:
    """The message for an exception that a backend raised, or the server itself."""
    match error:
        case Refused():
            return error.error
        case NotSupported():
            return ErrorMessage(code=Code.NOT_SUPPORTED, message=str(error))
        case SandboxDied():
            return ErrorMessage(code=Code.DIED, message=_told(error))
        case SandboxUnavailable():
            return ErrorMessage(
                code=Code.UNAVAILABLE, message=_told(error), retryable=error.retryable
            )
        case asyncio.CancelledError():
            return ErrorMessage(code=Code.DIED, message="the call was cancelled")
        case OSError():
            return _describe_os_error(error)
        case ValueError():  # UsageError among them
            return ErrorMessage(code=Code.USAGE, message=str(error))
        case _:
            _log.error("unexpected error", exc_info=error)
            return ErrorMessage(code=Code.INTERNAL, message=f"{type(error).__name__}: {error}")


def _told(error: SandboxDied | SandboxUnavailable) -> str:
    # The constructor at the other end puts the kind in front again.
    return str(error).removeprefix(f"{error.kind}: ")


def _describe_os_error(error: OSError) -> ErrorMessage:
    name = error.filename
    return ErrorMessage(
        code=Code.OS_ERROR,
        message=error.strerror or str(error),
        errno=error.errno,
        filename=os.fsdecode(name) if isinstance(name, (str, bytes)) else None,
        os_class=type(error).__name__,
    )


def exception(error: ErrorMessage, server: str) -> Exception:
    """The exception that the caller of a sandbox gets.

    An OSError of the same subclass, UsageError, NotSupported, SandboxUnavailable; SandboxDied for
    everything after which nobody knows what became of the sandbox.
    """
    match error.code:
        case Code.OS_ERROR if error.errno is None:
            return _OS_CLASSES.get(error.os_class or "", OSError)(error.message)
        case Code.OS_ERROR:
            return OSError(error.errno, error.message, error.filename)
        case Code.NOT_SUPPORTED:
            return NotSupported(error.message)
        case Code.USAGE | Code.TOO_LARGE:
            return UsageError(error.message)
        case Code.UNAVAILABLE:
            return SandboxUnavailable(f"{server}: {error.message}", retryable=error.retryable)
        case Code.BUSY | Code.DRAINING:
            return SandboxUnavailable(f"{server}: {error.message}", retryable=True)
        case _:
            return SandboxDied(f"{server}: {error.message}")
