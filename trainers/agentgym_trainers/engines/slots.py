"""Which conversation is cached in which slot, and up to where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentgym_trainers.engines.call import Call
from agentgym_trainers.engines.kv_cache import SlotCache

_SHARE_AT_LEAST = 16
"""A common prefix of this many tokens is worth waiting one forward pass for."""


class Slots:
    """Hands out the slots of a cache.

    A conversation keeps its slot from turn to turn. A new one starts from a copy of the longest
    beginning that any other has in common with it.
    """

    def __init__(self, cache: SlotCache) -> None:
        self._cache = cache
        self._slot_of: dict[str, int] = {}
        self.cached: dict[int, list[int]] = {}
        """By slot, the tokens whose keys it holds."""

    def place(self, call: Call, joining: Sequence[Call]) -> bool:
        """Give the call a slot; False if it does better to wait for what ``joining`` computes."""
        ids = call.ids
        own = self._slot_of.get(call.conversation)
        if own is not None and own in self.cached:
            call.slot = own
            del self.cached[own][common_prefix(self.cached[own], ids) :]
            return True
        lengths = {slot: common_prefix(cached, ids) for slot, cached in self.cached.items()}
        donor = max(lengths, key=lambda slot: lengths[slot], default=-1)
        length = lengths.get(donor, 0)
        if any(common_prefix(one.ids, ids) >= length + _SHARE_AT_LEAST for one in joining):
            return False
        slot = self._free()
        if length:
            self._cache.copy_prefix(donor, slot, length)
        self.cached[slot] = ids[:length]
        self._slot_of[call.conversation] = slot
        call.slot = slot
        return True

    def missing(self, call: Call) -> int:
        """How many tokens of the call's prompt and of its samples are not cached yet."""
        return len(call.token_ids) + len(call.sampled) - len(self.cached[call.slot])

    def new_tokens(self, call: Call) -> list[int]:
        """Those tokens."""
        cached, prompt = len(self.cached[call.slot]), len(call.token_ids)
        if cached >= prompt:
            return call.sampled[cached - prompt :]
        return call.token_ids[cached:] + call.sampled

    def release(self, conversation: str) -> None:
        """The conversation is over; its slot is freed by the next :meth:`sweep`."""
        self._slot_of.pop(conversation, None)

    def sweep(self, running: Iterable[Call]) -> None:
        """Free the slots that neither a conversation nor a running call holds."""
        held = set(self._slot_of.values()) | {call.slot for call in running}
        for slot in [slot for slot in self.cached if slot not in held]:
            del self.cached[slot]

    def forget(self) -> None:
        """Drop all that is cached; whoever still runs needs a new place."""
        self._slot_of.clear()
        self.cached.clear()

    def _free(self) -> int:
        slot = 0
        while slot in self.cached:
            slot += 1
        self._cache.ensure(slots=slot + 1 if slot < 8 else 2 ** slot.bit_length(), positions=0)
        return slot


def common_prefix(cached: list[int], ids: list[int]) -> int:
    """Length of the common beginning, leaving at least one token of ``ids`` to compute."""
    same, limit = 0, max(min(len(cached), len(ids) - 1), 0)
    if cached[:limit] == ids[:limit]:
        return limit
    different = limit
    while different - same > 1:
        middle = (same + different) // 2
        if cached[same:middle] == ids[same:middle]:
            same = middle
        else:
            different = middle
    return same
