"""One message and its descriptors over a socket that keeps messages apart (SOCK_SEQPACKET).

Standard library only: both sides of the wall use it.
"""

import array
import errno
import json
import os
import socket
from typing import Any

_INLINE, _IN_MEMORY_FILE = b"i", b"m"
_INLINE_LIMIT = 48 << 10
"""Bytes; a larger message travels in a memory file, since a packet must fit the socket's buffer."""
_MOST_FDS = 8


def send(sock: socket.socket, message: dict[str, Any], fds: list[int] | None = None) -> None:
    """Send a message with open descriptors; the caller keeps its own copies."""
    data = json.dumps(message).encode()
    extra: list[int] = []
    if len(data) > _INLINE_LIMIT:
        extra = [os.memfd_create("message", os.MFD_CLOEXEC)]
    try:
        packet = _INLINE + data
        if extra:
            with open(extra[0], "wb", closefd=False) as file:
                file.write(data)
            packet = _IN_MEMORY_FILE
        sent = array.array("i", [*(fds or ()), *extra])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sent)] if sent else []
        sock.sendmsg([packet], ancillary)
    finally:
        for fd in extra:
            os.close(fd)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message and its descriptors.

    Raises:
        EOFError: The other side is gone.
    """
    packet, ancillary, flags, _address = sock.recvmsg(
        _INLINE_LIMIT + 1, socket.CMSG_SPACE(_MOST_FDS * 4), socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for _level, _kind, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % 4])
    received = fds.tolist()
    if flags & socket.MSG_CTRUNC:  # no room for descriptors: what came is not what was sent
        for fd in received:
            os.close(fd)
        raise OSError(errno.EMFILE, "too many open files to receive a message")
    if not packet:
        raise EOFError
    data = packet[1:]
    if packet[:1] == _IN_MEMORY_FILE:
        memory_file = received.pop()
        size = os.fstat(memory_file).st_size
        data = os.pread(memory_file, size, 0)
        os.close(memory_file)
    return json.loads(data), received


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
