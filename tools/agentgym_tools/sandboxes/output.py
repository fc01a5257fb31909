"""What is kept of a stream that may be endless: its head, its tail, and a count."""

from __future__ import annotations

KILL_FACTOR = 8
"""A call that writes more than this many times its cap is killed."""


class HeadTail:
    """Collects a stream in bounded memory.

    Args:
        cap: Bytes kept. Up to this size everything is; beyond it half from each end.
    """

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._half = cap // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self.total += len(chunk)
        room = self._cap - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self._tail += chunk
            if len(self._tail) > 2 * self._cap:
                del self._tail[: -self._half or None]

    @property
    def overflown(self) -> bool:
        """Whether the writer should be killed."""
        return self.total > KILL_FACTOR * self._cap

    def data(self) -> bytes:
        """Everything, or the head and the tail around a line that counts what is missing."""
        if self.total <= self._cap:
            return bytes(self._head)
        kept = bytes(self._head) + bytes(self._tail)
        head, tail = kept[: self._half], kept[len(kept) - self._half :]
        left_out = self.total - len(head) - len(tail)
        return head + b"\n[... %d bytes left out ...]\n" % left_out + tail
