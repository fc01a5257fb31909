"""Reading what a call writes, as it comes, in bounded memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from agentgym_tools.sandboxes.output import HeadTail

_CHUNK = 1 << 16


class Capture:
    """Two pipes, stdout and stderr, that the event loop empties.

    Args:
        cap: Bytes kept of each stream.
        on_flood: Called for each chunk once a stream exceeds what a call may write.
    """

    def __init__(self, cap: int, on_flood: Callable[[], None] | None = None) -> None:
        self._cap = cap
        self.on_flood = on_flood
        self._loop = asyncio.get_running_loop()
        self._read_ends: list[int] = []
        self.write_ends: list[int] = []
        self.streams = [HeadTail(cap), HeadTail(cap)]
        for _ in range(2):
            read_end, write_end = os.pipe()
            os.set_blocking(read_end, False)
            self._read_ends.append(read_end)
            self.write_ends.append(write_end)
        self.resume()

    def sent(self) -> None:
        """Close our copies of the write ends, so that the end of the streams can be seen."""
        while self.write_ends:
            os.close(self.write_ends.pop())

    def resume(self) -> None:
        """Read on, from now for a new call. What was written in between belongs to it too."""
        self.streams = [HeadTail(self._cap), HeadTail(self._cap)]
        for index, fd in enumerate(self._read_ends):
            if fd >= 0:
                self._loop.add_reader(fd, self._readable, index)

    def pause(self) -> None:
        """Read no more: who writes on fills the pipe, and then waits."""
        for fd in self._read_ends:
            if fd >= 0:
                self._loop.remove_reader(fd)

    def drain(self) -> None:
        """Read what is there already."""
        for index, fd in enumerate(self._read_ends):
            while fd >= 0 and self._read(index, fd):
                if self.streams[index].overflown:
                    break

    def close(self) -> None:
        """Stop reading."""
        self.sent()
        for index in range(2):
            self._stop(index)

    def _readable(self, index: int) -> None:
        self._read(index, self._read_ends[index])

    def _read(self, index: int, fd: int) -> bool:
        try:
            chunk = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._stop(index)
            return False
        stream = self.streams[index]
        stream.feed(chunk)
        if stream.overflown and self.on_flood is not None:
            self.on_flood()
        return True

    def _stop(self, index: int) -> None:
        fd = self._read_ends[index]
        if fd >= 0:
            self._loop.remove_reader(fd)
            os.close(fd)
            self._read_ends[index] = -1
