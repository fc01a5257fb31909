"""A vLLM server over HTTP: one that runs elsewhere, or one that is started here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp

from agentgym.errors import EnvError, UsageError
from agentgym_trainers.engines.vllm.options import VllmOptions
from agentgym_trainers.engines.vllm.process import ServerProcess
from agentgym_trainers.engines.vllm.replica import Answer, ReplicaLost, Request, Weights
from agentgym_trainers.engines.vllm.transport import Transport
from agentgym_trainers.engines.vllm.wire import read_answer

_LOOK_S = 0.2
_ID_PREFIX = "generate-tokens-"
"""What vLLM puts before the ids of token requests, and wants to see when one is aborted."""


class Server:
    """The client of a server, and the owner of its process if it was started here.

    Args:
        url: Where it listens; with ``process`` known only after a start.
    """

    def __init__(
        self,
        url: str,
        options: VllmOptions,
        transport: Transport,
        process: ServerProcess | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._transport = transport
        self._process = process
        self._health_s = options.health_s
        self._start_s = options.start_s
        self._sleep = options.sleep
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )

    @property
    def name(self) -> str:
        """For messages."""
        return f"the vLLM server {self.url}" if self.url else "a vLLM server"

    async def start(self, weights: Weights) -> None:
        """Start it anew with these weights, or wait until it answers and have it load them.

        Raises:
            EnvError: It did not start, or answer, in time.
        """
        try:
            async with asyncio.timeout(self._start_s):
                if self._process is not None and not await self._answers():
                    await self._process.stop()
                    self.url = await self._process.start(weights.folder)
                while not await self._answers():
                    self._check_process()
                    await asyncio.sleep(_LOOK_S)
                await self._take(weights)
        except TimeoutError as error:
            raise EnvError(
                "engine_timeout",
                f"{self.name} did not start within {self._start_s:g} s{self._log_tail()}",
            ) from error
        except ReplicaLost as error:
            raise EnvError("engine_failed", f"{error}{self._log_tail()}") from error

    async def _take(self, weights: Weights) -> None:
        started_with = self._process.folder if self._process is not None else None
        if weights.tensors is None and started_with == weights.folder:
            await self._post("/update_weight_version", json={"new_version": weights.label})
        elif not await self.holds(weights):
            await self.load(weights)
        await self.resume()

    async def holds(self, weights: Weights) -> bool:
        """Whether its scheduler answers, with the name of these weights."""
        try:
            info = await self._get("/weight_info")
        except ReplicaLost:
            return False
        return bool(info.get("weight_version") == weights.label)

    async def generate(self, request: Request) -> Answer:
        """Ask for tokens. Cancelled, the connection is closed, and vLLM gives the request up.

        Raises:
            ReplicaLost: No answer, or none that makes sense.
            UsageError: vLLM refuses the request.
        """
        body = {
            "request_id": request.id,
            "token_ids": list(request.token_ids),
            "sampling_params": request.sampling,
        }
        path = "/inference/v1/generate"
        return read_answer(await self._ask("POST", path, timeout_s=None, json=body))

    async def abort(self, request_id: str) -> None:
        """Have vLLM answer the request now; of no effect if it is not there."""
        await self._post("/abort_requests", json={"request_ids": [_ID_PREFIX + request_id]})

    async def pause(self) -> None:
        """Have vLLM answer all requests now, hold new ones, and forget its cache."""
        await self._post("/pause", params={"mode": "abort", "clear_cache": "true"})
        if self._sleep:
            await self._post("/sleep", params={"level": "1"}, slow=True)

    async def load(self, weights: Weights) -> None:
        """Have it load weights, number them, and forget its cache. It is paused afterwards."""
        await self.pause()
        if self._sleep:
            await self._post("/wake_up", params={"tags": "weights"}, slow=True)
        await self._transport.bring(weights, self)
        await self._post("/update_weight_version", json={"new_version": weights.label})
        if not (await self._post("/reset_prefix_cache")).get("success"):
            raise ReplicaLost(f"{self.name} did not forget its prefix cache")

    async def ask_workers(self, method: str, *arguments: Any) -> Sequence[Any]:
        """Call a method of each of its workers; what they answer."""
        call = {"method": method, "args": arguments}
        return list((await self._post("/collective_rpc", json=call, slow=True))["results"])

    async def resume(self) -> None:
        """Have it compute again."""
        if self._sleep:
            await self._post("/wake_up", slow=True)
        await self._post("/resume")

    async def aclose(self) -> None:
        """Close the connections; stop the process."""
        self._transport.close()
        await self._http.close()
        if self._process is not None:
            await self._process.stop()

    async def _answers(self) -> bool:
        if not self.url or (self._process is not None and not self._process.runs):
            return False
        try:
            await self._get("/health")
            await self._get("/weight_info")  # asks the scheduler, which /health does not
        except ReplicaLost:
            return False
        return True

    def _check_process(self) -> None:
        if self._process is not None and not self._process.runs:
            raise ReplicaLost("a vLLM server ended while it started")

    def _log_tail(self) -> str:
        return f"; its log ends:\n{self._process.log_tail()}" if self._process else ""

    async def _get(self, path: str) -> dict[str, Any]:
        return await self._ask("GET", path, timeout_s=self._health_s)

    async def _post(self, path: str, *, slow: bool = False, **options: Any) -> dict[str, Any]:
        timeout_s = self._start_s if slow else self._health_s
        return await self._ask("POST", path, timeout_s=timeout_s, **options)

    async def _ask(
        self, method: str, path: str, *, timeout_s: float | None, **options: Any
    ) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._http.request(method, self.url + path, **options) as response,
            ):
                text = await response.text()
                if 400 <= response.status < 500:
                    raise UsageError(
                        f"{self.name} refuses {path}: {_short(text)} (docs/engines.md says how to "
                        "start servers)"
                    )
                if response.status != 200:
                    raise ReplicaLost(f"{self.name}: {path}: {response.status} {_short(text)}")
                return dict(json.loads(text)) if text.startswith("{") else {}
        except TimeoutError as error:
            waited = f"{timeout_s:g} s" if timeout_s is not None else "its time"
            raise ReplicaLost(f"{self.name} did not answer {path} within {waited}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise ReplicaLost(f"{self.name}: {path}: {type(error).__name__}: {error}") from error


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
