"""How a model writes tool calls: one module per format, one table of names."""

from agentgym.errors import UnknownName
from agentgym.formats.base import ActionFormat
from agentgym.formats.hermes import HermesFormat

__all__ = ["ActionFormat", "HermesFormat", "get_format"]

_FORMATS: dict[str, ActionFormat] = {"hermes": HermesFormat()}


def get_format(name: str) -> ActionFormat:
    """The action format called ``name``.

    Raises:
        UnknownName: There is none; the message names the nearest.
    """
    if name not in _FORMATS:
        raise UnknownName("action format", name, _FORMATS)
    return _FORMATS[name]
