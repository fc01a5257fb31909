"""A server that speaks the part of vLLM's protocol that agentgym uses, and samples with the ``hf``
engine: what holds for the ``vllm`` engine is tested against it where vLLM cannot be installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from safetensors.torch import load_file

from agentgym import Sampling
from agentgym_trainers.engines.hf import HFEngine
from agentgym_trainers.engines.vllm.inside.agentgym_vllm_worker import (
    Group,
    Place,
    address_towards,
    find,
)
from agentgym_trainers.policy import load_policy

_PREFIX = "generate-tokens-"


class TokenServer:
    """Token ids in and out, on a port that stays the same when it is killed and started again.

    ``paused`` and ``running`` tell what the engine behind it does, ``asleep`` whether it has been
    told to sleep, ``joins`` and ``broadcasts`` how often it joined a learner's group, and got
    weights there.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.asked = 0
        self.asleep = False
        self.joins = self.broadcasts = 0
        self._joined: Group | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return len(self._running)

    async def start(self) -> None:
        """Listen, with the weights of ``model``, unnumbered."""
        policy = load_policy(self.model, device="cpu")
        self._engine = HFEngine(policy.model, decode=policy.tokenizer.decode)
        self._label = "default"
        self._group, self._joined = "", None
        self._running: set[str] = set()
        self._awake = asyncio.Event()
        self._awake.set()
        app = web.Application()
        for path, handler in {
            "/inference/v1/generate": self._generate,
            "/abort_requests": self._abort,
            "/pause": self._pause,
            "/resume": self._resume,
            "/sleep": self._sleep,
            "/wake_up": self._wake,
            "/collective_rpc": self._ask_workers,
            "/update_weight_version": self._name,
            "/reset_prefix_cache": self._reset,
        }.items():
            app.router.add_post(path, handler)
        app.router.add_get("/health", self._health)
        app.router.add_get("/weight_info", self._info)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def kill(self) -> None:
        """Drop every connection and forget everything."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            await self._engine.aclose()

    def fall_silent(self) -> None:
        """Take requests, and answer none."""
        self._awake.clear()

    def speak_again(self) -> None:
        """Answer again."""
        self._awake.set()

    async def _generate(self, request: web.Request) -> web.Response:
        body = await request.json()
        name, asked = _PREFIX + body["request_id"], body["sampling_params"]
        self.asked += 1
        self._running.add(name)
        try:
            await self._awake.wait()
            label = self._label
            found = await self._engine.generate(
                body["token_ids"], _sampling(asked), request_id=name, timeout_s=600
            )
        finally:
            self._running.discard(name)
            await self._engine.release(name)
        content = [
            {"token_id": token, "logprob": logprob}
            for token, logprob in zip(found.token_ids, found.logprobs, strict=True)
        ]
        choice = {
            "index": 0,
            "token_ids": found.token_ids,
            "logprobs": {"content": content},
            "finish_reason": found.finish_reason,
            "weight_versions": [{"version": label, "start": 0, "end": len(content)}],
        }
        cached = len(body["token_ids"]) - (found.prefilled_tokens or 0)
        usage = {"prompt_tokens_details": {"cached_tokens": cached}}
        return web.json_response({"choices": [choice], "usage": usage})

    async def _abort(self, request: web.Request) -> web.Response:
        for name in (await request.json())["request_ids"]:
            await self._engine.abort(name)
        return web.json_response({})

    async def _pause(self, request: web.Request) -> web.Response:
        self._awake.clear()
        for name in list(self._running):
            await self._engine.abort(name)
        await self._engine.pause(timeout_s=60)
        return web.json_response({"status": "paused"})

    async def _resume(self, request: web.Request) -> web.Response:
        await self._engine.resume()
        self._awake.set()
        return web.json_response({"status": "resumed"})

    async def _sleep(self, request: web.Request) -> web.Response:
        self.asleep = True
        return web.Response()

    async def _wake(self, request: web.Request) -> web.Response:
        self.asleep = False
        return web.Response()

    async def _ask_workers(self, request: web.Request) -> web.Response:
        assert not self.asleep
        body = await request.json()
        return web.json_response({"results": [await self._work(body["method"], body["args"])]})

    async def _work(self, method: str, args: list[Any]) -> str:
        """What vLLM's worker does."""
        if method == "agentgym_group":
            return self._group
        if method == "agentgym_join":
            self._group, *where = args
            self._joined = await asyncio.to_thread(_join, *where)
            self.joins += 1
            return ""
        if method == "agentgym_load":
            weights = load_file(Path(args[0]) / "model.safetensors")
        else:
            assert method == "agentgym_receive"
            assert self._joined is not None, "the learner looks before it sends"
            try:
                weights = await asyncio.to_thread(self._joined.receive, args[0])
            except RuntimeError as error:
                self._group, self._joined = "", None
                return str(error)
            self.broadcasts += 1
        await self._engine.update_weights(weights, self._engine.version + 1, timeout_s=60)
        return ""

    async def _name(self, request: web.Request) -> web.Response:
        self._label = (await request.json())["new_version"]
        return web.json_response({"success": True})

    async def _reset(self, request: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response({"weight_version": self._label})


def _join(
    address: str, port: int, size: int, backend: str, join_s: float, bucket_s: float
) -> Group:
    assert size == 2
    here = address_towards(address)
    place = Place(1, size, backend, here, torch.device("cpu"), join_s, bucket_s)
    return Group(find(address, port, join_s), place)


def _sampling(fields: dict[str, Any]) -> Sampling:
    assert fields["ignore_eos"]
    return Sampling(
        temperature=fields["temperature"],
        top_p=fields["top_p"],
        top_k=fields["top_k"],
        max_tokens=fields["max_tokens"],
        stop_ids=tuple(fields["stop_token_ids"]),
        seed=fields["seed"],
        stop=tuple(fields["stop"]),
    )


@asynccontextmanager
async def token_server(model: str) -> AsyncIterator[TokenServer]:
    """A running server."""
    server = TokenServer(model)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
