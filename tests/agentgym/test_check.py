"""The conformance suite: a good environment passes, and each check can fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bad_envs
import gymnasium as gym
import pytest

from agentgym import TextEnv, UnknownName, UsageError
from agentgym.checks import CHECKS, Report, Status, check
from agentgym.checks.resources import Resources
from agentgym.loop import run_sync

FAILS: dict[type[TextEnv], str] = {
    bad_envs.Undocumented: "registered",
    bad_envs.SeedsInTheConstructor: "constructor",
    bad_envs.StartsAThread: "constructor",
    bad_envs.WritesAFile: "constructor",
    bad_envs.Warns: "gymnasium",
    bad_envs.NeedsAFunction: "spec",
    bad_envs.OneForAll: "vector_sync",
    bad_envs.OneProcess: "vector_async",
    bad_envs.WantsASeed: "autoreset",
    bad_envs.TakesEpisode: "wrappers",
    bad_envs.Counts: "same_process",
    bad_envs.Hashes: "fresh_process",
    bad_envs.OneTask: "seeds",
    bad_envs.Shuffles: "global_random",
    bad_envs.HalfAnOracle: "oracle",
    bad_envs.PaysForNothing: "nothing",
    bad_envs.Chokes: "malformed",
    bad_envs.Tuples: "info",
    bad_envs.Integers: "rewards",
    bad_envs.Forgets: "snapshot",
    bad_envs.ResetsAlone: "fork",
    bad_envs.ClosesOnce: "close",
    bad_envs.Abandons: "cancellation",
    bad_envs.Swallows: "cancellation",
    bad_envs.Hoards: "leaks",
}
LEAKS: dict[type[TextEnv], str] = {
    bad_envs.LeaksProcesses: "processes (sleep)",
    bad_envs.LeaksDescriptors: "descriptors (/dev/null)",
    bad_envs.LeaksFolders: "temporary files (tmp",
    bad_envs.LeaksTasks: "asyncio tasks (Event.wait)",
}
# A fault that two checks must see: what a state lacks, it lacks in a fork too; and a file that
# every constructor leaves is still there after those that cancellation made.
ALSO: dict[type[TextEnv], set[str]] = {
    bad_envs.Forgets: {"fork"},
    bad_envs.WritesAFile: {"cancellation"},
}
EPISODES: dict[type[TextEnv], int] = {bad_envs.Hoards: 40}


def failed(report: Report) -> dict[str, str]:
    return {one.name: one.detail for one in report.failed}


def test_a_good_environment_passes_every_check() -> None:
    report = check(bad_envs.register(bad_envs.Good), episodes=20)
    assert report.ok, str(report)
    assert [one.name for one in report.checks] == list(CHECKS)
    assert {one.name for one in report.checks if one.status is Status.SKIPPED} == {
        "vector_entry_point"
    }


@pytest.mark.parametrize("kind", FAILS, ids=lambda kind: kind.__name__)
def test_a_bad_environment_fails_its_check(kind: type[TextEnv]) -> None:
    report = check(bad_envs.register(kind), episodes=EPISODES.get(kind, 5), only=[FAILS[kind]])
    assert list(failed(report)) == [FAILS[kind]], str(report)
    assert "; expected " in report.failed[0].detail


def test_memory_that_was_freed_before_hides_no_leak() -> None:
    async def take_and_free() -> list[bytearray]:  # where environments run: a heap is a thread's
        bytearray(8_000_000)  # from here on blocks of this size come from the heap
        blocks = [(bytearray(os.urandom(400_000)), bytearray(50_000)) for _ in range(200)]
        return [small for _, small in blocks]  # so that it cannot shrink

    pins = run_sync(take_and_free())
    report = check(bad_envs.register(bad_envs.Hoards), episodes=40, only=["leaks"])
    assert list(failed(report)) == ["leaks"], str(report)
    assert len(pins) == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAILS, ids=lambda kind: kind.__name__)
def test_a_bad_environment_fails_no_other_check(kind: type[TextEnv]) -> None:
    report = check(bad_envs.register(kind), episodes=EPISODES.get(kind, 5))
    assert {*failed(report)} == {FAILS[kind], *ALSO.get(kind, set())}, str(report)


CHECK_LEAKS = """
import sys
import bad_envs
from agentgym.checks import check

