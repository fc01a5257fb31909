"""Places are handed out in the order of arrival, and never lost."""

import asyncio
import random

import pytest

from agentgym import SandboxUnavailable
from agentgym_tools.sandboxes.fair_gate import FairGate


async def test_no_newcomer_overtakes_a_waiter() -> None:
    gate = FairGate(1)
    await gate.enter()
    order: list[int] = []

    async def wait(number: int) -> None:
        await gate.enter()
        order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert gate.waiting == 5
    for _ in range(5):
        gate.leave()
        late = asyncio.create_task(wait(99))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late.cancel()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_a_deadline_is_told_with_what_is_taken() -> None:
    gate = FairGate(1)
    await gate.enter()
    with pytest.raises(SandboxUnavailable, match=r"no sandbox came free within 0\.01 s; all 1"):
        await gate.enter(0.01, "sandbox")
    assert gate.waiting == 0
    gate.leave()
    assert gate.inside == 0


async def test_random_cancellation_loses_no_place() -> None:
    gate, rng, peak = FairGate(3), random.Random(0), 0

    async def worker() -> None:
        nonlocal peak
        async with gate.place(rng.choice([None, 0.001])):
            peak = max(peak, gate.inside)
            await asyncio.sleep(rng.random() * 0.003)

    tasks = [asyncio.create_task(worker()) for _ in range(300)]
    for task in tasks:
        if rng.random() < 0.4:
            await asyncio.sleep(rng.random() * 0.001)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (gate.inside, gate.waiting) == (0, 0)
    assert peak == 3
