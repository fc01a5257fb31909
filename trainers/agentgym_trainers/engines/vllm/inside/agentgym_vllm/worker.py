"""Methods that agentgym adds to vLLM's workers (``--worker-extension-cls``)."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from .broadcast import Group, Place, Plan, address_towards, find

_LOOK_S = 0.5


class TakesWeights:
    """Mixed into the worker's class, so that ``collective_rpc`` finds these methods."""

    model_runner: Any
    rank: int
    device: Any
    _agentgym_name = ""
    _agentgym_joined: Group | None = None

    def agentgym_load(self, folder: str) -> None:
        """Take the weights of a folder."""
        self._agentgym_reload(weights_path=folder)

    def agentgym_group(self) -> str:
        """The name of the learner's group that it is in; empty if in none."""
        return self._agentgym_name

    def agentgym_join(
        self,
        name: str,
        address: str,
        port: int,
        size: int,
        backend: str,
        join_s: float,
        bucket_s: float,
    ) -> str:
        """Join a group of the learner, instead of the last one; what went wrong, or nothing.

        It does not raise: of several workers that do, vLLM would take one's error for the answer to
        the next call.
        """
        self._agentgym_name, self._agentgym_joined = "", None  # closes its connections
        try:
            self._agentgym_joined = Group(
                find(address, port, join_s),
                Place(
                    1 + self.rank,
                    size,
                    backend,
                    address_towards(address),
                    self.device,
                    join_s,
                    bucket_s,
                ),
            )
        except (RuntimeError, OSError) as error:
            return _line(error)
        self._agentgym_name = name
        return ""

    def agentgym_receive(self, plan: Plan) -> str:
        """Take the weights that the learner sends to the group; what went wrong, or nothing.

        All of them are here before the first is loaded: vLLM would not recover from a load that
        breaks off.
        """
        try:
            if self._agentgym_joined is None:
                raise RuntimeError("this worker is in no group; agentgym_join comes first")
            received = self._agentgym_joined.receive(plan)
        except (RuntimeError, OSError) as error:
            self._agentgym_name, self._agentgym_joined = "", None
            return _line(error)
        self._agentgym_reload(weights_iterator=iter(received.items()))
        return ""

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


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)
