"""Methods that agentgym adds to vLLM's workers (``--worker-extension-cls``)."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

_LOOK_S = 0.5


class WeightsFromDisk:
    """Mixed into the worker's class, so that ``collective_rpc`` finds these methods."""

    model_runner: Any

    def agentgym_load(self, folder: str) -> None:
        """Take the weights of a folder.

        vLLM on the CPU multiplies by a copy of a linear layer's weights that it makes when the
        layer is loaded. An output layer tied to the embedding is not loaded by itself, and would
        keep the old copy.
        """
        self.model_runner.reload_weights(weights_path=folder)
        head = getattr(self.model_runner.get_model(), "lm_head", None)
        if hasattr(head, "cpu_linear"):
            from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

            dispatch_cpu_unquantized_gemm(head, remove_weight=False)

    def agentgym_end_with_parent(self) -> None:
        """End this process when the one that started it is gone."""
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)
