"""Copies in CPU memory of what a checkpoint holds, so that the run may go on meanwhile."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def copied(state: Any) -> Any:
    """``state`` with every tensor copied to the CPU; what shared memory shares it again."""
    return _copied(state, {})


def random_state() -> dict[str, Any]:
    """The states of the process's generators: torch, CUDA, Python and NumPy."""
    numpy: Any = np.random.get_state(legacy=False)
    key = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": key}},
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of :func:`random_state`; CUDA's only where there are as many devices."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    random.setstate(state["python"])
    numpy = state["numpy"]
    key = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})


def _copied(value: Any, storages: dict[tuple[str, int], Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return _copied_tensor(value, storages)
    if isinstance(value, dict):
        return {name: _copied(one, storages) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(one, storages) for one in value)
    return value


def _copied_tensor(value: torch.Tensor, storages: dict[tuple[str, int], Any]) -> torch.Tensor:
    storage = value.untyped_storage()
    place = (str(value.device), storage.data_ptr())
    if place not in storages:
        storages[place] = storage.clone() if value.device.type == "cpu" else storage.cpu()
    whole = torch.empty(0, dtype=value.dtype)
    return whole.set_(storages[place], value.storage_offset(), value.size(), value.stride())
