"""Methods that agentgym adds to vLLM's workers (``--worker-extension-cls``)."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from .broadcast import Broadcasts, Plan, address_towards, find

_LOOK_S = 0.5


class TakesWeights:
    """Mixed into the worker's class, so that ``collective_rpc`` finds these methods."""

    model_runner: Any
    rank: int
    device: Any
    _agentgym_name = ""
    _agentgym_broadcasts: Broadcasts | None = None

    def agentgym_load(self, folder: str) -> None:
        """Take the weights of a folder."""
        self._agentgym_reload(weights_path=folder)

    def agentgym_group(self) -> str:
        """The name of the learner's group that it is in; empty if in none."""
        return self._agentgym_name

    def agentgym_join(
        self, name: str, address: str, port: int, size: int, backend: str, timeout_s: float
    ) -> None:
        """Join a group of the learner, instead of the last one."""
        self._agentgym_name, self._agentgym_broadcasts = "", None  # closes its connections
        self._agentgym_broadcasts = Broadcasts(
            find(address, port, timeout_s),
            1 + self.rank,
            size,
            backend=backend,
            address=address_towards(address),
            device=self.device,
            timeout_s=timeout_s,
        )
        self._agentgym_name = name

    def agentgym_receive(self, plan: Plan) -> None:
        """Take the weights that the learner sends to the group."""
        if self._agentgym_broadcasts is None:
            raise RuntimeError("this worker is in no group; agentgym_join comes first")
        self._agentgym_reload(weights_iterator=self._agentgym_broadcasts.receive(plan))

    def agentgym_end_with_parent(self) -> None:
        """End this process when the one that started it is gone."""
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()

    def _agentgym_reload(self, **source: Any) -> None:
        """Take weights.

        vLLM on the CPU multiplies by a copy of a linear layer's weights that it makes when the
        layer is loaded. An output layer tied to the embedding is not loaded by itself, and would
        keep the old copy.
        """
        self.model_runner.reload_weights(**source)
        head = getattr(self.model_runner.get_model(), "lm_head", None)
        if hasattr(head, "cpu_linear"):
            from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

            dispatch_cpu_unquantized_gemm(head, remove_weight=False)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)
