"""The processes that make up a run on one machine, as commands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentgym_trainers.config import RunConfig
from agentgym_trainers.policy import EMBEDDED

_FIRST_PORT = 8_910
_SAVING_S = 3_600
"""How long torchrun lets rank 0 finish its step and save, after Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process. ``ready_url`` answers 200 once others may use it.

    The run is over when the part whose end ``ends_run`` is; any other part's end is a failure.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None
    ends_run: bool = False

    def shown(self) -> str:
        """As one would type it."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.command)])


def parts_of(config: RunConfig, arguments: Sequence[str]) -> list[Part]:
    """Servers first, then what trains. GPUs are dealt out by number: learners, then servers.

    Args:
        arguments: Recipe and overrides, as ``agentgym train`` takes them.
    """
    cluster = config.cluster
    ports = [_FIRST_PORT + number for number in range(cluster.servers)]
    servers = [
        _server(config, number, port, gpu=cluster.learners + number)
        for number, port in enumerate(ports)
    ]
    return [*servers, _trainer(config, arguments, ports)]


def _server(config: RunConfig, number: int, port: int, *, gpu: int) -> Part:
    model = str(EMBEDDED / config.model) if (EMBEDDED / config.model).is_dir() else config.model
    options = {
        "--model": model,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--max-model-len": str(config.rollout.context_tokens),
        "--seed": str(config.seed),
    }
    return Part(
        name=f"server {number}",
        command=(
            sys.executable,
            "-m",
            "vllm.entrypoints.openai.api_server",
            *(word for pair in options.items() for word in pair),
        ),
        environment={"CUDA_VISIBLE_DEVICES": str(gpu), "VLLM_SERVER_DEV_MODE": "1"},
        ready_url=f"http://127.0.0.1:{port}/health",
    )


def _trainer(config: RunConfig, arguments: Sequence[str], ports: Sequence[int]) -> Part:
    learners = config.cluster.learners
    train = ["-m", "agentgym", "train", *arguments]
    environment = {}
    if learners > 1:
        shape = ["--standalone", f"--nproc-per-node={learners}", f"--shutdown-timeout={_SAVING_S}"]
        train = ["-m", "torch.distributed.run", *shape, *train, "train.learner=fsdp"]
    if ports:
        train += _use_servers([f"http://127.0.0.1:{port}" for port in ports])
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(learners)))
    return Part("trainer", (sys.executable, *train), environment, ends_run=True)


def _use_servers(urls: Sequence[str]) -> list[str]:
    """The overrides that tell the trainer where to generate."""
    return ["engine.name=vllm", f"engine.options.urls=[{', '.join(urls)}]"]
