"""Ray (arXiv:1712.05889), started for one run, or joined where it runs already."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from agentgym.errors import AgentGymError

_STORE_BYTES = 2 * 2**30
"""At most; a version of the weights lies there once for all workers of a machine."""

_STARTS = 3


class WorkerLost(AgentGymError):
    """A Ray worker died or did not answer in time; the message names it and what it was doing."""


@contextmanager
def ray_running(cpus: int, address: str | None = None) -> Iterator[None]:
    """Ray for the time of a run. Inside a Ray that this process uses already, that one.

    Args:
        cpus: Of the Ray that is started here: one for each worker.
        address: Of a cluster to join instead, ``host:port`` or ``auto``.

    Raises:
        WorkerLost: Ray does not start here.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.ERROR}
    with tempfile.TemporaryDirectory(prefix="agentgym-ray-", ignore_cleanup_errors=True) as folder:
        if address is None:
            _start(num_cpus=cpus, _temp_dir=folder, object_store_memory=_room(), **quiet)
        else:
            ray.init(address=address, logging_level=logging.ERROR)
        try:
            yield
        finally:
            ray.shutdown()


def _start(**options: Any) -> None:
    """``ray.init``; more than once, since Ray allows its own processes only 30 s to come up."""
    for left in reversed(range(_STARTS)):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray's own class for this is Exception itself
            ray.shutdown()
            if not left:
                raise WorkerLost(f"Ray did not start in {_STARTS} tries: {error}") from error


async def answer(pending: Any, who: str, what: str, timeout_s: float) -> Any:
    """Wait for a remote call; one that is given up is given up there, too.

    Args:
        pending: Its reference.
        who, what: The worker, and what it was asked to do, for the error.

    Raises:
        WorkerLost: It died, or took longer than ``timeout_s``. What the call itself raised is
            raised as it is.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await pending
    except asyncio.CancelledError:
        ray.cancel(pending)
        raise
    except RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from error
        raise
    except (TimeoutError, GetTimeoutError) as error:
        raise WorkerLost(f"{who}: no answer within {timeout_s:g} s: {what}") from error
    except RayError as error:
        reason = str(error).strip().splitlines()[0]
        raise WorkerLost(f"{who} died: {what} ({type(error).__name__}: {reason})") from error


def _room() -> int:
    return min(_STORE_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
