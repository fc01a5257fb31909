"""Options of the ``vllm`` engine, and what vLLM is told of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.policy import Policy

INSIDE = Path(__file__).parent / "inside"
_EXTENSION = "agentgym_vllm_worker.TakesWeights"


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """``engine.options`` of ``engine.name=vllm``.

    Args:
        mode: ``server``: processes of their own that this engine starts and restarts on 127.0.0.1;
            ``in_process``: one vLLM whose scheduler lives in this process.
        urls: Servers that run elsewhere, instead of starting any (docs/engines.md says how to start
            them). With ``sync="disk"`` they must see the run's folder under the same path.
        servers: How many to start.
        devices: ``CUDA_VISIBLE_DEVICES`` of each server that is started.
        python: Interpreter that has vLLM, if it is not this one; for servers only.
        engine_args: Further arguments of vLLM, such as ``{tensor_parallel_size: 2}``.
        env: Further environment variables of the servers.
        retries: Times that a call whose server was lost is sent again.
        start_s: Seconds in which a server must have started, or loaded weights; and for each bucket
            of a broadcast.
        health_s: Seconds in which a server must answer a small question.
        sync: How new weights reach vLLM: ``disk``, or ``broadcast`` from memory to memory.
        backend: Of broadcasts: ``gloo``, through main memory, or ``nccl``, where the learner and
            each vLLM have GPUs of their own.
        address: One of this machine's own, as the servers of ``urls`` reach it; found by itself.
        sleep: Give the GPU's memory back while the learner works. A no-op on the CPU.
    """

    mode: str = "server"
    urls: Sequence[str] = ()
    servers: int = 1
    devices: Sequence[str] = ()
    python: str = sys.executable
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    retries: int = 3
    start_s: float = 600.0
    health_s: float = 30.0
    sync: str = "disk"
    backend: str = "gloo"
    address: str = ""
    sleep: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("server", "in_process"):
            raise UsageError(f"engine.options.mode is server or in_process, got {self.mode!r}")
        if self.sync not in ("disk", "broadcast"):
            raise UsageError(f"engine.options.sync is disk or broadcast, got {self.sync!r}")
        if self.backend not in ("gloo", "nccl"):
            raise UsageError(f"engine.options.backend is gloo or nccl, got {self.backend!r}")
        if self.sync == "broadcast" and self.engine_args.get("data_parallel_size", 1) != 1:
            raise UsageError(
                "engine.options.sync=broadcast reaches one data-parallel rank only; start several "
                "servers, or use sync=disk"
            )
        if isinstance(self.urls, str):
            raise UsageError(f"engine.options.urls is a list of addresses, got {self.urls!r}")
        if self.mode == "in_process" and (self.urls or self.servers != 1):
            raise UsageError("engine.options: urls and servers are for mode: server")
        if self.devices and len(self.devices) != self.servers:
            raise UsageError(
                f"engine.options.devices names {len(self.devices)} servers' devices, and servers "
                f"is {self.servers}"
            )


def engine_args(policy: Policy, settings: EngineSettings, options: VllmOptions) -> dict[str, Any]:
    """Arguments of vLLM, by their names in Python; those of ``options`` win."""
    positions = getattr(policy.model.config, "max_position_embeddings", None)
    longest = settings.context_tokens
    extension = _EXTENSION if options.mode == "server" else f"{__package__}.inside.{_EXTENSION}"
    return {
        "dtype": str(policy.compute_dtype).removeprefix("torch."),
        "max_model_len": min(longest, positions) if positions else longest,
        "max_num_seqs": settings.concurrency,
        "seed": settings.seed % 2**31,
        "enable_prefix_caching": True,
        "logprobs_mode": "processed_logprobs",  # of the distribution that was sampled from
        "generation_config": "vllm",  # no hidden temperature or end tokens of the model's own
        "worker_extension_cls": extension,
        **({"enable_sleep_mode": True} if options.sleep else {}),
        **options.engine_args,
    }


def server_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """The same on a command line."""
    line: list[str] = []
    for name, value in arguments.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            line.append(flag if value else "--no-" + flag.removeprefix("--"))
        else:
            line += [flag, str(value)]
    return line


def environment(options: VllmOptions, number: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of one server."""
    paths = [str(INSIDE), *filter(None, [inherited.get("PYTHONPATH")])]
    return {
        "HF_HUB_OFFLINE": "1",  # the policy lies on the disk
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        **inherited,
        "PYTHONPATH": ":".join(paths),
        "VLLM_SERVER_DEV_MODE": "1",  # pause, resume, collective_rpc
        **({"CUDA_VISIBLE_DEVICES": options.devices[number]} if options.devices else {}),
        **options.env,
    }
