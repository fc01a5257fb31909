"""Doing things once and in time: the two promises under every call of the sandbox server."""

import asyncio
import time

import pytest

from agentgym.sandbox import SandboxDied
from agentgym_tools.sandboxes.remote.deadline import within
from agentgym_tools.sandboxes.remote.outcomes import Outcomes, Reply
from agentgym_tools.sandboxes.remote.wire_errors import Code, ErrorMessage


class Work:
    """Counts how often it was done."""

    def __init__(self, body: bytes = b"{}", seconds: float = 0.0) -> None:
        self.body, self.seconds, self.done = body, seconds, 0

    async def __call__(self) -> Reply:
        self.done += 1
        await asyncio.sleep(self.seconds)
        return Reply(200, self.body)


def code(reply: Reply) -> Code:
    return ErrorMessage.decode(reply.body).code


async def test_work_is_done_once_at_the_same_time_and_later() -> None:
    outcomes, work = Outcomes(), Work(seconds=0.05)
    replies = await asyncio.gather(*(outcomes.once("key", work) for _ in range(5)))
    assert {*replies, await outcomes.once("key", work)} == {Reply(200, b"{}")}
    assert (work.done, outcomes.running) == (1, 0)


async def test_work_goes_on_without_the_one_who_asked() -> None:
    outcomes, work = Outcomes(), Work(seconds=0.05)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outcomes.once("key", work), 0.01)
    assert (await outcomes.once("key", work)).status == 200
    assert work.done == 1


async def test_an_error_is_remembered_too() -> None:
    outcomes, calls = Outcomes(), []

    async def fail() -> Reply:
        calls.append(1)
        raise SandboxDied("gone")

    assert [code(await outcomes.once("key", fail)) for _ in range(2)] == [Code.DIED] * 2
    assert len(calls) == 1


async def test_an_answer_no_longer_kept_is_refused_not_run_again() -> None:
    outcomes, work = Outcomes(answers=2), Work()
    for number in range(3):
        await outcomes.once(str(number), work)
    assert code(await outcomes.once("0", work)) is Code.DIED
    assert (await outcomes.once("2", work)).status == 200
    assert work.done == 3


async def test_answers_are_bounded_in_bytes_but_the_newest_stays() -> None:
    outcomes, work = Outcomes(total_bytes=100), Work(bytes(80))
    await outcomes.once("a", work)
    await outcomes.once("b", work)
    assert code(await outcomes.once("a", work)) is Code.DIED
    assert (await outcomes.once("b", work)).body == bytes(80)


async def test_what_may_be_repeated_is_not_kept() -> None:
    outcomes, work = Outcomes(), Work()
    for _ in range(2):
        assert (await outcomes.once("key", work, repeatable=True)).status == 200
    assert work.done == 2


async def test_cancelled_work_ends_and_never_begins_later() -> None:
    outcomes, work = Outcomes(), Work(seconds=60)
    asking = asyncio.create_task(outcomes.once("key", work))
    await asyncio.sleep(0.01)
    outcomes.cancel("key")
    outcomes.cancel("not here yet")
    assert code(await asking) is Code.DIED
    assert code(await outcomes.once("not here yet", work)) is Code.DIED
    assert work.done == 1


async def test_a_deadline_holds_even_for_work_that_ignores_it() -> None:
    async def stubborn() -> None:
        for _ in range(20):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue

    began = time.monotonic()
    with pytest.raises(SandboxDied, match=r"exec in box did not end within 0.05 s"):
        await within(0.05, "exec in box", stubborn())
    assert time.monotonic() - began < 1


async def test_within_its_deadline_work_gives_its_result_or_its_error() -> None:
    async def fail() -> None:
        raise FileNotFoundError(2, "No such file")

    assert await within(5, "work", asyncio.sleep(0, "done")) == "done"
    with pytest.raises(FileNotFoundError):
        await within(5, "work", fail())
