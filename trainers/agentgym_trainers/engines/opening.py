"""Starting the engine that a run's configuration names."""

from __future__ import annotations

from typing import Any

from agentgym import Engine
from agentgym.errors import UnknownName, UsageError
from agentgym.plugins import load_plugin, plugins
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.policy import Policy


async def open_engine(
    name: str, options: dict[str, Any], policy: Policy, settings: EngineSettings
) -> Engine:
    """Start an engine plugin: a class with a coroutine ``start(policy, settings, **options)``.

    Raises:
        UnknownName: No such plugin, or it cannot be started from a configuration.
        UsageError: Wrong options.
    """
    plugin = load_plugin("agentgym.engines", name)
    start = getattr(plugin, "start", None)
    if start is None:
        known = sorted(one for one in plugins("agentgym.engines") if one != name)
        raise UnknownName("engine of a run", name, known)
    try:
        engine: Engine = await start(policy, settings, **options)
    except TypeError as error:
        raise UsageError(f"engine.options of {name}: {error}") from error
    return engine
