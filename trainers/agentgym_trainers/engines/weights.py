"""Weights on their way from the learner to an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from agentgym.errors import UsageError


def weights_of(source: Any) -> Mapping[str, torch.Tensor]:
    """Parameters by name: of a model, or of what is a state dict already."""
    if isinstance(source, torch.nn.Module):
        return dict(source.named_parameters())
    if isinstance(source, Mapping):
        return source
    raise UsageError(f"weights come from a model or its state dict, got {type(source).__name__}")


@torch.no_grad()
def copy_weights(source: Any, model: torch.nn.Module) -> None:
    """Overwrite the model's parameters by those of ``source``, in the model's own type.

    Raises:
        UsageError: ``source`` lacks one, or it has another shape; nothing was changed.
    """
    given, wanted = weights_of(source), dict(model.named_parameters())
    for name, parameter in wanted.items():
        if name not in given:
            raise UsageError(f"the new weights lack {name}, which the engine's model has; give all")
        if given[name].shape != parameter.shape:
            shapes = f"{tuple(given[name].shape)}, not {tuple(parameter.shape)}"
            raise UsageError(f"the new weights' {name} has shape {shapes}")
    for name, parameter in wanted.items():
        if given[name].data_ptr() != parameter.data_ptr():
            parameter.copy_(given[name])
