"""The contract of an action format, and the codes of calls that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from agentgym.messages import Action, FinishReason, ToolCall, ToolSpec

CALL_ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "invalid_json": "the tool call is not valid JSON.",
        "truncated_json": "the tool call's JSON ends too early.",
        "truncated": "the tool call was cut off.",
        "unclosed_tag": "the tool call has no closing tag.",
        "not_an_object": "a tool call must be a JSON object.",
        "missing_name": "the tool call has no name.",
        "invalid_syntax": "the tool call is not written as a call.",
        "invalid_arguments": "the tool call's arguments must be given by name.",
    }
)
"""Every code of ``ToolCall.error``, and what to tell the model.

===================  ==============================================================================
``invalid_json``     JSON was expected and something else came (``NaN`` and ``Infinity`` included).
``truncated_json``   The JSON is right as far as it goes, and ends inside a value; or the engine cut
                     the turn inside a call written in JSON.
``truncated``        The engine cut the turn inside a call that is not written in JSON.
``unclosed_tag``     The model ended its turn without closing the call.
``not_an_object``    JSON, but not an object.
``missing_name``     A call without the name of a tool.
``invalid_syntax``   A call in Python that cannot be read, or whose arguments are no literals.
``invalid_arguments``  Arguments that are not an object, or text where only named ones can be.
===================  ==============================================================================

Whether a tool of the call's name exists, and whether the arguments fit its schema, is for the
toolbox to say. A turn that the engine cut (``finish_reason`` other than ``stop``) is a matter of
capacity: its last call, if unfinished, has a ``truncated`` code and is no mistake of the model.
"""


class ActionFormat(Protocol):
    """Turns an assistant's text into an :class:`Action`, and calls into text.

    No input makes :meth:`parse` raise: a call that cannot be read is a ``ToolCall`` with an
    ``error``. ``parse(render(calls)).tool_calls`` gives the calls' names and arguments back,
    whatever JSON values they hold. Reading takes time linear in the length of the text.

    What stands between ``<think>`` and ``</think>`` is reasoning: no call in it counts, and it
    stays in ``Action.text``. A ``</think>`` that nothing opened ends reasoning which the prompt
    began, so everything before it is reasoning too. An unclosed ``<think>`` hides nothing.
    """

    name: str

    def parse(
        self, text: str, finish_reason: FinishReason = "stop", *, tools: Sequence[ToolSpec] = ()
    ) -> Action:
        """Read one assistant turn.

        Args:
            text: What the model wrote.
            finish_reason: Why it stopped.
            tools: The tools it may call; formats that write values as plain text need their
                schemas, and formats without unmistakable syntax their names.
        """

    def render(
        self, calls: Sequence[ToolCall], text: str = "", *, tools: Sequence[ToolSpec] = ()
    ) -> str:
        """Write one assistant turn: ``text``, then the calls.

        Raises:
            UsageError: A call that the format cannot write: a name that is no identifier.
            ValueError: An argument that is not JSON, such as ``nan``.
        """

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """What to tell a model that does not know the format. Empty without tools."""
