"""Where the time of one step went."""

from __future__ import annotations

import time

from agentgym_trainers.timeline import TRACKS, Timeline


class StepClock:
    """Runs from the beginning of a step; a :class:`Timeline` says who was at work meanwhile."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._started = time.perf_counter()
        self._collected = self._started
        self._busy = {track: timeline.busy_s(track) for track in TRACKS}

    def collected(self) -> None:
        """The episodes of the step are there."""
        self._collected = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the step began."""
        return time.perf_counter() - self._started

    def metrics(self) -> dict[str, float]:
        """Seconds so far, and the share of them in which each had nothing to do."""
        step_s = self.seconds
        busy = {track: self._timeline.busy_s(track) - self._busy[track] for track in TRACKS}
        idle = {f"time/idle_{t}": max(0.0, 1 - one / step_s) for t, one in busy.items()}
        return {
            "time/rollout_s": self._collected - self._started,
            "time/generate_s": busy["engine"],
            "time/update_s": busy["learner"],
            **idle,
        }
