"""Doing a thing once, however often it is asked for: idempotency keys."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentgym_tools.sandboxes.remote.wire_errors import Code, ErrorMessage, describe

JSON_MESSAGE = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, ready to be sent as often as it is asked for."""

    status: int
    body: bytes
    retry_after_s: float | None = None

    @classmethod
    def of_error(cls, error: ErrorMessage) -> Reply:
        return cls(error.http_status, error.encode(), error.retry_after_s)


class Outcomes:
    """Runs the work of each key once, and keeps the newest replies for those who ask again.

    Args:
        answers: Replies kept.
        total_bytes: Bytes of them all together; the newest is kept whatever its size.
        keys: Keys remembered. One whose reply is no longer kept is refused, never run again.
    """

    def __init__(self, *, answers: int = 64, total_bytes: int = 4 << 20, keys: int = 4096) -> None:
        self._max_answers, self._max_bytes, self._max_keys = answers, total_bytes, keys
        self._running: dict[str, asyncio.Task[Reply]] = {}
        self._answers: OrderedDict[str, Reply] = OrderedDict()
        self._bytes = 0
        self._spent: OrderedDict[str, None] = OrderedDict()

    @property
    def running(self) -> int:
        """How much work is going on."""
        return len(self._running)

    async def once(
        self, key: str, work: Callable[[], Awaitable[Reply]], *, repeatable: bool = False
    ) -> Reply:
        """The reply of ``work``: run now, going on, or remembered.

        The work goes on if the caller is cancelled; an exception in it becomes an error reply.

        Args:
            key: What tells this request from all others.
            work: What to do.
            repeatable: Doing it twice is harmless, so its reply, often large, is not kept.
        """
        task = self._running.get(key)
        if task is None:
            if key in self._spent:
                return self._answers.get(key) or _forgotten()
            if not repeatable:
                self._spend(key)
            task = asyncio.create_task(self._keep(key, work, repeatable))
            self._running[key] = task
        await asyncio.wait({task})
        return _cancelled() if task.cancelled() else task.result()

    def cancel(self, key: str) -> None:
        """End the work of a key; if it has not arrived yet, it will not be begun."""
        if task := self._running.get(key):
            task.cancel()
        else:
            self._spend(key)

    async def cancel_all(self) -> None:
        """End all work, and wait until it has ended."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _keep(
        self, key: str, work: Callable[[], Awaitable[Reply]], repeatable: bool
    ) -> Reply:
        try:
            reply = await work()
        except (asyncio.CancelledError, Exception) as error:
            reply = Reply.of_error(describe(error))
        finally:
            self._running.pop(key, None)
        if repeatable:
            return reply
        self._answers[key] = reply
        self._bytes += len(reply.body)
        while len(self._answers) > 1 and (
            len(self._answers) > self._max_answers or self._bytes > self._max_bytes
        ):
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= len(oldest.body)
        return reply

    def _spend(self, key: str) -> None:
        self._spent[key] = None
        while len(self._spent) > self._max_keys:
            self._spent.popitem(last=False)


def _forgotten() -> Reply:
    message = "this call was made before, and its answer is no longer kept"
    return Reply.of_error(ErrorMessage(code=Code.DIED, message=message))


def _cancelled() -> Reply:
    return Reply.of_error(describe(asyncio.CancelledError()))
