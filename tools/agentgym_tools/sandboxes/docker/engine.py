"""The connection to the engine, and the threads that wait for it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

from agentgym.errors import PluginMissing
from agentgym.sandbox import SandboxUnavailable
from agentgym_tools.sandboxes.threads import in_thread

Result = TypeVar("Result")

_REPLY_S = 60


def client_library() -> ModuleType:
    """The ``docker`` package.

    Raises:
        PluginMissing: It is not installed.
    """
    try:
        return importlib.import_module("docker")
    except ImportError as error:
        raise PluginMissing(
            "sandbox 'docker' needs the docker client: pip install 'agentgym[docker]'"
        ) from error


class Engine:
    """One engine, spoken to from a pool of threads of its own.

    Args:
        base_url: As ``DOCKER_HOST``; None for that variable, or else the local engine.
        threads: Calls to the engine at once.
    """

    def __init__(self, base_url: str | None, threads: int) -> None:
        self._base_url = base_url
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self.api: Any = None
        """The client's low-level API, untyped; safe to use from several threads."""

    def connect(self) -> None:
        """Open the connection; blocks.

        Raises:
            PluginMissing: The client is not installed.
            SandboxUnavailable: No engine answers.
        """
        docker = client_library()
        options: dict[str, Any] = {"version": "auto", "timeout": _REPLY_S}
        try:
            if self._base_url is None:
                options |= docker.utils.kwargs_from_env()
            else:
                options["base_url"] = self._base_url
            self.api = docker.APIClient(num_pools=self._threads, **options)
            self.api.ping()
        except Exception as error:  # the client lets through errors of three libraries below it
            where = self._base_url or "DOCKER_HOST or the local engine"
            raise SandboxUnavailable(
                f"no container engine answers at {where} ({error}); start one "
                "('systemctl start docker'), or give base_url, or use \"jail\""
            ) from error

    async def run(
        self, work: Callable[[], Result], cancel: Callable[[], None] | None = None
    ) -> Result:
        """Do blocking work in a thread and wait for its end, also when cancelled."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "agentgym-docker")
        return await in_thread(self._pool, work, cancel)

    def close(self) -> None:
        """Drop the connection. May be called twice."""
        if self.api is not None:
            self.api.close()
            self.api = None
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


def is_gone(error: Exception) -> bool:
    """Whether the engine says that there is no such container, or that it does not run."""
    return getattr(getattr(error, "response", None), "status_code", None) in (404, 409)
