"""The jail under test: its form can be chosen from outside, so that one suite serves them all."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from agentgym import ExecResult, ExecStatus, Limits, Sandbox, SandboxSpec, SandboxUnavailable
from agentgym_tools.sandboxes.jail.backend import JailBackend
from agentgym_tools.sandboxes.jail.settings import Form

FORM_VARIABLE = "AGENTGYM_TEST_JAIL_FORM"
UNCHECKED: frozenset[str] = frozenset()
LIMITS = Limits(
    wall_s=5, memory_mb=128, pids=24, nofile=64, file_mb=8, disk_mb=16, inodes=256, output_kb=8
)


def wanted_form() -> Form | None:
    """The form that this run of the suite is about; None for the strongest."""
    name = os.environ.get(FORM_VARIABLE)
    return name if name in ("root", "user", "landlock") else None  # type: ignore[return-value]


def in_namespaces() -> bool:
    """Whether this run's form has namespaces."""
    return wanted_form() != "landlock"


async def started(**options: object) -> JailBackend:
    """A running backend, or the test is skipped with the kernel's reason."""
    backend = JailBackend(form=wanted_form(), **options)  # type: ignore[arg-type]
    try:
        await backend.start()
    except SandboxUnavailable as error:
        await backend.aclose()
        pytest.skip(str(error))
    return backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jail() -> AsyncIterator[JailBackend]:
    """One jail for a module's tests."""
    backend = await started()
    yield backend
    await backend.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def box(jail: JailBackend) -> AsyncIterator[Sandbox]:
    """A sandbox with small limits."""
    leased = await lease(jail)
    yield leased
    await leased.aclose()


async def lease(backend: JailBackend, limits: Limits = LIMITS, **values: object) -> Sandbox:
    """A sandbox, without probing the backend first."""
    spec = SandboxSpec(limits=limits, min_guarantees=frozenset(), **values)  # type: ignore[arg-type]
    return await backend.acquire(spec)


async def interrupted(call: Callable[[], Awaitable[ExecResult]]) -> ExecResult:
    """A call that times out and obeys the interrupt.

    It has a moment for that; on a machine that is busy with other tests it may miss it, so it gets
    several chances.
    """
    for _ in range(5):
        result = await call()
        assert result.status is ExecStatus.TIMEOUT
        if result.state_kept:
            break
    return result


def interpreter_for_everybody() -> str | None:
    """A Python of this version that an ordinary user can start."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        real = Path(candidate).resolve()
        if real.exists() and all(folder.stat().st_mode & 0o001 for folder in real.parents):
            return str(real)
    return None
