"""The types of sandboxes: limits, promises, and how weakness is refused."""

import pytest

from agentgym import Guarantees, Limits, Promise, SandboxUnavailable, UsageError
from agentgym.errors import EnvError, UnknownName
from agentgym.sandbox import ALL_PROMISES, Gap, SandboxDied, limits_from


def test_a_weaker_backend_is_refused_with_reason_and_remedy() -> None:
    found = Guarantees("jail", "without namespaces", {Promise.DISK: Gap("host's disk", "sysctl x")})
    assert found.held == ALL_PROMISES - {Promise.DISK}
    found.require(frozenset({Promise.NETWORK}))
    with pytest.raises(SandboxUnavailable, match=r"disk \(host's disk; fix: sysctl x\)") as error:
        found.require(ALL_PROMISES)
    assert "min_guarantees" in str(error.value)
    assert not error.value.retryable


def test_failures_of_a_sandbox_mask_the_episode() -> None:
    assert isinstance(SandboxDied("x"), EnvError)
    assert SandboxDied("x").retryable


@pytest.mark.parametrize(
    "values", [{"pids": 0}, {"wall_s": -1}, {"disk_mb": "9"}, {"inodes": True}]
)
def test_limits_must_be_numbers_above_0(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        Limits(**values)  # type: ignore[arg-type]


def test_limits_come_from_a_mapping() -> None:
    assert limits_from({"wall_s": 3}).wall_s == 3
    with pytest.raises(UnknownName, match="did you mean 'memory_mb'"):
        limits_from({"memory": 3})


def test_the_preset_for_repositories_allows_more() -> None:
    assert (Limits.swe().wall_s, Limits.swe().memory_mb, Limits.swe().inodes) == (
        300,
        4096,
        200_000,
    )
