"""Messages of the ``remote`` backend: what goes in comes out, and errors keep their class."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import UsageError
from agentgym.sandbox import (
    ExecResult,
    ExecStatus,
    FileInfo,
    Gap,
    Guarantees,
    Limits,
    NotSupported,
    Promise,
    SandboxDied,
    SandboxSpec,
    SandboxStats,
    SandboxUnavailable,
    Snapshot,
)
from agentgym_tools.sandboxes.remote.calls import CallReply, CallRequest, Exec
from agentgym_tools.sandboxes.remote.messages import (
    FileInfoMessage,
    GuaranteesMessage,
    ResultMessage,
    SnapshotMessage,
    SpecMessage,
    StatsMessage,
)
from agentgym_tools.sandboxes.remote.wire_errors import Code, ErrorMessage, describe, exception

counts = st.integers(0, 2**63)
seconds = st.floats(0, allow_nan=False, allow_infinity=False)
results = st.builds(
    ExecResult,
    status=st.sampled_from(ExecStatus),
    exit_code=st.none() | st.integers(-(2**31), 2**31),
    signal=st.none() | st.integers(1, 64),
    stdout=st.binary(max_size=200),
    stderr=st.binary(max_size=200),
    stdout_total=counts,
    stderr_total=counts,
    wall_s=seconds,
    cpu_s=seconds,
    max_rss_kb=counts,
    state_kept=st.none() | st.booleans(),
)


@given(results)
def test_a_result_comes_back_exactly(result: ExecResult) -> None:
    reply = CallReply.decode(CallReply(result=ResultMessage.of(result)).encode())
    assert reply.result is not None
    again = reply.result.result()
    assert again == result
    assert type(again.status) is ExecStatus


@given(st.binary(min_size=1).map(os.fsdecode), counts)
def test_every_file_name_comes_back_exactly(name: str, size: int) -> None:
    entry = FileInfo(name, "file", size)
    (again,) = CallReply.decode(CallReply.of_entries([entry]).encode()).entries or []
    assert again == FileInfoMessage(name=name, kind="file", size=size)


@given(
    st.lists(st.text()),
    st.binary(),
    st.none() | st.dictionaries(st.text(), st.text()),
    st.none() | st.floats(0.001, 1e6),
)
def test_a_call_comes_back_exactly(
    argv: list[str], stdin: bytes, env: dict[str, str] | None, timeout_s: float | None
) -> None:
    call = Exec(argv=argv, stdin=stdin, env=env, timeout_s=timeout_s)
    request = CallRequest(lease="token", key="0123456789abcdef", call=call)
    assert CallRequest.decode(request.encode()) == request


@pytest.mark.parametrize(
    "spec",
    [
        SandboxSpec(),
        SandboxSpec(Limits.swe(), frozenset({Promise.DISK}), base=Path("/data"), image="box:1"),
    ],
)
def test_a_spec_comes_back_exactly(spec: SandboxSpec) -> None:
    assert SpecMessage.decode(SpecMessage.of(spec).encode()).spec() == spec


def test_snapshots_guarantees_and_stats_come_back_exactly() -> None:
    snapshot = Snapshot("jail", None, bytes(range(256)))
    assert SnapshotMessage.decode(SnapshotMessage.of(snapshot).encode()).snapshot() == snapshot
    found = Guarantees("jail", "form", {Promise.MEMORY: Gap("no cgroup", "be root")})
    assert GuaranteesMessage.decode(GuaranteesMessage.of(found).encode()).guarantees() == found
    stats = SandboxStats(1, 2, 3, 4, 5)
    assert StatsMessage.decode(StatsMessage.of(stats).encode()).stats() == stats


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "a"),
        PermissionError("leads out of /work"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("strange"),
        NotSupported("cannot snapshot; docker can"),
        UsageError("cwd must be relative"),
        SandboxDied("killed"),
    ],
)
def test_an_error_keeps_its_class_and_its_text(error: Exception) -> None:
    told = ErrorMessage.decode(describe(error).encode())
    again = exception(told, "http://one")
    assert type(again) is type(error)
    assert str(again).replace("http://one: ", "") == str(error)
    if isinstance(error, OSError):
        assert isinstance(again, OSError)
        assert (again.errno, again.filename) == (error.errno, error.filename)


@pytest.mark.parametrize("retryable", [True, False])
def test_unavailable_stays_retryable_or_not(retryable: bool) -> None:
    told = describe(SandboxUnavailable("network (no namespaces; fix: run as root)", retryable=True))
    told = told.model_copy(update={"retryable": retryable})
    again = exception(told, "http://one")
    assert isinstance(again, SandboxUnavailable)
    assert again.retryable is retryable
    assert str(again) == (
        "sandbox_unavailable: http://one: network (no namespaces; fix: run as root)"
    )


def test_an_unexpected_error_of_the_server_is_a_death_not_a_result() -> None:
    told = describe(ZeroDivisionError("division by zero"))
    assert (told.code, told.http_status) == (Code.INTERNAL, 500)
    assert isinstance(exception(told, "http://one"), SandboxDied)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "not JSON"),
        (b"[1]", "valid dictionary"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"result": {"status": "fine"}}', "result.status"),
        (b'{"resul": null}', "resul: Extra inputs"),
        (b'{"data": "not base64!"}', "data"),
    ],
)
def test_a_bad_message_is_one_line(data: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        CallReply.decode(data)
    assert "\n" not in str(caught.value)
