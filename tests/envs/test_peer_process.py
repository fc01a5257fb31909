"""Peers in processes of their own: they answer, refuse, crash, hang, and leave nothing behind."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentgym import EnvError, PluginMissing, UnknownName, UsageError
from agentgym.requirement import require_package
from agentgym_envs.peer_process.process import PeerLimits, PeerProcess

MODULE = "misbehaving_peer"


@pytest.fixture
async def peer() -> AsyncIterator[PeerProcess]:
    made = PeerProcess(MODULE, PeerLimits(answer_s=20, memory_mb=1_024, answer_bytes=1 << 20))
    yield made
    made.close()


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def gone(pid: int) -> bool:
    """Wait until the process has ended, for as long as a test may take."""
    for _ in range(500):
        if not alive(pid):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_it_starts_with_the_first_call_and_stays_for_the_next(peer: PeerProcess) -> None:
    assert peer.pid is None
    assert await peer.call("count") == 1
    first = peer.pid
    assert await peer.call("count") == 2
    assert peer.pid == first


async def test_values_come_back_as_they_went_and_prints_are_no_answers(peer: PeerProcess) -> None:
    for value in (None, True, 1.5, "line\nline 🙂", [1, {"a": []}], "x" * 300_000):
        assert await peer.call("echo", value=value) == value


async def test_the_order_of_sets_is_the_same_in_every_process(peer: PeerProcess) -> None:
    one = await peer.call("set_order")
    peer.close()
    assert await peer.call("set_order") == one


async def test_a_crash_is_an_error_with_its_last_words_and_the_next_call_works(
    peer: PeerProcess,
) -> None:
    with pytest.raises(EnvError, match=r"exit code 7.*the peer says goodbye") as caught:
        await peer.call("crash")
    assert caught.value.kind == "peer_died"
    assert await peer.call("count") == 1


async def test_a_peer_that_died_between_two_calls_is_replaced(peer: PeerProcess) -> None:
    await peer.call("count")
    assert peer.pid is not None
    os.kill(peer.pid, 9)
    os.waitid(os.P_PID, peer.pid, os.WEXITED | os.WNOWAIT)
    assert await peer.call("count") == 1


async def test_a_call_that_needs_the_last_ones_state_gets_no_fresh_process(
    peer: PeerProcess,
) -> None:
    with pytest.raises(EnvError, match=r"peer_died.*was gone before 'count'"):
        await peer.call_again("count")
    await peer.call("count")
    assert await peer.call_again("count") == 2
    assert peer.pid is not None
    os.kill(peer.pid, signal.SIGKILL)
    os.waitid(os.P_PID, peer.pid, os.WEXITED | os.WNOWAIT)  # all its threads
    with pytest.raises(EnvError, match=r"peer_died.*before 'count' \(exit code -9\)"):
        await peer.call_again("count")
    with pytest.raises(EnvError, match="was gone before 'count'"):
        await peer.call_again("count")
    assert await peer.call("count") == 1


async def test_a_hang_is_an_error_and_the_process_ends() -> None:
    peer = PeerProcess(MODULE, PeerLimits(answer_s=4))
    await peer.call("count")
    pid = peer.pid
    with pytest.raises(EnvError, match="took over") as caught:
        await peer.call("hang")
    assert caught.value.kind == "peer_timeout"
    assert pid is not None
    assert await gone(pid)
    peer.close()


async def test_cancelling_a_call_ends_the_process(peer: PeerProcess) -> None:
    await peer.call("count")
    pid = peer.pid
    call = asyncio.create_task(peer.call("hang"))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pid is not None
    assert await gone(pid)
    assert await peer.call("count") == 1


async def test_closing_during_a_call_ends_both(peer: PeerProcess) -> None:
    await peer.call("count")
    call = asyncio.create_task(peer.call("hang"))
    await asyncio.sleep(0.05)
    peer.close()
    with pytest.raises(EnvError, match="peer_died"):
        await call
    peer.close()


async def test_close_ends_what_the_peer_started(peer: PeerProcess) -> None:
    child = await peer.call("start_a_child")
    assert alive(child)
    peer.close()
    assert await gone(child)


async def test_a_forgotten_peer_ends_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        peer = PeerProcess(MODULE)
        await peer.call("count")
        pid = peer.pid
        del peer
        gc.collect()
    assert pid is not None
    assert await gone(pid)


async def test_memory_is_bounded(peer: PeerProcess) -> None:
    assert await peer.call("take_memory", megabytes=10) == 10 << 20
    with pytest.raises(EnvError, match="MemoryError"):
        await peer.call("take_memory", megabytes=2_000)


async def test_an_answer_that_is_too_long_is_an_error(peer: PeerProcess) -> None:
    with pytest.raises(EnvError, match="peer_died"):
        await peer.call("echo", value="x" * (1 << 20))


async def test_what_the_user_got_wrong_is_not_the_environments_failure(peer: PeerProcess) -> None:
    with pytest.raises(UsageError, match="no such thing; give another"):
        await peer.call("refuse")
    with pytest.raises(UnknownName, match="no thing 'stoen'; did you mean 'stone'"):
        await peer.call("lack", name="stoen")
    with pytest.raises(EnvError, match="peer_failed: misbehaving_peer: ZeroDivisionError"):
        await peer.call("stumble")
    assert await peer.call("count") == 1


def test_calls_may_come_from_one_event_loop_after_another() -> None:
    peer = PeerProcess(MODULE)
    assert [asyncio.run(peer.call("count")) for _ in range(3)] == [1, 2, 3]
    peer.close()


OWNER = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from agentgym_envs.peer_process.process import PeerLimits, PeerProcess

    async def main(method, answer_s):
        peer = PeerProcess("misbehaving_peer", PeerLimits(answer_s=answer_s))
        print(await peer.call("start_a_child"), peer.pid, flush=True)
        call = asyncio.create_task(peer.call(method))
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
    """
)


@pytest.mark.parametrize("method", ["count", "hang", "hang_with_the_lock"])
async def test_it_dies_with_its_owner(method: str) -> None:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    owner = subprocess.run(
        [sys.executable, "-c", OWNER, method, "3"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert owner.returncode == -9, owner.stderr
    child, pid = map(int, owner.stdout.split())
    assert await gone(pid)
    if method != "hang_with_the_lock":
        assert await gone(child)
    else:
        os.kill(child, 9)


async def test_a_fork_gets_a_process_of_its_own(peer: PeerProcess) -> None:
    assert await peer.call("count") == 1
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        number = asyncio.new_event_loop().run_until_complete(peer.call("count"))
        os.write(writing, str(number).encode())
        peer.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 10) == b"1"
    assert await peer.call("count") == 2
    os.close(reading)
    os.close(writing)


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    require_package("json", "train")
    with pytest.raises(PluginMissing, match=r"pip install 'agentgym\[textworld\]'"):
        require_package("no_such_package_here", "textworld")


async def test_nothing_is_left_open(peer: PeerProcess) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await peer.call("count")
        with pytest.raises(EnvError):
            await peer.call("crash")
        await peer.call("count")
        peer.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
async def test_an_idle_peer_is_not_ended_by_its_own_clock() -> None:
    peer = PeerProcess(MODULE, PeerLimits(answer_s=3))
    assert await peer.call("count") == 1
    await asyncio.sleep(5.5)
    assert await peer.call("count") == 2
    peer.close()
