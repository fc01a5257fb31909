"""Requests to one server: retries where they are safe, and what is known of how it fares."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

import aiohttp

from agentgym.errors import UsageError
from agentgym_tools.sandboxes.remote.options import GRACE_S
from agentgym_tools.sandboxes.remote.wire import WireMessage
from agentgym_tools.sandboxes.remote.wire_errors import Code, ErrorMessage, Refused, refusal

Answer = TypeVar("Answer", bound=WireMessage)
_PAUSES_S = (0.2, 0.8)
"""Seconds before the second and the third try after a broken connection."""
_CONNECT_S = 2.0
_LONGEST_REST_S = 30.0


class ServerLost(Exception):
    """The server cannot be reached, does not answer, or answers nonsense."""


class ServerClient:
    """One server.

    Args:
        url: For example ``"http://10.0.0.7:8700"``.
        token: What to show it.
        http: Open session.
    """

    def __init__(self, url: str, token: str | None, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.heard_at = float("-inf")
        """When it last answered (``time.monotonic``)."""
        self.rests_until = float("-inf")
        """When it may be asked for a sandbox again."""
        self.trouble = ""
        """Why it rests."""
        self.full = False
        """Whether it rests because every place is leased."""
        self._failures = 0
        self._http = http
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    @property
    def resting(self) -> bool:
        """Whether it should not be asked for a sandbox now."""
        return time.monotonic() < self.rests_until

    def rest(self, seconds: float, why: str, *, full: bool = False) -> None:
        """Ask it for no sandbox for a while."""
        self.rests_until = time.monotonic() + seconds
        self.full = full
        self.trouble = why

    def wake(self) -> None:
        """It may be asked for a sandbox at once."""
        self.rests_until = float("-inf")

    async def ask(
        self,
        path: str,
        message: WireMessage,
        kind: type[Answer],
        *,
        total_s: float,
        max_bytes: int | None = None,
    ) -> Answer:
        """Send a message that may safely arrive twice, and read the answer.

        Tries again, twice, when the connection breaks; once, shortly, when no answer came in
        time: it may have come while our event loop was blocked, and then the server remembers it.

        Raises:
            Refused: The server said no, or the message has more than ``max_bytes``.
            ServerLost: No answer. The server then rests, the longer the more often.
        """
        body = message.encode()
        if max_bytes is not None and len(body) > max_bytes:
            raise refusal(
                Code.TOO_LARGE,
                f"the message takes {len(body)} bytes; {self.url} takes at most {max_bytes}: "
                "send less at a time, or start it with a larger --max-message-mb",
            )
        why, timed_out = "", False
        for pause in (0.0, *_PAUSES_S):
            await asyncio.sleep(pause)
            try:
                return await self.ask_once(path, body, kind, total_s=total_s)
            except TimeoutError:  # before ClientError: aiohttp's time-outs are both
                why = f"no answer in {total_s:g} s"
                if timed_out:
                    break
                timed_out, total_s = True, min(total_s, GRACE_S)
            except (aiohttp.ClientError, ServerLost) as error:
                why = str(error) or type(error).__name__
            self.trouble = why
        raise self.lost(why)

    async def ask_once(
        self, path: str, body: bytes, kind: type[Answer], *, total_s: float
    ) -> Answer:
        """One request.

        Raises:
            Refused: The server said no.
            TimeoutError, aiohttp.ClientError, ServerLost: No answer, or not one of ours.
        """
        if self._http.closed:
            raise ServerLost("the backend was closed")
        async with self._http.post(
            f"{self.url}/v1/{path}",
            data=body,
            headers=self._headers,
            allow_redirects=False,  # else the token would go wherever the answer points
            timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=_CONNECT_S),
        ) as response:
            data = await response.read()
        ok = response.status == 200
        try:
            answer = kind.decode(data) if ok else ErrorMessage.decode(data)
        except UsageError as error:
            raise ServerLost(f"HTTP {response.status} with a body not of agentgym") from error
        self.heard_at = time.monotonic()
        self._failures = 0
        if isinstance(answer, kind):
            return answer
        assert isinstance(answer, ErrorMessage)
        raise Refused(answer)

    async def check(self) -> None:
        """Return if the server leases sandboxes.

        Raises:
            ServerLost: It does not answer, or is about to stop. It then rests.
        """
        timeout = aiohttp.ClientTimeout(total=GRACE_S, sock_connect=_CONNECT_S)
        try:
            async with self._http.get(
                f"{self.url}/healthz", timeout=timeout, allow_redirects=False
            ) as response:
                healthy = response.status == 200
        except TimeoutError:
            raise self.lost(f"no answer in {GRACE_S:g} s") from None
        except aiohttp.ClientError as error:
            raise self.lost(str(error) or type(error).__name__) from error
        if not healthy:
            raise self.lost(f"not healthy (HTTP {response.status})")
        self.heard_at = time.monotonic()

    def lost(self, why: str) -> ServerLost:
        """Note that it could not be reached; the error to raise."""
        if not self.resting:  # else those who ask at the same time would count as many failures
            self._failures += 1
        self.rest(min(_LONGEST_REST_S, 0.5 * 2**self._failures), why)
        return ServerLost(f"{self.url}: {why}")
