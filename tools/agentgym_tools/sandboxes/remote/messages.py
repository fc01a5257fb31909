"""What travels between the ``remote`` backend and its servers, as JSON.

    POST /v1/acquire     AcquireRequest  → LeaseReply
    POST /v1/call        CallRequest     → CallReply          (module ``calls``)
    POST /v1/cancel      CancelRequest   → Empty
    POST /v1/heartbeat   LeaseList       → LeaseList          (those that are gone)
    POST /v1/release     LeaseList       → Empty
    POST /v1/probe       Empty           → GuaranteesMessage
    GET  /v1/stats                       → StatsMessage

An answer that is not 2xx holds an ``ErrorMessage`` (module ``wire_errors``).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from agentgym.sandbox import (
    ExecResult,
    ExecStatus,
    Gap,
    Guarantees,
    Limits,
    Promise,
    SandboxSpec,
    SandboxStats,
    Snapshot,
)
from agentgym_tools.sandboxes.remote.wire import Blob, Key, Seconds, WireMessage


class Empty(WireMessage):
    """Nothing."""


class LimitsMessage(WireMessage):
    """:class:`agentgym.sandbox.Limits`."""

    wall_s: Seconds
    cpu_s: Seconds
    memory_mb: int
    pids: int
    nofile: int
    file_mb: int
    disk_mb: int
    inodes: int
    output_kb: int
    network: Literal["none"] = "none"

    @classmethod
    def of(cls, limits: Limits) -> Self:
        return cls.make(**asdict(limits))

    def limits(self) -> Limits:
        """Raises UsageError."""
        return Limits(**self.model_dump())


class SpecMessage(WireMessage):
    """:class:`agentgym.sandbox.SandboxSpec`. ``base`` is a folder on the server."""

    limits: LimitsMessage
    min_guarantees: list[Promise]
    base: str | None = None
    image: str | None = None

    @classmethod
    def of(cls, spec: SandboxSpec) -> Self:
        return cls.make(
            limits=LimitsMessage.of(spec.limits),
            min_guarantees=sorted(spec.min_guarantees),
            base=None if spec.base is None else str(spec.base),
            image=spec.image,
        )

    def spec(self) -> SandboxSpec:
        """Raises UsageError."""
        return SandboxSpec(
            limits=self.limits.limits(),
            min_guarantees=frozenset(self.min_guarantees),
            base=None if self.base is None else Path(self.base),
            image=self.image,
        )


class AcquireRequest(WireMessage):
    """Ask for a sandbox. The same key again gets the same lease."""

    key: Key
    spec: SpecMessage
    episode_id: str = Field(default="", max_length=1000)
    ttl_s: Seconds = 3600.0


class LeaseReply(WireMessage):
    """A sandbox was leased."""

    lease: str
    """The token that every call on the sandbox carries."""
    sandbox_id: str
    """For messages and logs: gives no access."""
    limits: LimitsMessage
    heartbeat_ttl_s: Seconds
    """Without a heartbeat or a call for so long, the lease ends."""
    max_message_bytes: int


class LeaseList(WireMessage):
    """Leases: to keep alive, to give back, or that are gone."""

    leases: list[str] = Field(max_length=100_000)


class CancelRequest(WireMessage):
    """End a call, or a request for a sandbox, whose answer nobody waits for any more."""

    lease: str | None
    """None to cancel a request for a sandbox."""
    key: Key


class SnapshotMessage(WireMessage):
    """:class:`agentgym.sandbox.Snapshot`."""

    backend: str
    base: str | None
    archive: Blob

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        return cls.make(
            backend=snapshot.backend, base=snapshot.base, archive=bytes(snapshot.archive)
        )

    def snapshot(self) -> Snapshot:
        return Snapshot(self.backend, self.base, self.archive)


class ResultMessage(WireMessage):
    """:class:`agentgym.sandbox.ExecResult`."""

    status: ExecStatus
    exit_code: int | None
    signal: int | None
    stdout: Blob
    stderr: Blob
    stdout_total: int
    stderr_total: int
    wall_s: float
    cpu_s: float
    max_rss_kb: int
    state_kept: bool | None

    @classmethod
    def of(cls, result: ExecResult) -> Self:
        return cls.make(**asdict(result))

    def result(self) -> ExecResult:
        return ExecResult(**dict(self))


class FileInfoMessage(WireMessage):
    """:class:`agentgym.sandbox.FileInfo`."""

    name: str
    kind: Literal["file", "folder", "link", "other"]
    size: int


class GapMessage(WireMessage):
    """:class:`agentgym.sandbox.Gap`."""

    reason: str
    fix: str = ""


class GuaranteesMessage(WireMessage):
    """:class:`agentgym.sandbox.Guarantees`."""

    backend: str
    form: str
    gaps: dict[Promise, GapMessage]

    @classmethod
    def of(cls, found: Guarantees) -> Self:
        gaps = {promise: GapMessage(**asdict(gap)) for promise, gap in found.gaps.items()}
        return cls.make(backend=found.backend, form=found.form, gaps=gaps)

    def guarantees(self) -> Guarantees:
        gaps = {promise: Gap(gap.reason, gap.fix) for promise, gap in self.gaps.items()}
        return Guarantees(self.backend, self.form, gaps)


class StatsMessage(WireMessage):
    """:class:`agentgym.sandbox.SandboxStats`."""

    leased: int
    waiting: int
    running: int
    calls: int
    died: int

    @classmethod
    def of(cls, stats: SandboxStats) -> Self:
        return cls.make(**asdict(stats))

    def stats(self) -> SandboxStats:
        return SandboxStats(**dict(self))
