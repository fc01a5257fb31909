"""A gym for language-model agents. Importing it registers every installed environment id."""

from agentgym.engine import Engine, Generation, Sampling
from agentgym.env import EpisodeLimits, TextEnv
from agentgym.episode import Ending, Episode, Segment, StepResult, Task, Turn
from agentgym.errors import (
    AgentGymError,
    ConfigError,
    DataError,
    EnvError,
    PluginBroken,
    PluginError,
    PluginMissing,
    ToolError,
    UnknownName,
    UsageError,
)
from agentgym.messages import Action, ImagePart, Message, TextPart, ToolCall, ToolSpec
from agentgym.registry import env_ids, make, register_all
from agentgym.tasks import TaskSet
from agentgym.tools import Tool, tool

__version__ = "0.1.0"

__all__ = [
    "Action",
    "AgentGymError",
    "ConfigError",
    "DataError",
    "Ending",
    "Engine",
    "EnvError",
    "Episode",
    "EpisodeLimits",
    "Generation",
    "ImagePart",
    "Message",
    "PluginBroken",
    "PluginError",
    "PluginMissing",
    "Sampling",
    "Segment",
    "StepResult",
    "Task",
    "TaskSet",
    "TextEnv",
    "TextPart",
    "Tool",
    "ToolCall",
    "ToolError",
    "ToolSpec",
    "Turn",
    "UnknownName",
    "UsageError",
    "env_ids",
    "make",
    "register_all",
    "tool",
]

register_all()
