"""Waiting for work: to its end, or all of it together."""

import asyncio

import pytest

from agentgym_trainers.together import together
from agentgym_trainers.uninterrupted import uninterrupted


async def test_work_goes_on_to_its_end_and_the_cancellation_is_heard_afterwards() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    heard: list[object] = []

    async def work() -> int:
        begun.set()
        await go_on.wait()
        return 7

    async def caller() -> None:
        heard.append(await uninterrupted(work()))
        heard.append("before the next wait")
        await asyncio.sleep(0)
        heard.append("never")

    task = asyncio.create_task(caller())
    await begun.wait()
    for _ in range(3):  # as often as one likes
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == [7, "before the next wait"]


async def test_work_that_fails_raises_and_the_caller_was_not_cancelled() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await uninterrupted(work())
    await asyncio.sleep(0)  # would raise


async def test_together_gives_results_in_order() -> None:
    async def late(number: int) -> int:
        for _ in range(10 - number):
            await asyncio.sleep(0)
        return number

    assert await together(late(number) for number in range(5)) == list(range(5))
    assert await together([]) == []


@pytest.mark.parametrize("cancelled", [True, False])
async def test_together_nobody_outlives_a_failure(cancelled: bool) -> None:
    cleared, fail, last = [], asyncio.Event(), asyncio.Event()

    async def patient(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):  # clearing up takes a while, and is not broken off
                await asyncio.sleep(0)
            cleared.append(number)

    async def failing() -> None:
        last.set()
        await fail.wait()
        raise ValueError("first")

    task = asyncio.create_task(together([patient(0), patient(1), failing()]))
    await last.wait()
    if cancelled:
        task.cancel()
    else:
        fail.set()
    with pytest.raises(asyncio.CancelledError if cancelled else ValueError):
        await task
    assert sorted(cleared) == [0, 1]
