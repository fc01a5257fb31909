"""Algorithms as data: the record, its named presets, and what does not go together."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from agentgym.errors import ConfigError
from agentgym_trainers.algorithms.checks import check, check_stale
from agentgym_trainers.algorithms.presets import PRESETS, expand
from agentgym_trainers.algorithms.record import CLIPPED_LOSSES, Algorithm, Gate

__all__ = [
    "CLIPPED_LOSSES",
    "PRESETS",
    "Algorithm",
    "Gate",
    "check",
    "check_stale",
    "expand",
    "named",
]


def named(preset: str, **fields: Any) -> Algorithm:
    """A preset with some fields changed, checked.

    Raises:
        ConfigError: A field's value is not allowed, or the mix is impossible.
        UnknownName: No such preset.
    """
    try:
        return check(Algorithm.model_validate(expand({"preset": preset, **fields})))
    except ValidationError as error:
        raise ConfigError(str(error)) from error
