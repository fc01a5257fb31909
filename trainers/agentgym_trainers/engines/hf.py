"""The ``hf`` engine: any transformers causal LM, in process, on CPU or GPU.

All waiting calls share forward passes: a call joins and leaves between two decode steps. The keys
and values of a conversation stay cached from turn to turn, and a new conversation starts from a
copy of the longest prefix any other has in common with it. The weights are the learner's own, with
nothing copied on an update, unless the engine is given a model of its own.

Batches are formed only after every coroutine that can run has run. With environments that do no I/O
the same seed therefore gives the same batches, and on a CPU the same bits.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import torch

from agentgym.engine import Generation, Sampling
from agentgym.errors import EnvError, UsageError
from agentgym_trainers.engines.call import Call
from agentgym_trainers.engines.decoder import Decoder
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.engines.weights import copy_weights
from agentgym_trainers.policy import Policy

_log = logging.getLogger(__name__)

_QUIET_ROUNDS = 4


class HFEngine:
    """Batched generation with a transformers model.

    Args:
        model: A ``PreTrainedModel`` with ``base_model`` and output embeddings; not copied.
        decode: Token ids to text; needed for stop strings only.
        max_rows: Conversations in one forward pass; more wait.
        prefill_tokens: Bound on padded tokens of one prefill pass.
        compute_dtype: What float32 weights compute in, for example bfloat16 on CUDA.
    """

    def __init__(
        self,
        model: Any,
        *,
        decode: Callable[[list[int]], str] | None = None,
        max_rows: int = 256,
        prefill_tokens: int = 16_384,
        compute_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model = model
        self.version = 0
        self._decode = decode
        self._max_rows = max_rows
        self._decoder = Decoder(model, prefill_tokens=prefill_tokens, compute_dtype=compute_dtype)
        self._waiting: list[Call] = []
        self._running: list[Call] = []
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._still = asyncio.Event()
        self._open = asyncio.Event()
        self._held = False
        self._closed = False
        self._idle.set()
        self._still.set()
        self._open.set()
        self._loop_task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hf-engine")
        self.busy_s = 0.0

    @classmethod
    async def start(
        cls, policy: Policy, settings: EngineSettings, *, prefill_tokens: int = 16_384
    ) -> Self:
        """An engine for a run: on the learner's model, or on a copy in the type it computes in."""
        model, compute = policy.model, policy.compute_dtype
        if settings.own_weights:
            model = copy.deepcopy(model).requires_grad_(False).to(compute)
        return cls(
            model,
            decode=policy.tokenizer.decode,
            max_rows=settings.concurrency,
            prefill_tokens=prefill_tokens,
            compute_dtype=compute,
        )

    @property
    def running(self) -> int:
        """Calls that are being answered now."""
        return len(self._running)

    @property
    def cached_conversations(self) -> int:
        """Conversations whose keys are held; a released one's go with the next pass."""
        return len(self._decoder.slots.cached)

    @property
    def generated_tokens(self) -> int:
        """Tokens sampled so far."""
        return self._decoder.generated_tokens

    @property
    def prefilled_tokens(self) -> int:
        """Prompt tokens computed so far, those found in the cache left out."""
        return self._decoder.prefilled_tokens

    @property
    def passes(self) -> int:
        """Forward passes so far."""
        return self._decoder.passes

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: Sampling,
        *,
        request_id: str,
        timeout_s: float,
    ) -> Generation:
        """Continue ``token_ids``; see :class:`agentgym.Engine`.

        Raises:
            EnvError: No answer within ``timeout_s`` (``engine_timeout``), the forward pass failed
                (``engine_failed``), or the engine is closed (``engine_closed``).
            UsageError: Stop strings for an engine that was not given a ``decode``.
        """
        if not token_ids or sampling.max_tokens < 1:
            raise ValueError("generate needs at least one prompt token and max_tokens >= 1")
        if sampling.stop and self._decode is None:
            raise UsageError("stop strings need HFEngine(decode=tokenizer.decode); or use stop_ids")
        if self._closed:
            raise EnvError("engine_closed", retryable=False)
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.create_task(self._serve(), name="hf-engine")
        done: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        random = np.random.Generator(np.random.PCG64(sampling.seed))
        call = Call(list(token_ids), sampling, request_id, done, random, self._decode)
        self._waiting.append(call)
        self._work.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError as error:
            raise EnvError("engine_timeout", f"no generation within {timeout_s:g} s") from error

    async def release(self, request_id: str) -> None:
        """Let go of the conversation's slot; it is freed with the next pass."""
        self._decoder.slots.release(request_id)

    async def abort(self, request_id: str) -> None:
        """End the conversation's call: now, or after the token that is being computed."""
        computed = () if self._still.is_set() else tuple(self._running)
        for call in (*self._waiting, *self._running):
            if call.conversation != request_id:
                continue
            if call in computed:
                call.aborted = True
            else:
                call.answer("abort", self.version)

    async def pause(self, *, timeout_s: float, drain: bool = True) -> None:
        """Take no new calls; wait for the running ones, or only for the token being computed.

        Raises:
            EnvError: They did not end within ``timeout_s``; calls are taken again.
        """
        self._open.clear()
        self._held = not drain
        try:
            async with asyncio.timeout(timeout_s):
                await (self._idle if drain else self._still).wait()
        except TimeoutError as error:
            waiting = len(self._running)
            await self.resume()
            raise EnvError("engine_timeout", f"pause: {waiting} calls still run") from error
        except asyncio.CancelledError:
            await self.resume()
            raise

    async def update_weights(self, source: Any, version: int, *, timeout_s: float) -> None:
        """Take the weights, number them anew, and forget all cached keys.

        Calls that are held go on from their own tokens, whose keys are computed again.

        Raises:
            RuntimeError: Calls are running; :meth:`pause` first.
        """
        if not self._still.is_set() or (self._running and not self._held):
            raise RuntimeError("pause the engine before its weights change")
        if source is not None and source is not self.model:
            copy_weights(source, self.model)
        self.version = version
        self._decoder.slots.forget()
        # They join anew, so that what several have in common is computed once.
        self._waiting, self._running = [*self._running, *self._waiting], []

    async def resume(self) -> None:
        """Take calls again, and go on with those that were held."""
        self._held = False
        self._open.set()

    async def aclose(self) -> None:
        """Stop; calls that still wait fail with ``engine_closed``."""
        self._closed = True
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
        self._thread.shutdown(wait=True)  # a pass may still be computed, on the same slots
        self._fail(EnvError("engine_closed", retryable=False))

    # ── the serving loop ─────────────────────────────────────────────────────────────────────

    async def _serve(self) -> None:
        while True:
            if not self._running:
                self._idle.set()
                if not self._waiting:
                    self._work.clear()
                    await self._work.wait()
                await self._open.wait()
            if self._held:
                await self._open.wait()
            await self._settle()
            self._running = [call for call in self._running if not call.done.done()]
            if not self._open.is_set() and (self._held or not self._running):
                continue  # paused while it settled
            self._idle.clear()
            self._still.clear()
            try:
                await self._pass()
            except Exception as error:  # a mistake here must not leave anyone waiting
                _log.exception("the engine's loop failed")
                self._fail(_failed(error))
            finally:
                self._still.set()

    async def _pass(self) -> None:
        """One forward pass over what runs, and over what can join."""
        loop = asyncio.get_running_loop()
        # First of all: what can be shared must not depend on who was here and left.
        self._decoder.slots.sweep(self._running)
        if self._open.is_set():
            self._running.extend(self._admit())
        started = loop.time()
        failures = await loop.run_in_executor(
            self._thread, self._decoder.advance, tuple(self._running), self.version
        )
        self.busy_s += loop.time() - started
        for failure in failures:
            for call in failure.calls:
                call.fail(_failed(failure.error))
        self._deliver()

    async def _settle(self) -> None:
        """Let every coroutine that can run do so, until no new call arrives."""
        quiet, seen = 0, len(self._waiting)
        while quiet < _QUIET_ROUNDS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._waiting) == seen else 0
            seen = len(self._waiting)

    def _admit(self) -> list[Call]:
        """Move waiting calls into slots; those that can share what is about to be computed wait.

        So do those whose conversation has a call that runs: they have one slot together.
        """
        joining: list[Call] = []
        staying: list[Call] = []
        talking = {call.conversation for call in self._running}
        for call in self._waiting:
            if call.done.done():
                continue
            room = len(self._running) + len(joining) < self._max_rows
            free = room and call.conversation not in talking
            if free and self._decoder.slots.place(call, joining):
                joining.append(call)
                talking.add(call.conversation)
            else:
                staying.append(call)
        self._waiting = staying
        return joining

    def _deliver(self) -> None:
        """Answer finished calls; forget abandoned ones."""
        still: list[Call] = []
        for call in self._running:
            reason = call.finish_reason
            if call.done.done():
                continue
            if reason is None:
                still.append(call)
            else:
                call.answer(reason, self.version)
        self._running = still

    def _fail(self, error: EnvError) -> None:
        for call in (*self._running, *self._waiting):
            call.fail(error)
        self._running, self._waiting = [], []
        self._decoder.slots.forget()


def _failed(error: Exception) -> EnvError:
    return EnvError("engine_failed", f"{type(error).__name__}: {error}")
