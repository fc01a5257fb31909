"""Who was at work when: the engine, the environments, the learner."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agentgym.errors import UsageError

Track = Literal["engine", "environments", "learner"]
TRACKS: tuple[Track, ...] = ("engine", "environments", "learner")


@dataclass(frozen=True, slots=True)
class Span:
    """Work from ``start`` to ``stop``, in seconds of the timeline's clock."""

    track: Track
    name: str
    lane: str
    start: float
    stop: float


@dataclass(slots=True)
class _Busy:
    """The union of the spans of a track: seconds in which at least one was open."""

    open: int = 0
    since: float = 0.0
    total: float = 0.0


class Timeline:
    """Adds up how long each track was busy, and keeps the newest spans for a trace.

    Args:
        keep: How many spans; 0 keeps none.
    """

    def __init__(self, *, keep: int = 0) -> None:
        self._busy: dict[Track, _Busy] = {track: _Busy() for track in TRACKS}
        self._spans: deque[Span] = deque(maxlen=keep)
        self._open: dict[int, tuple[float, str]] = {}
        self._opened = 0

    @contextmanager
    def span(self, track: Track, name: str, *, lane: str = "") -> Iterator[None]:
        """Work that goes on for as long as the block; ``lane`` says whose it is."""
        busy, start = self._busy[track], time.perf_counter()
        if not busy.open:
            busy.since = start
        busy.open += 1
        self._opened += 1
        number = self._opened
        self._open[number] = (start, f"{lane or track}: {name}")
        try:
            yield
        finally:
            stop = time.perf_counter()
            del self._open[number]
            busy.open -= 1
            if not busy.open:
                busy.total += stop - busy.since
            self._spans.append(Span(track, name, lane or track, start, stop))

    def busy_s(self, track: Track) -> float:
        """Seconds so far in which the track did something, counted once however much it was."""
        busy = self._busy[track]
        return busy.total + (time.perf_counter() - busy.since if busy.open else 0.0)

    def waits(self, most: int = 5) -> str:
        """What is under way, the longest first, in a line: ``train3.1.0: step for 12 s, …``."""
        now = time.perf_counter()
        longest = sorted(self._open.values())
        texts = [f"{name} for {now - start:.0f} s" for start, name in longest[:most]]
        if len(longest) > most:
            texts.append(f"and {len(longest) - most} more")
        return ", ".join(texts) or "nothing under way"

    def save(self, path: Path) -> None:
        """Write the spans as a trace that chrome://tracing and Perfetto open (Trace Event JSON).

        Raises:
            UsageError: It cannot be written; what was there is still there.
        """
        partial = path.with_suffix(".partial")
        try:
            partial.write_text(json.dumps({"traceEvents": list(self._events())}), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
        finally:
            partial.unlink(missing_ok=True)

    def _events(self) -> Iterator[dict[str, Any]]:
        for pid, track in enumerate(TRACKS, start=1):
            yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": track}}
            spans = [span for span in self._spans if span.track == track]
            rows = _rows(spans)
            for row in sorted(set(rows.values())):
                about = {"name": f"{track} {row}"}
                yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": row, "args": about}
            for span in spans:
                yield {
                    "ph": "X",
                    "name": span.name,
                    "pid": pid,
                    "tid": rows[span.lane],
                    "ts": round(span.start * 1e6),
                    "dur": round(span.stop * 1e6) - round(span.start * 1e6),
                    "args": {"of": span.lane},
                }


def _rows(spans: Iterable[Span]) -> dict[str, int]:
    """The row of each lane. Lanes that are never open at the same time may share one."""
    life: dict[str, tuple[float, float]] = {}
    for span in spans:
        start, stop = life.get(span.lane, (span.start, span.stop))
        life[span.lane] = (min(start, span.start), max(stop, span.stop))
    free_at: list[float] = []
    rows: dict[str, int] = {}
    for lane, (start, stop) in sorted(life.items(), key=lambda one: one[1]):
        row = next((n for n, over in enumerate(free_at) if over <= start), len(free_at))
        free_at[row : row + 1] = [stop]
        rows[lane] = row + 1
    return rows
