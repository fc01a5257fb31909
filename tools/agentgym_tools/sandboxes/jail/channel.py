"""Requests to the jail's processes, from an event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from agentgym.sandbox import SandboxDied
from agentgym_tools.sandboxes.jail import wire


class Channel:
    """One end of a socket on which a trusted process of the jail answers.

    Args:
        sock: A SOCK_SEQPACKET socket; owned from here on.
        what: Who is on the other side, for messages.
    """

    def __init__(self, sock: socket.socket, what: str) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._what = what
        self._turn = asyncio.Lock()
        self._number = 0
        self._pending: asyncio.Future[tuple[dict[str, Any], list[int]]] | None = None

    def send(self, message: dict[str, Any], fds: list[int]) -> None:
        """Send without waiting for an answer. Raises SandboxDied."""
        if self._sock.fileno() < 0:
            raise SandboxDied(f"{self._what} was closed")
        try:
            wire.send(self._sock, message, fds)
        except OSError as error:
            raise SandboxDied(f"{self._what} is gone ({error.strerror})") from None

    async def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next answer. Raises SandboxDied if the other side is gone."""
        if self._sock.fileno() < 0:
            raise SandboxDied(f"{self._what} was closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = loop.create_future()
        self._pending = future
        loop.add_reader(self._sock, self._readable, future)
        try:
            return await future
        finally:
            self._pending = None
            if self._sock.fileno() >= 0:
                loop.remove_reader(self._sock)

    def _readable(self, future: asyncio.Future[tuple[dict[str, Any], list[int]]]) -> None:
        if future.done():
            return
        try:
            future.set_result(wire.receive(self._sock))
        except BlockingIOError:
            return
        except (EOFError, OSError):
            future.set_exception(SandboxDied(f"{self._what} is gone"))

    async def request(
        self, message: dict[str, Any], fds: list[int] | None = None, *, timeout_s: float = 10.0
    ) -> tuple[dict[str, Any], list[int]]:
        """Send, and wait for the answer to it.

        Raises:
            SandboxDied: The other side is gone, or does not answer in time.
            OSError: It could not do what was asked.
        """
        async with self._turn:
            self._number += 1
            self.send({**message, "n": self._number}, fds or [])
            try:
                async with asyncio.timeout(timeout_s):
                    answer, received = await self._answer_to(self._number)
            except TimeoutError:
                raise SandboxDied(f"{self._what} did not answer within {timeout_s:g} s") from None
        if "error" in answer:
            for fd in received:
                os.close(fd)
            raise OSError(answer.get("errno") or 0, f"{self._what}: {answer['error']}")
        return answer, received

    async def _answer_to(self, number: int) -> tuple[dict[str, Any], list[int]]:
        """The answer to one request; those to requests that were given up are dropped."""
        while True:
            answer, received = await self.receive()
            if answer.get("n") == number:
                return answer, received
            for fd in received:
                os.close(fd)

    def close(self) -> None:
        """Close the socket; whoever waits on it gets SandboxDied."""
        if self._sock.fileno() < 0:
            return
        if self._pending is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            if not self._pending.done():
                self._pending.set_exception(SandboxDied(f"{self._what} was closed"))
        self._sock.close()
