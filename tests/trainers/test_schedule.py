"""How many episodes may be begun."""

from hypothesis import given
from hypothesis import strategies as st

from agentgym_trainers.schedule import capacity

COUNTS = st.integers(0, 1000)


def test_synchronous_training_begins_one_batch_and_no_more_before_the_update() -> None:
    facts = {"max_concurrent": 100, "staleness": 0, "batch": 8}
    assert capacity(running=0, version=0, accepted=0, **facts) == 8
    assert capacity(running=5, version=0, accepted=3, **facts) == 0
    assert capacity(running=0, version=1, accepted=8, **facts) == 8


def test_each_update_of_staleness_lets_one_more_batch_begin() -> None:
    facts = {"max_concurrent": 100, "running": 0, "version": 3, "batch": 8, "accepted": 24}
    assert [capacity(staleness=eta, **facts) for eta in (0, 1, 2)] == [8, 16, 24]


@given(COUNTS, COUNTS, st.integers(0, 4), COUNTS, st.integers(1, 64), COUNTS)
def test_neither_bound_is_ever_passed(
    most: int, running: int, staleness: int, version: int, batch: int, accepted: int
) -> None:
    room = capacity(
        max_concurrent=most,
        running=running,
        staleness=staleness,
        version=version,
        batch=batch,
        accepted=accepted,
    )
    assert running + room <= most
    assert accepted + running + room <= (staleness + version + 1) * batch
