"""What goes wrong on purpose: an engine and an environment that fail by a seed, and a bad line.

Whether a try of an episode fails, and how, follows from its id alone; so does what the policy
says in those that don't. Runs with and without faults can therefore be compared.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np

from agentgym import (
    Action,
    Ending,
    EnvError,
    EpisodeLimits,
    Generation,
    Message,
    Sampling,
    StepResult,
    Task,
    TaskSet,
    TextEnv,
    open_sandbox,
)

DROP = "DROP-THE-LINE"
ENGINE_FAULTS = ("engine_failed", "engine_bug", "engine_aborted")
ENV_FAULTS = ("hang", "die", "bug", "box", "drop")
FAULTS = (*ENGINE_FAULTS, *ENV_FAULTS)
SAID = ("ab", "abc", "abcd", '<tool_call>{"name": 7', "<tool_call>[1, 2]</tool_call>")
"""What the policy says: rewarded, not, rewarded, and malformed calls of tools."""


def drawn(*what: object) -> int:
    """A number that depends on ``what`` alone."""
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=6).digest(), "big")


def failing_tries(copy: str) -> int:
    """How many tries of a copy fail: mostly none, sometimes one, rarely more than are made."""
    chance = drawn("tries", copy) % 100
    return 9 if chance < 3 else 1 if chance < 25 else 0


def fault_of(copy: str) -> str:
    """How they fail; hanging takes its time, so it is rare."""
    place = drawn("fault", copy) % 40
    return "hang" if place == 0 else [one for one in FAULTS if one != "hang"][place % 7]


class ChaosEngine:
    """Says what the id of the conversation determines, or fails; it computes nothing.

    Args:
        faults: Whether anything fails.
    """

    def __init__(self, tokenizer: Any, *, faults: bool) -> None:
        self.tokenizer, self.faults = tokenizer, faults
        self.version = self.updates = 0
        self.calls: dict[str, int] = {}

    async def generate(
        self, token_ids: Sequence[int], sampling: Sampling, *, request_id: str, timeout_s: float
    ) -> Generation:
        turn = self.calls[request_id] = self.calls.get(request_id, -1) + 1
        await asyncio.sleep(0)
        copy, _, number = request_id.rpartition(".")
        text = SAID[drawn("said", copy, turn) % len(SAID)]
        if self.faults and int(number) < failing_tries(copy) and turn == drawn("turn", copy) % 2:
            match fault := fault_of(copy):
                case "engine_failed":
                    raise EnvError("engine_failed", "out of memory")
                case "engine_bug":
                    raise ZeroDivisionError("a bug of the engine")
                case "engine_aborted":
                    return Generation((), (), "abort", self.version)
            text = f"!{fault}"
        ids = [*self.tokenizer.encode(text, add_special_tokens=False), self.tokenizer.eos_token_id]
        return Generation(tuple(ids), (-1.0,) * len(ids), "stop", self.version)

    async def release(self, request_id: str) -> None:
        self.calls.pop(request_id, None)

    async def abort(self, request_id: str) -> None:
        pass

    async def pause(self, *, timeout_s: float, drain: bool = True) -> None:
        pass

    async def update_weights(self, source: Any, version: int, *, timeout_s: float) -> None:
        self.updates += 1
        if self.faults and self.updates % 3 == 0:
            raise EnvError("engine_restarted", "it comes back with the weights of before")
        self.version = version

    async def resume(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class ChaosEnv(TextEnv):
    """Two turns; each rewards a text of even length. ``living`` counts those not closed."""

    default_limits: ClassVar[EpisodeLimits] = EpisodeLimits(step_s=3.0, invalid_actions=2)
    reward_weights: ClassVar[Mapping[str, float]] = {"even": 1.0}
    living: ClassVar[set[int]] = set()

    def load_tasks(self) -> TaskSet:
        return TaskSet(Task.create("test/Chaos-v0", f"Say {n}.", {}) for n in range(200))

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        self.living.add(id(self))
        self.asked = 0
        return StepResult((Message("user", task.prompt),))

    async def astep(self, action: Action) -> StepResult:
        match action.raw:
            case "!hang":
                await asyncio.Event().wait()
            case "!die":
                raise EnvError("server_died", "killed by its host")
            case "!bug":
                raise ZeroDivisionError("a bug of the environment")
            case "!drop":
                return StepResult((Message("user", DROP),))
            case "!box":
                async with open_sandbox("process", allow_unsafe=True) as box:
                    await box.aclose()
                    await box.exec(["true"])
        self.asked += 1
        even = {"even": float(len(action.raw) % 2 == 0)}
        if action.tool_calls:
            called = await self.call_tools(action)
            return StepResult(called.messages, even, None if self.asked < 2 else Ending.FAILED)
        ending = None if self.asked < 2 else Ending.SOLVED
        return StepResult((Message("user", "More."),), even, ending)

    async def aclose(self) -> None:
        self.living.discard(id(self))


@asynccontextmanager
async def bad_line(url: str) -> AsyncIterator[str]:
    """The url of a server in front of another; a connection on which DROP is said is cut."""
    there = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection(there.hostname, there.port)
        questions = asyncio.create_task(_pump(reader, ahead))
        answers = asyncio.create_task(_pump(behind, writer))
        await asyncio.wait([questions, answers], return_when=asyncio.FIRST_COMPLETED)
        for task, end in ((questions, writer), (answers, ahead)):
            task.cancel()
            end.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        if DROP.encode() in data:
            return
        writer.write(data)
        await writer.drain()