kind = getattr(bad_envs, sys.argv[1])
print(check(bad_envs.register(kind), episodes=3, only=["leaks"]))
"""


@pytest.mark.parametrize("kind", LEAKS, ids=lambda kind: kind.__name__)
def test_whatever_leaks_is_named(kind: type[TextEnv]) -> None:
    """In a process of its own: the end of what earlier tests have left would hide a leak."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK_LEAKS, kind.__name__],
        env={**os.environ, "PYTHONPATH": str(Path(bad_envs.__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert LEAKS[kind] in done.stdout, done.stdout + done.stderr


def test_a_child_that_had_ended_before_makes_up_for_no_new_one() -> None:
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(5)]
    for child in children:
        end_unwaited(child)
    before = Resources.now()
    for child in children:
        child.wait()
    leaked = subprocess.Popen(["sleep", "60"])
    assert before.growth(Resources.now()) == ["1 more of running processes (sleep)"]
    leaked.kill()
    leaked.wait()


@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
def test_a_process_makes_up_for_another_of_its_state(ended: bool) -> None:
    """As in a pool that holds one child, and waits for the last one when it starts the next."""

    def started() -> subprocess.Popen[bytes]:
        child = subprocess.Popen(["sleep", "60"])
        if ended:
            end_unwaited(child)
        return child

    def replaced(child: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        child.kill()
        child.wait()
        return started()

    child = started()
    before = Resources.now()
    child = replaced(child)
    assert before.growth(Resources.now()) == []
    another = started()
    kind = "processes" if ended else "running processes"
    assert before.growth(Resources.now()) == [f"1 more of {kind} (sleep)"]
    for one in (child, another):
        one.kill()
        one.wait()


def end_unwaited(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.slow
def test_a_slow_constructor_fails_its_check() -> None:
    report = check(bad_envs.register(bad_envs.TakesItsTime), only=["constructor"])
    assert "s of work; expected no side effects" in failed(report)["constructor"]


def test_a_broken_vector_entry_point_fails_its_check() -> None:
    env_id = "bad/NoVector-v0"
    gym.register(env_id, entry_point="bad_envs:Good", vector_entry_point="bad_envs:no_vector")
    report = check(env_id, only=["vector_entry_point", "vector_sync"])
    assert "no vectors today" in failed(report)["vector_entry_point"]
    assert len(report.failed) == 1


def test_a_class_is_checked_without_being_registered() -> None:
    assert check("bad_envs:Good", only=["registered", "oracle", "fresh_process"]).ok


def test_arguments_reach_the_environment() -> None:
    report = check("bad_envs:Good", only=["nothing"], limits={"turns": 1})
    assert report.ok
    with pytest.raises(UnknownName, match=r"no limit 'turn'; did you mean 'turns'"):
        check("bad_envs:Good", only=["nothing"], limits={"turn": 1})


def test_what_cannot_be_checked_is_one_clear_line() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'agentgym/Search-v0'"):
        check("agentgym/Serch-v0")
    with pytest.raises(UsageError, match="cannot import no_such_module"):
        check("no_such_module:Env")
    with pytest.raises(UnknownName, match="no class in bad_envs 'Goood'; did you mean 'Good'"):
        check("bad_envs:Goood")
    with pytest.raises(UnknownName, match="no check 'leek'"):
        check("bad_envs:Good", only=["leek"])
    with pytest.raises(UsageError, match="derive it from TextEnv"):
        check("CartPole-v1")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentgym", "check", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


def test_the_command_prints_a_report_and_its_exit_code_tells() -> None:
    good = run("bad_envs:Good", "--only", "nothing", "--only", "oracle", "split=test")
    assert good.returncode == 0, good.stderr
    assert good.stdout.endswith("bad_envs:Good: 2 ok, 0 failed, 0 skipped\n")
    bad = run("bad_envs:Tuples", "--only", "info", "--json")
    assert bad.returncode == 1, bad.stderr
    (only,) = json.loads(bad.stdout)["checks"]
    assert only["status"] == "failed"
    assert "(1, 2)" in only["detail"]
    wrong = run("bad_envs:Good", "spllit=test")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert "spllit" in wrong.stderr
