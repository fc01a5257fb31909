"""Copies of the learner's weights, for vLLM: at its start, after an update, after a crash."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from agentgym.errors import EnvError
from agentgym_trainers.engines.vllm.replica import WEIGHTS_FILE, Weights
from agentgym_trainers.engines.weights import weights_of
from agentgym_trainers.lora import has_lora, merged_weights
from agentgym_trainers.policy import Policy


class SyncedWeights:
    """The version that vLLM starts with on disk, and the newest ones there or in memory.

    Args:
        policy: Its configuration and tokenizer go beside the weights.
        folder: Where; what is in it is removed. A temporary one when ``None``.
        in_memory: Write the first version only.
    """

    def __init__(self, policy: Policy, folder: Path | None, *, in_memory: bool = False) -> None:
        self._dtype = policy.compute_dtype
        self._name = uuid.uuid4().hex[:8]
        self._in_memory = in_memory
        self._first: Path | None = None
        self._taken = 0
        if folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="agentgym-vllm-"))
        else:
            self.folder = folder.absolute()
            shutil.rmtree(self.folder, ignore_errors=True)  # of a run that was killed
            self.folder.mkdir(parents=True)
        self._beside = self.folder / "policy"
        config = type(policy.model.config).from_dict(policy.model.config.to_dict())
        config.architectures = [type(policy.model).__name__]
        config.save_pretrained(self._beside)
        policy.tokenizer.save_pretrained(self._beside)

    def take(self, source: Any, version: int) -> Weights:
        """Copy weights; adapters are merged into what they adapt.

        Raises:
            EnvError: The disk refuses.
            UsageError: ``source`` is neither a model nor its state dict.
        """
        weights = merged_weights(source) if has_lora(source) else weights_of(source)
        self._taken += 1
        label = f"{self._name}-{self._taken}-v{version}"
        tensors = {name: self._ready(tensor) for name, tensor in weights.items()}
        if self._in_memory and self._first is not None:
            return Weights(self._first, version, label, tensors)
        folder = self.folder / f"weights-{label}"
        self._write(tensors, folder, self.folder / f"partial-{label}")
        self._first = self._first or folder
        return Weights(folder, version, label)

    def _write(self, tensors: dict[str, torch.Tensor], folder: Path, partial: Path) -> None:
        """They appear at once, whole."""
        try:
            shutil.copytree(self._beside, partial)
            save_file(tensors, partial / WEIGHTS_FILE, metadata={"format": "pt"})
            partial.replace(folder)
        except OSError as error:
            raise EnvError("engine_failed", f"weights cannot be written: {error}") from error

    def keep(self, needed: Collection[Path]) -> None:
        """Remove the weights of all folders but these."""
        for folder in self.folder.glob("weights-*"):
            if folder not in needed:
                shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @torch.no_grad()
    def _ready(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = self._dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.detach().to("cpu", dtype, copy=self._in_memory).contiguous()
