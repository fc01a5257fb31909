"""The ledger: every copy ends in exactly one way, and a checkpoint holds it all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym import DataError
from agentgym_trainers.ledger import CopyState, Ledger

FINAL = [state for state in CopyState if state.final]
WAYS = [
    (CopyState.COMPLETED, CopyState.TRAINED),
    (CopyState.COMPLETED, CopyState.FILTERED),
    (CopyState.COMPLETED, CopyState.STALE),
    (CopyState.STALE,),
    (CopyState.FAILED,),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_goes_its_way_to_an_end(way: tuple[CopyState, ...]) -> None:
    ledger = Ledger(2)
    group = ledger.issue()
    for state in way:
        ledger.move(group, 1, state)
    assert ledger.states(group) == [CopyState.ISSUED, way[-1]]
    assert way[-1].final


@pytest.mark.parametrize("end", FINAL)
@pytest.mark.parametrize("after", [state for state in CopyState if state is not CopyState.NONE])
def test_nothing_follows_an_end(end: CopyState, after: CopyState) -> None:
    ledger = Ledger(1)
    group = ledger.issue()
    if end is not CopyState.FAILED:
        ledger.move(group, 0, CopyState.COMPLETED)
    ledger.move(group, 0, end)
    with pytest.raises(RuntimeError, match=f"is {end.name.lower()} and cannot become"):
        ledger.move(group, 0, after)


def test_what_was_never_issued_cannot_be_trained_on() -> None:
    with pytest.raises(RuntimeError, match="is none and cannot become trained"):
        Ledger(2).move(0, 0, CopyState.TRAINED)


def test_settling_leaves_failed_copies_failed() -> None:
    ledger = Ledger(3)
    group = ledger.issue()
    ledger.move(group, 0, CopyState.FAILED)
    ledger.move(group, 1, CopyState.COMPLETED)
    ledger.move(group, 2, CopyState.COMPLETED)
    ledger.settle(group, CopyState.FILTERED)
    assert ledger.states(group) == [CopyState.FAILED, CopyState.FILTERED, CopyState.FILTERED]
    assert ledger.unsettled() == []


@given(st.lists(st.lists(st.sampled_from(WAYS), min_size=3, max_size=3), max_size=8), st.data())
def test_counts_add_up_and_come_back_from_a_checkpoint(
    ways: list[list[tuple[CopyState, ...]]], data: st.DataObject
) -> None:
    ledger, left_open = Ledger(3), set()
    for group_ways in ways:
        group = ledger.issue()
        for member, way in enumerate(group_ways):
            steps = data.draw(st.integers(0, len(way)))
            for state in way[:steps]:
                ledger.move(group, member, state)
            if steps < len(way):
                left_open.add(group)
    again = Ledger(3)
    again.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    assert again.counts() == ledger.counts()
    assert sum(again.counts().values()) == 3 * again.groups == 3 * len(ways)
    assert again.unsettled() == sorted(left_open)
    again.reissue(again.unsettled())
    assert all(set(again.states(group)) == {CopyState.ISSUED} for group in left_open)


def test_a_checkpoint_with_groups_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match=r"groups have 4 episodes, and train\.group_size is 8"):
        Ledger(8).load_state_dict(Ledger(4).state_dict())


def test_a_run_without_a_ledger_has_trained_on_what_it_issued() -> None:
    ledger = Ledger.all_trained(5, 4)
    assert (ledger.groups, ledger.counts()["trained"]) == (5, 20)
    assert ledger.issue() == 5
