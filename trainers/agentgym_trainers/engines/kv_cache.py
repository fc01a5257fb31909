"""A key-value cache of slots: one conversation a slot, kept from turn to turn.

Shape letters: ``S`` slots, ``R`` rows of one forward pass, ``Q`` new tokens, ``H`` key-value heads,
``L`` positions, ``D`` head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class SlotCache(Cache):
    """Keys and values of many conversations, each in its own slot of one tensor per layer.

    Before each forward pass :meth:`select` names the slots that take part. Rows may have different
    lengths: a row's new keys are written at its own positions, and what lies behind the end of a
    row is hidden by the caller's mask and overwritten later.
    """

    def __init__(self, config: Any, *, slots: int, positions: int) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)
        text = config.get_text_config()
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self._shape = (heads, head_size)
        self._count = text.num_hidden_layers
        self._size = (slots, positions)
        self._keys_SHLD: list[torch.Tensor] = []
        self._values_SHLD: list[torch.Tensor] = []
        self._rows: Any = slice(0, 0)
        self._slots_R1: torch.Tensor | None = None
        self._positions_RQ: torch.Tensor | None = None
        self._length = 0

    @torch.inference_mode()
    def ensure(self, *, slots: int, positions: int) -> None:
        """Make room, keeping what is cached."""
        wanted = (max(slots, self._size[0]), max(positions, self._size[1]))
        if wanted == self._size:
            return
        self._size = wanted
        self._keys_SHLD = [self._grown(old) for old in self._keys_SHLD]
        self._values_SHLD = [self._grown(old) for old in self._values_SHLD]

    @property
    def positions(self) -> int:
        """Positions there is room for."""
        return self._size[1]

    @torch.inference_mode()
    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Give slot ``target`` the first ``length`` positions of slot ``source``."""
        for tensor in (*self._keys_SHLD, *self._values_SHLD):
            tensor[target, :, :length] = tensor[source, :, :length]

    def select(self, slots: Sequence[int], positions_RQ: torch.Tensor, length: int) -> None:
        """Choose the rows of the next forward pass; attention reads ``length`` positions."""
        device = positions_RQ.device
        self._slots_R1 = torch.tensor(list(slots), device=device).unsqueeze(1)
        self._positions_RQ = positions_RQ
        self._length = length
        first = slots[0]
        if list(slots) == list(range(first, first + len(slots))):
            self._rows = slice(first, first + len(slots))  # neighbours need no copy
        else:
            self._rows = self._slots_R1.squeeze(1)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values of one layer; return all of the selected rows."""
        if not self._keys_SHLD:
            self._allocate(key_states)
        keys, values = self._keys_SHLD[layer_idx], self._values_SHLD[layer_idx]
        # Indexing with two tensors around a slice puts their dimensions first: (R, Q, H, D).
        at = (self._slots_R1, slice(None), self._positions_RQ)
        keys[at] = key_states.transpose(1, 2).to(keys.dtype)
        values[at] = value_states.transpose(1, 2).to(values.dtype)
        return self._chosen(keys), self._chosen(values)

    def _chosen(self, tensor_SHLD: torch.Tensor) -> torch.Tensor:
        """The selected rows, up to the length that attention reads."""
        narrow = tensor_SHLD[:, :, : self._length]
        if isinstance(self._rows, slice):
            return narrow[self._rows]
        return narrow.index_select(0, self._rows)  # copies thrice as fast as indexing does

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions before the new tokens; the caller gives positions and mask itself."""
        return 0

    def _allocate(self, like: torch.Tensor) -> None:
        slots, positions = self._size
        heads, head_size = self._shape
        for tensors in (self._keys_SHLD, self._values_SHLD):
            for _ in range(self._count):
                tensors.append(like.new_zeros(slots, heads, positions, head_size))

    def _grown(self, old: torch.Tensor) -> torch.Tensor:
        slots, positions = self._size
        new = old.new_zeros(slots, old.shape[1], positions, old.shape[3])
        new[: old.shape[0], :, : old.shape[2]] = old
        return new
