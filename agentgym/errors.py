"""What can go wrong, and whose fault it is.

    AgentGymError
    ├── UsageError          the user can fix it: one line, exit code 2
    │   ├── UnknownName     a name that is not in a list, with the nearest one that is
    │   ├── ConfigError     a run configuration that does not validate
    │   └── DataError       a file that does not hold what it should
    ├── PluginError         a registered plugin cannot be used
    │   ├── PluginMissing   not installed: names the extra to install
    │   └── PluginBroken    installed, but failed to import: names the plugin and the cause
    ├── ToolError           a tool says no to the model: becomes an observation
    └── EnvError            the environment failed: masks the episode, never a reward of 0

The model's mistakes are none of these: they are observations.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AgentGymError(Exception):
    """Base class of everything agentgym raises on purpose."""


class UsageError(AgentGymError, ValueError):
    """Something the caller gave is wrong; the message says what to give instead."""


class UnknownName(UsageError):
    """A name that is not among the known ones.

    Args:
        kind: What the name should be, for example ``"environment"``.
        name: What came.
        known: What is allowed.
        hint: What to do next, for example the command that lists all names.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        advice = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"no {kind} {name!r}; {advice}" + (f" ({hint})" if hint else ""))
        self.name = name
        self.suggestion = close[0] if close else None


class ConfigError(UsageError):
    """A run configuration that does not validate."""


class DataError(UsageError):
    """A file whose content is not what was promised; the message names file and line."""


class PluginError(AgentGymError):
    """A registered plugin cannot be used."""


class PluginMissing(PluginError):
    """The plugin, or the extra it needs, is not installed."""


class PluginBroken(PluginError):
    """The plugin is installed, and failed to import."""


class ToolError(AgentGymError):
    """Raised inside a tool to refuse the model's request; the model reads it as an observation.

    Args:
        message: One sentence for the model: what was wrong and what to do.
        code: Stable short name, counted in metrics.
    """

    def __init__(self, message: str, code: str = "tool_error") -> None:
        super().__init__(message)
        self.code = code


class EnvError(AgentGymError):
    """The environment, not the model, failed. The episode is masked and refilled.

    Args:
        kind: Stable short name of the failure, for example ``"sandbox_died"``.
        message: What happened.
        retryable: Whether the same task may work on another try.
    """

    def __init__(self, kind: str, message: str = "", *, retryable: bool = True) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind = kind
        self.retryable = retryable
