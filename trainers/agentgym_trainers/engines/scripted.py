"""The ``scripted`` engine: a function answers. Public, so tests and oracles need no mock."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from agentgym.engine import Generation, Sampling

Reply = Callable[[str], "str | Awaitable[str]"]


class Tokenizer(Protocol):
    """The part of a tokenizer that the engine uses."""

    eos_token_id: Any

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]:
        """Text to token ids."""

    def decode(self, token_ids: Sequence[int]) -> Any:
        """Token ids to text."""


class ScriptedEngine:
    """Says what ``reply`` says.

    Args:
        tokenizer: Makes token ids of the reply; ``eos_token_id`` ends it.
        reply: From the decoded prompt to the assistant's text; may be a coroutine function, and may
            raise to play a failing engine.
    """

    def __init__(self, tokenizer: Tokenizer, reply: Reply) -> None:
        self._tokenizer = tokenizer
        self._reply = reply
        self.version = 0

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: Sampling,
        *,
        request_id: str,
        timeout_s: float,
    ) -> Generation:
        """The scripted answer as token ids, each with log-probability 0; cut at ``max_tokens``."""
        text = self._reply(str(self._tokenizer.decode(list(token_ids))))
        if inspect.isawaitable(text):
            text = await text
        ids = self._tokenizer.encode(str(text), add_special_tokens=False)
        ids = [*ids, self._tokenizer.eos_token_id]
        reason = "stop" if len(ids) <= sampling.max_tokens else "length"
        ids = ids[: sampling.max_tokens]
        zeros = (0.0,) * len(ids)
        return Generation(tuple(ids), zeros, "stop" if reason == "stop" else "length", self.version)

    async def release(self, request_id: str) -> None:
        """Nothing is kept."""

    async def abort(self, request_id: str) -> None:
        """A reply comes whole."""

    async def pause(self, *, timeout_s: float, drain: bool = True) -> None:
        """Nothing runs."""

    async def update_weights(self, source: Any, version: int, *, timeout_s: float) -> None:
        """Only the version changes."""
        self.version = version

    async def resume(self) -> None:
        """Nothing was paused."""

    async def aclose(self) -> None:
        """Nothing to stop."""
