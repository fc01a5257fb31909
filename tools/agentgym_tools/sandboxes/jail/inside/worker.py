"""The process that runs the model's code. Everything it could misuse is gone before it starts."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

from agentgym_tools.sandboxes import python_cell
from agentgym_tools.sandboxes.bash_loop import BASH_LOOP
from agentgym_tools.sandboxes.jail import wire
from agentgym_tools.sandboxes.jail.settings import CALL, REPORT


def run_once(sock: socket.socket) -> NoReturn:
    """Take one request and carry it out. Never returns."""
    code = 1
    try:
        try:
            request, fds = wire.receive(sock)
        except EOFError:
            os._exit(0)
        sock.close()
        if len(fds) != 3:
            os._exit(1)
        _connect(fds)
        os.environ.update(request["env"])
        if request["cwd"] != ".":
            os.chdir(request["cwd"])
        if request["argv"] is not None:
            _execute(request["argv"])
        code = _run_program(request["code"])
    except OSError as error:
        code = _complain(error)
    except BaseException:
        code = 1
    finally:
        os._exit(code)


def run_session(language: str, fds: list[int]) -> NoReturn:
    """Serve one session on ``fds``: stdin, stdout, stderr, requests. Never returns."""
    try:
        for target, fd in enumerate(fds):
            os.dup2(fd, target, inheritable=target < 3 or language == "bash")
        os.closerange(len(fds), 4096)
        if language == "bash":
            os.dup2(3, 4)
            _execute(["bash", "--norc", "--noprofile", "-c", BASH_LOOP])
        _serve_cells(socket.socket(fileno=3))
    except OSError as error:
        _complain(error)
    finally:
        os._exit(127)


def _serve_cells(sock: socket.socket) -> None:
    namespace = _fresh_main()
    own_pid = os.getpid()
    while True:
        call, size = CALL.unpack(_exactly(sock, CALL.size))
        source = _exactly(sock, size).decode("utf-8", "surrogatepass")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = python_cell.run_cell(source, namespace, echo=True)
        except BaseException:  # an interrupt that came between the cell and here
            code = 130
        if os.getpid() != own_pid:
            os._exit(code)  # a child that the cell forked, and that came to the cell's end
        with contextlib.suppress(KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        sock.sendall(REPORT.pack(call, code))


def _exactly(sock: socket.socket, size: int) -> bytes:
    chunks = []
    while size:
        chunk = sock.recv(min(size, 1 << 20))
        if not chunk:
            os._exit(0)
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _connect(fds: Sequence[int]) -> None:
    """Make the given descriptors stdin, stdout and stderr, and close all others."""
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
    os.closerange(3, 4096)


def _execute(argv: list[str]) -> NoReturn:
    """Become another program."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, os.environ)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), argv[0]) from None


def _complain(error: OSError) -> int:
    """What a shell says when a program cannot be started, and its exit code."""
    text = f"{error.filename or 'exec'}: {error.strerror}\n"
    os.write(2, text.encode("utf-8", "backslashreplace"))
    return 127 if isinstance(error, FileNotFoundError) else 126


def _fresh_main() -> dict[str, Any]:
    """A ``__main__`` as a new interpreter has it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return python_cell.main_namespace()


def _run_program(source: str) -> int:
    """Run a whole program as ``python -c`` would, to the end of its threads and exit hooks."""
    namespace = _fresh_main()
    if "random" in source and "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # every fork has the same state; random does it itself
    code = python_cell.run_cell(source, namespace, echo=False)
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    return code & 0xFF
