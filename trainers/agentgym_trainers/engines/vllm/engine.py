"""The ``vllm`` engine: calls, and the fleet of vLLMs that answers them.

A call ends well, is aborted, or raises within its time. When the weights change, running calls keep
their tokens and go on from them under the new weights. When a vLLM is lost, its calls go to another
or wait until it was started again, with the newest weights. Every answer names the weights that
sampled it; one that names others is thrown away, and its vLLM is set right.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import Any, Self

from agentgym.engine import Generation, Sampling
from agentgym.errors import EnvError, UsageError
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.engines.stop_strings import Decode
from agentgym_trainers.engines.vllm.call import Call
from agentgym_trainers.engines.vllm.fleet import Fleet
from agentgym_trainers.engines.vllm.opening import open_replicas
from agentgym_trainers.engines.vllm.options import VllmOptions
from agentgym_trainers.engines.vllm.replica import Answer, Replica, ReplicaLost, Request
from agentgym_trainers.engines.vllm.synced_weights import SyncedWeights
from agentgym_trainers.engines.vllm.wire import sampling_fields
from agentgym_trainers.policy import Policy

_log = logging.getLogger(__name__)

_ABORT_LOOK_S = 0.1
_ABORT_S = 10.0


class VllmEngine:
    """Generation by one or more vLLMs. Made by :meth:`start`."""

    def __init__(
        self, fleet: Fleet, synced: SyncedWeights, decode: Decode, *, retries: int
    ) -> None:
        self._fleet = fleet
        self._synced = synced
        self._decode = decode
        self._retries = retries
        self._calls: dict[asyncio.Task[Generation], Call] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closed = False
        self.generated_tokens = 0

    @classmethod
    async def start(cls, policy: Policy, settings: EngineSettings, **options: Any) -> Self:
        """Write the policy's weights, and start vLLM with them.

        Args:
            options: Fields of :class:`~agentgym_trainers.engines.vllm.options.VllmOptions`.

        Raises:
            PluginMissing: vLLM is not installed.
            EnvError: It does not start; the end of its log is in the message.
        """
        chosen = VllmOptions(**options)
        synced = SyncedWeights(policy, settings.folder, in_memory=chosen.sync == "broadcast")
        replicas: Sequence[Replica] = ()
        try:
            replicas = open_replicas(policy, settings, chosen, synced.folder)
            weights = await asyncio.to_thread(synced.take, policy.model, 0)
            fleet = Fleet(replicas, weights)
            await fleet.start()
        except BaseException:
            await asyncio.gather(*(one.aclose() for one in replicas), return_exceptions=True)
            synced.remove()
            raise
        return cls(fleet, synced, policy.tokenizer.decode, retries=chosen.retries)

    @property
    def version(self) -> int:
        """Of the newest weights."""
        return self._fleet.weights.version

    @property
    def running(self) -> int:
        """Calls that are being answered now."""
        return len(self._calls)

    @property
    def restarts(self) -> int:
        """Times that a vLLM was lost and set right."""
        return self._fleet.restarts

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
            EnvError: No answer within ``timeout_s`` (``engine_timeout``), lost too often
                (``engine_failed``), or the engine was closed (``engine_closed``).
            UsageError: vLLM refuses the request.
        """
        if not token_ids or sampling.max_tokens < 1:
            raise ValueError("generate needs at least one prompt token and max_tokens >= 1")
        call = Call(tuple(token_ids), sampling, request_id, self._decode)
        task = asyncio.create_task(self._answer(call), name=f"vllm {request_id}")
        self._calls[task] = call
        try:
            async with asyncio.timeout(timeout_s):
                generation = await task
        except TimeoutError as error:
            self._fleet.doubt(call.conversation)
            raise EnvError(
                "engine_timeout",
                f"no generation within {timeout_s:g} s; it waited for {call.waits_for}",
            ) from error
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            if self._closed:
                raise EnvError("engine_closed", retryable=False) from None
            return call.generation("abort", self.version)
        finally:
            del self._calls[task]
        self.generated_tokens += len(generation.token_ids)
        return generation

    async def release(self, request_id: str) -> None:
        """Forget where the conversation was; vLLM's cache forgets by itself."""
        self._fleet.release(request_id)

    async def abort(self, request_id: str) -> None:
        """Have the conversation's call answered with what was sampled so far."""
        found = [(task, one) for task, one in self._calls.items() if one.conversation == request_id]
        for _, call in found:
            call.aborted = True
        await asyncio.gather(*(self._abort(task, call) for task, call in found))

    async def pause(self, *, timeout_s: float, drain: bool = True) -> None:
        """Hold new calls. Running ones end first, or are interrupted and go on later.

        Raises:
            EnvError: Calls did not end within ``timeout_s``; calls are taken again.
        """
        self._open.clear()
        try:
            async with asyncio.timeout(timeout_s):
                if drain:
                    await self._quiet.wait()
                await self._fleet.pause()
        except TimeoutError as error:
            await self.resume()
            raise EnvError(
                "engine_timeout", f"pause: {len(self._calls)} calls still run"
            ) from error

    async def update_weights(self, source: Any, version: int, *, timeout_s: float) -> None:
        """Copy the weights, and have every vLLM load the copy. One that does not is set right
        before it is used again.

        Raises:
            EnvError: They cannot be copied, or not within ``timeout_s``.
            RuntimeError: The engine is not paused.
            UsageError: ``source`` is neither a model nor its state dict.
        """
        if self._open.is_set():
            raise RuntimeError("pause the engine before its weights change")
        if source is None:
            raise UsageError("the vllm engine has weights of its own; give it the learner's model")
        try:
            async with asyncio.timeout(timeout_s):
                weights = await asyncio.to_thread(self._synced.take, source, version)
                await self._fleet.update(weights)
        except TimeoutError as error:
            if self.version != version:
                raise EnvError(
                    "engine_timeout", f"the weights were not copied within {timeout_s:g} s"
                ) from error
            _log.warning("not every vLLM took weights %d within %g s", version, timeout_s)
        self._synced.keep(self._fleet.folders)

    async def resume(self) -> None:
        """Take calls again, and go on with those that were interrupted."""
        await self._fleet.resume()
        self._open.set()

    async def aclose(self) -> None:
        """Stop; what still waits fails with ``engine_closed``. May be called twice."""
        self._closed = True
        running = list(self._calls)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._fleet.aclose()
        self._synced.remove()

    # ── one call ─────────────────────────────────────────────────────────────────────────────

    async def _answer(self, call: Call) -> Generation:
        lost = 0
        while True:
            try:
                replica = await self._ready(call)
                asked = self._fleet.weights
                answer = await self._ask(replica, call)
                versions = self._fleet.versions_of(answer, asked)
            except ReplicaLost as error:
                lost += 1
                _log.warning("a call was lost: %s", error)
                self._fleet.doubt(call.conversation)
                if lost > self._retries:
                    raise EnvError("engine_failed", f"lost {lost} times: {error}") from error
                continue
            reason = call.take(answer, versions)
            if reason is None and call.aborted:
                reason = "abort"
            if reason is not None:
                return call.generation(reason, asked.version)

    async def _ready(self, call: Call) -> Replica:
        """The replica of the conversation, when it can take calls."""
        while True:
            call.waits_for = "new weights"
            await self._open.wait()
            call.waits_for = "a vLLM to start"
            replica = await self._fleet.ready(call.conversation)
            if self._open.is_set():
                return replica

    async def _ask(self, replica: Replica, call: Call) -> Answer:
        call.waits_for = f"an answer of {replica.name}"
        call.request_id = uuid.uuid4().hex
        self._quiet.clear()
        fields = sampling_fields(call.sampling, len(call.sampled))
        try:
            return await replica.generate(
                Request(call.request_id, (*call.prompt, *call.sampled), fields)
            )
        finally:
            call.request_id = ""
            if not any(one.request_id for one in self._calls.values()):
                self._quiet.set()

    async def _abort(self, task: asyncio.Task[Generation], call: Call) -> None:
        """Ask until it ends: the request may reach vLLM only after the first word of its end."""
        try:
            async with asyncio.timeout(_ABORT_S):
                while call.request_id and not task.done():
                    await self._fleet.abort(call.conversation, call.request_id)
                    await asyncio.wait({task}, timeout=_ABORT_LOOK_S)
        except TimeoutError:
            _log.warning("vLLM did not end a call within %g s of its abort", _ABORT_S)
        task.cancel()
