"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

_PREFIX = "agentgym_sandbox"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: upper bounds of the latency histogram."""


class Metrics:
    """Counters of one server and the latency of its calls."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        """By method and by how the call ended: an ExecStatus, "ok", or an error code."""
        self.rejected: Counter[str] = Counter()
        """Requests refused before anything was done, by error code."""
        self.leased = 0
        self.expired = 0
        self.died = 0
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._seconds = 0.0

    def called(self, method: str, outcome: str, seconds: float) -> None:
        """Count a call."""
        self.calls[method, outcome] += 1
        self._buckets[bisect_left(_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """All metrics in the Prometheus text format.

        Args:
            gauges: Help and value, by name.
        """
        return "\n".join([*self._lines(gauges), ""])

    def _lines(self, gauges: Mapping[str, tuple[str, float]]) -> Iterator[str]:
        for name, (help_text, value) in gauges.items():
            yield from _head(name, "gauge", help_text)
            yield f"{_PREFIX}_{name} {value:g}"
        for name, help_text, value in (
            ("leased_total", "Sandboxes leased since the start.", self.leased),
            ("expired_total", "Leases that ended for want of a sign of life.", self.expired),
            ("died_total", "Sandboxes that died.", self.died),
        ):
            yield from _head(name, "counter", help_text)
            yield f"{_PREFIX}_{name} {value}"
        yield from _head("calls_total", "counter", "Calls on sandboxes.")
        for (method, outcome), count in sorted(self.calls.items()):
            yield f'{_PREFIX}_calls_total{{method="{method}",outcome="{outcome}"}} {count}'
        yield from _head("rejected_total", "counter", "Requests refused.")
        for reason, count in sorted(self.rejected.items()):
            yield f'{_PREFIX}_rejected_total{{reason="{reason}"}} {count}'
        yield from self._histogram()

    def _histogram(self) -> Iterator[str]:
        name = "call_seconds"
        yield from _head(name, "histogram", "Seconds from a call's arrival to its answer.")
        total = 0
        for bound, count in zip((*_BUCKETS, "+Inf"), self._buckets, strict=True):
            total += count
            yield f'{_PREFIX}_{name}_bucket{{le="{bound}"}} {total}'
        yield f"{_PREFIX}_{name}_sum {self._seconds!r}"
        yield f"{_PREFIX}_{name}_count {total}"


def _head(name: str, kind: str, help_text: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {help_text}"
    yield f"# TYPE {_PREFIX}_{name} {kind}"
