"""The timeline: who worked when, and for how long."""

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentgym import UsageError
from agentgym_trainers.step_clock import StepClock
from agentgym_trainers.timeline import Timeline


def work(seconds: float = 0.002) -> None:
    """Be busy by the clock that is measured with."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def trace(timeline: Timeline, path: Path) -> list[dict[str, Any]]:
    timeline.save(path)
    events: list[dict[str, Any]] = json.loads(path.read_text())["traceEvents"]
    return events


def test_overlapping_work_counts_once() -> None:
    timeline = Timeline()
    started = time.perf_counter()
    with timeline.span("engine", "generate", lane="a"):
        work()
        with timeline.span("engine", "generate", lane="b"):
            work()
    over = time.perf_counter()
    work()
    assert 0.004 <= timeline.busy_s("engine") <= over - started
    assert timeline.busy_s("learner") == 0


def test_work_that_goes_on_counts_already() -> None:
    timeline = Timeline()
    with timeline.span("learner", "update"):
        work()
        assert timeline.busy_s("learner") >= 0.002


def test_work_that_raises_is_over() -> None:
    timeline = Timeline()
    with pytest.raises(ValueError, match="no"), timeline.span("engine", "generate"):
        raise ValueError("no")
    assert timeline.waits() == "nothing under way"


def test_it_says_what_is_waited_for_the_longest_first() -> None:
    timeline = Timeline()
    with (
        timeline.span("environments", "step", lane="train0.1.0"),
        timeline.span("engine", "generate", lane="train0.0.1"),
        timeline.span("learner", "update"),
    ):
        assert timeline.waits(2) == (
            "train0.1.0: step for 0 s, train0.0.1: generate for 0 s, and 1 more"
        )


def test_a_step_tells_how_long_each_had_nothing_to_do() -> None:
    timeline = Timeline()
    with timeline.span("engine", "generate"):
        work()  # before the step
    clock = StepClock(timeline)
    with timeline.span("environments", "step"):
        work()
    clock.collected()
    metrics = clock.metrics()
    assert metrics["time/idle_engine"] == metrics["time/idle_learner"] == 1
    assert 0 <= metrics["time/idle_environments"] < 1
    assert metrics["time/generate_s"] == 0
    assert metrics["time/rollout_s"] >= 0.002


def test_a_trace_has_one_row_for_each_that_works_at_the_same_time(tmp_path: Path) -> None:
    timeline = Timeline(keep=1000)
    for number in range(5):  # five pairs, one after another, take two rows
        with timeline.span("engine", "generate", lane=f"{number}.a"):
            work(1e-4)
            with timeline.span("engine", "generate", lane=f"{number}.b"):
                work(1e-4)
    events = trace(timeline, tmp_path / "trace.json")
    spans = [event for event in events if event["ph"] == "X"]
    assert {event["args"]["of"] for event in spans} == {f"{n}.{x}" for n in range(5) for x in "ab"}
    rows = {(event["pid"], event["tid"]) for event in spans}
    assert len(rows) == 2
    for row in rows:
        here = sorted((e["ts"], e["ts"] + e["dur"]) for e in spans if (e["pid"], e["tid"]) == row)
        assert all(before[1] <= after[0] for before, after in pairwise(here))
    named = {(e["pid"], e.get("tid")) for e in events if e["name"] == "thread_name"}
    assert rows <= named


def test_only_the_newest_spans_are_kept(tmp_path: Path) -> None:
    timeline = Timeline(keep=3)
    for number in range(10):
        with timeline.span("engine", str(number)):
            pass
    events = trace(timeline, tmp_path / "trace.json")
    assert [event["name"] for event in events if event["ph"] == "X"] == ["7", "8", "9"]


def test_a_trace_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        Timeline(keep=1).save(tmp_path / "nowhere" / "trace.json")
