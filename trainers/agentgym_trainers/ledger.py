"""What became of every episode that was ever begun: each ends in exactly one way.

A copy is one member of one group. It is ``issued``, then ``completed``, then one of ``trained``,
``filtered``, ``stale`` and ``failed``; those are final.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any

from agentgym.errors import DataError


class CopyState(enum.IntEnum):
    """How far a copy has come. 0 is one that was never issued."""

    NONE = 0
    ISSUED = 1
    COMPLETED = 2
    TRAINED = 3
    FILTERED = 4
    STALE = 5
    FAILED = 6

    @property
    def final(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self >= CopyState.TRAINED


_FROM = {
    CopyState.ISSUED: {CopyState.NONE},
    CopyState.COMPLETED: {CopyState.ISSUED},
    CopyState.TRAINED: {CopyState.COMPLETED},
    CopyState.FILTERED: {CopyState.COMPLETED},
    CopyState.STALE: {CopyState.ISSUED, CopyState.COMPLETED},
    CopyState.FAILED: {CopyState.ISSUED},
}


class Ledger:
    """States of all copies, one byte each: group by group, in the order they were issued.

    Args:
        group_size: Copies of a group.
    """

    def __init__(self, group_size: int) -> None:
        self._size = group_size
        self._states = bytearray()

    @property
    def groups(self) -> int:
        """Groups issued so far; the next one's number."""
        return len(self._states) // self._size

    def issue(self) -> int:
        """Begin a group; its number."""
        self._states.extend([CopyState.ISSUED] * self._size)
        return self.groups - 1

    def states(self, group: int) -> list[CopyState]:
        """The states of a group's copies."""
        start = group * self._size
        return [CopyState(one) for one in self._states[start : start + self._size]]

    def move(self, group: int, member: int, state: CopyState) -> None:
        """A copy got further.

        Raises:
            RuntimeError: It cannot, from where it is: a mistake of the program.
        """
        place = group * self._size + member
        before = CopyState(self._states[place]) if place < len(self._states) else CopyState.NONE
        if before not in _FROM[state]:
            raise RuntimeError(
                f"copy {member} of group {group} is {before.name.lower()} and cannot become "
                f"{state.name.lower()}"
            )
        self._states[place] = state

    def settle(self, group: int, state: CopyState) -> None:
        """What was completed of a group has come to its end."""
        for member, now in enumerate(self.states(group)):
            if now is CopyState.COMPLETED:
                self.move(group, member, state)

    @classmethod
    def all_trained(cls, groups: int, group_size: int) -> Ledger:
        """Of a run that kept none: whatever was issued was trained on."""
        ledger = cls(group_size)
        ledger._states = bytearray([CopyState.TRAINED] * groups * group_size)
        return ledger

    def unsettled(self) -> list[int]:
        """Groups that have copies which are not at their end, oldest first."""
        open_states = (CopyState.ISSUED, CopyState.COMPLETED)
        places = (place for place, one in enumerate(self._states) if one in open_states)
        return sorted({place // self._size for place in places})

    def counts(self) -> dict[str, int]:
        """How many copies are in each state."""
        return {
            state.name.lower(): self._states.count(state)
            for state in CopyState
            if state is not CopyState.NONE
        }

    def reissue(self, groups: Iterable[int]) -> None:
        """Begin whole groups again that did not come to an end before a run was stopped."""
        for group in groups:
            start = group * self._size
            self._states[start : start + self._size] = bytes([CopyState.ISSUED] * self._size)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"group_size": self._size, "states": self._states.hex()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`.

        Raises:
            DataError: The groups had another size.
        """
        if state["group_size"] != self._size:
            raise DataError(
                f"the checkpoint's groups have {state['group_size']} episodes, and "
                f"train.group_size is {self._size}; resume with the former, or start a new run "
                "with model=<checkpoint>"
            )
        self._states = bytearray.fromhex(state["states"])
