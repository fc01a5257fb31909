"""A vLLM whose scheduler lives in this process; its model runs in a child process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from agentgym.errors import EnvError, UsageError
from agentgym_trainers.engines.vllm.options import VllmOptions
from agentgym_trainers.engines.vllm.replica import Answer, ReplicaLost, Request, Weights
from agentgym_trainers.engines.vllm.transport import Transport
from agentgym_trainers.engines.vllm.wire import checked

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}


class InProcess:
    """vLLM's ``AsyncLLM``.

    Args:
        arguments: Of vLLM, all but the model.
    """

    name = "vLLM in this process"

    def __init__(
        self, arguments: Mapping[str, Any], options: VllmOptions, transport: Transport
    ) -> None:
        self._arguments = dict(arguments)
        self._transport = transport
        self._health_s = options.health_s
        self._start_s = options.start_s
        self._sleep = options.sleep
        self._llm: Any = None

    async def start(self, weights: Weights) -> None:
        """Start it anew with these weights, or have it load them if it is alive.

        Raises:
            EnvError: It does not start.
            UsageError: vLLM does not take the arguments.
        """
        try:
            if await self._label() is not None:
                await self.load(weights)
                await self.resume()
                return
            self._stop()
            self._llm = await asyncio.to_thread(_make, self._arguments, weights)
            # From now on its processes end with this one, even if this one is killed.
            await self.ask_workers("agentgym_end_with_parent")
            if weights.tensors is not None:
                await self.load(weights)
                await self.resume()
            else:
                await self._call(self._llm.update_weight_version(weights.label))
        except ReplicaLost as error:
            raise EnvError("engine_failed", str(error)) from error

    async def holds(self, weights: Weights) -> bool:
        """Whether it is alive and computes with these weights."""
        return await self._label() == weights.label

    async def generate(self, request: Request) -> Answer:
        """Answer a request; cancelled, vLLM ends it.

        Raises:
            ReplicaLost: vLLM failed.
            UsageError: vLLM refuses the request.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        fields = {**request.sampling, "output_kind": RequestOutputKind.FINAL_ONLY}
        prompt = {"prompt_token_ids": list(request.token_ids)}
        try:
            outputs = self._llm.generate(prompt, SamplingParams(**fields), request.id)
            (output,) = [one async for one in outputs]
        except ValueError as error:
            raise UsageError(f"vLLM refuses a request: {error}") from error
        except Exception as error:
            raise ReplicaLost(f"{self.name}: {type(error).__name__}: {error}") from error
        return _answer(output)

    async def abort(self, request_id: str) -> None:
        """Have vLLM answer the request now."""
        await self._call(self._llm.abort(request_id))

    async def pause(self) -> None:
        """Have vLLM answer all requests now, hold new ones, and forget its cache."""
        await self._call(self._llm.pause_generation(mode="abort", clear_cache=True))
        if self._sleep:
            await self._call(self._llm.sleep(1), slow=True)

    async def load(self, weights: Weights) -> None:
        """Have it load weights, number them, and forget its cache. It is paused afterwards."""
        await self.pause()
        if self._sleep:
            await self._call(self._llm.wake_up(["weights"]), slow=True)
        await self._transport.bring(weights, self)
        await self._call(self._llm.update_weight_version(weights.label))
        if not await self._call(self._llm.reset_prefix_cache()):
            raise ReplicaLost(f"{self.name} did not forget its prefix cache")

    async def ask_workers(self, method: str, *arguments: Any) -> Sequence[Any]:
        """Call a method of each of its workers; what they answer."""
        asked = self._llm.collective_rpc(method, args=arguments)
        return list(await self._call(asked, slow=True))

    async def resume(self) -> None:
        """Have it compute again."""
        if self._sleep:
            await self._call(self._llm.wake_up(), slow=True)
        await self._call(self._llm.resume_generation())

    async def aclose(self) -> None:
        """End it with its processes."""
        self._transport.close()
        self._stop()

    def _stop(self) -> None:
        if self._llm is not None:
            self._llm.shutdown()
            self._llm = None

    async def _label(self) -> str | None:
        """The name of its weights; ``None`` if it is not alive."""
        if self._llm is None:
            return None
        try:
            await self._call(self._llm.check_health())
            return str(await self._call(self._llm.get_weight_version()))
        except ReplicaLost:
            return None

    async def _call(self, work: Any, *, slow: bool = False) -> Any:
        seconds = self._start_s if slow else self._health_s
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError as error:
            raise ReplicaLost(f"{self.name} did not answer within {seconds:g} s") from error
        except Exception as error:  # vLLM's own classes differ from release to release
            raise ReplicaLost(f"{self.name}: {type(error).__name__}: {error}") from error


def _make(arguments: Mapping[str, Any], weights: Weights) -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from vllm import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    try:
        wanted = AsyncEngineArgs(model=str(weights.folder), enable_log_requests=False, **arguments)
    except TypeError as error:
        raise UsageError(f"engine.options.engine_args: {error}") from error
    try:
        return AsyncLLM.from_engine_args(wanted)
    except Exception as error:
        raise EnvError("engine_failed", f"vLLM does not start: {error}") from error


def _answer(output: Any) -> Answer:
    """vLLM's ``RequestOutput``.

    Raises:
        ReplicaLost: It is not what was asked for.
    """
    (choice,) = output.outputs
    tokens = tuple(choice.token_ids)
    positions = choice.logprobs or ()
    answer = Answer(
        tokens,
        tuple(float(one[token].logprob) for one, token in zip(positions, tokens, strict=False)),
        choice.finish_reason,
        tuple(
            span.version
            for span in choice.weight_versions or ()
            for _ in range(span.start, span.end)
        ),
        output.num_cached_tokens,
    )
    return checked(answer)
