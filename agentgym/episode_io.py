"""Episodes as zstd-compressed JSON lines: one episode a line, nothing lost on the way."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from agentgym.episode import Ending, Episode, Segment, StepResult, Turn
from agentgym.errors import DataError
from agentgym.messages import Action, ImagePart, Message, TextPart, ToolCall

Json = dict[str, Any]
_CHUNK_BYTES = 2**16


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write episodes to ``path`` (``*.jsonl.zst``); the file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as stream:
        for episode in episodes:
            line = json.dumps(episode_to_json(episode), allow_nan=False)
            stream.write(line.encode("ascii") + b"\n")
    partial.replace(path)


def read_episodes(path: Path) -> Iterator[Episode]:
    """Read episodes lazily.

    Raises:
        DataError: The file is cut off or a line is not an episode; names file and line.
    """
    number = 0
    try:
        for line in _lines(path):
            yield episode_from_json(json.loads(line))
            number += 1
    except (zstandard.ZstdError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}:{number + 1}: not a whole episode ({error})") from error


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a compressed file; an unfinished stream is an error, which zstandard lets pass."""
    stream = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    with path.open("rb") as raw:
        while chunk := raw.read(_CHUNK_BYTES):
            *whole, rest = (rest + stream.decompress(chunk)).split(b"\n")
            yield from whole
    if not stream.eof or rest:
        raise EOFError("the file ends in the middle")


def episode_to_json(episode: Episode) -> Json:
    """The episode as plain JSON values."""
    return {
        "id": episode.id,
        "group_id": episode.group_id,
        "task_key": episode.task_key,
        "seed": episode.seed,
        "turns": [_turn_to_json(turn) for turn in episode.turns],
        "segments": [_segment_to_json(segment) for segment in episode.segments],
        "rewards": dict(episode.rewards),
        "ending": episode.ending.value,
    }


def episode_from_json(data: Json) -> Episode:
    """The inverse of :func:`episode_to_json`."""
    return Episode(
        id=data["id"],
        group_id=data["group_id"],
        task_key=data["task_key"],
        seed=data["seed"],
        turns=tuple(_turn_from_json(turn) for turn in data["turns"]),
        segments=tuple(_segment_from_json(segment) for segment in data["segments"]),
        rewards=data["rewards"],
        ending=Ending(data["ending"]),
    )


def message_to_json(message: Message) -> Json:
    """The message as plain JSON values; images as base64."""
    content: Any = message.content
    if not isinstance(content, str):
        content = [_part_to_json(part) for part in content]
    return {
        "role": message.role,
        "content": content,
        "tool_calls": [_call_to_json(call) for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
    }


def message_from_json(data: Json) -> Message:
    """The inverse of :func:`message_to_json`."""
    content = data["content"]
    if not isinstance(content, str):
        content = tuple(_part_from_json(part) for part in content)
    calls = tuple(_call_from_json(call) for call in data["tool_calls"])
    return Message(data["role"], content, calls, data["tool_call_id"])


def _part_to_json(part: TextPart | ImagePart) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.data).decode("ascii")
    return {"type": "image", "media_type": part.media_type, "data": data}


def _part_from_json(data: Json) -> TextPart | ImagePart:
    if data["type"] == "text":
        return TextPart(data["text"])
    return ImagePart(base64.b64decode(data["data"]), data["media_type"])


def _call_to_json(call: ToolCall) -> Json:
    arguments: Mapping[str, Any] | None = call.arguments
    return {
        "id": call.id,
        "name": call.name,
        "arguments_raw": call.arguments_raw,
        "arguments": None if arguments is None else dict(arguments),
        "error": call.error,
    }


def _call_from_json(data: Json) -> ToolCall:
    return ToolCall(**data)


def _action_to_json(action: Action) -> Json:
    return {
        "text": action.text,
        "tool_calls": [_call_to_json(call) for call in action.tool_calls],
        "finish_reason": action.finish_reason,
        "raw": action.raw,
    }


def _action_from_json(data: Json) -> Action:
    calls = tuple(_call_from_json(call) for call in data["tool_calls"])
    return Action(data["text"], calls, data["finish_reason"], data["raw"])


def _result_to_json(result: StepResult | None) -> Json | None:
    if result is None:
        return None
    return {
        "messages": [message_to_json(message) for message in result.messages],
        "rewards": dict(result.rewards),
        "ending": None if result.ending is None else result.ending.value,
        "info": dict(result.info),
        "telemetry": dict(result.telemetry),
    }


def _result_from_json(data: Json | None) -> StepResult | None:
    if data is None:
        return None
    return StepResult(
        messages=tuple(message_from_json(message) for message in data["messages"]),
        rewards=data["rewards"],
        ending=None if data["ending"] is None else Ending(data["ending"]),
        info=data["info"],
        telemetry=data["telemetry"],
    )


def _turn_to_json(turn: Turn) -> Json:
    return {
        "index": turn.index,
        "kind": turn.kind,
        "segment": turn.segment,
        "start": turn.start,
        "stop": turn.stop,
        "action": _action_to_json(turn.action),
        "result": _result_to_json(turn.result),
        "anchor": turn.anchor,
    }


def _turn_from_json(data: Json) -> Turn:
    action, result = _action_from_json(data["action"]), _result_from_json(data["result"])
    return Turn(**{**data, "action": action, "result": result})


_SEGMENT_DTYPES: Mapping[str, type[np.generic]] = {
    "token_ids": np.int32,
    "mask": np.bool_,
    "turn_ids": np.int32,
    "logprobs": np.float32,
    "versions": np.int32,
}


def _segment_to_json(segment: Segment) -> Json:
    return {name: getattr(segment, name).tolist() for name in _SEGMENT_DTYPES}


def _segment_from_json(data: Json) -> Segment:
    arrays: Any = {name: np.asarray(data[name], dtype) for name, dtype in _SEGMENT_DTYPES.items()}
    return Segment(**arrays)
