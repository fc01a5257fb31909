"""Episodes as zstd-compressed JSON lines: one episode a line, nothing lost on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from agentgym.episode import ContextDecision, Ending, Episode, Segment, Turn
from agentgym.errors import DataError, UsageError
from agentgym.plain_json import (
    Json,
    action_from_json,
    action_to_json,
    json_flaw,
    result_from_json,
    result_to_json,
    take,
    take_numbers,
    task_from_json,
    task_to_json,
)

_CHUNK_BYTES = 2**16


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write episodes to ``path`` (``*.jsonl.zst``); the file appears whole or not at all.

    Raises:
        UsageError: It cannot be written, or an episode holds what JSON cannot.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as stream:
            for episode in episodes:
                stream.write(_to_line(episode))
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def append_episode(path: Path, episode: Episode) -> None:
    """Add one episode to ``path``, as a compressed frame of its own; whole or not at all.

    Raises:
        UsageError: It cannot be written, or the episode holds what JSON cannot.
    """
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(_to_line(episode))
    try:
        with path.open("ab", buffering=0) as out:
            append_whole(out, frame)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def append_whole(out: FileIO, frame: bytes) -> None:
    """Write all of it at the end of the file; if it does not fit, the file is as it was."""
    before = out.seek(0, os.SEEK_END)
    rest = memoryview(frame)
    try:
        while rest:
            rest = rest[out.write(rest) :]
    except BaseException:
        out.truncate(before)  # what is written behind half a frame cannot be read
        if before == 0:
            Path(out.name).unlink()
        raise


def _to_line(episode: Episode) -> bytes:
    data = episode_to_json(episode)
    try:
        return json.dumps(data, allow_nan=False).encode("ascii") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        flaw = json_flaw(data, "episode")
        raise UsageError(f"episode {episode.id!r} cannot be written down: {flaw}") from error


_UNREADABLE = (
    zstandard.ZstdError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def read_episodes(path: Path) -> Iterator[Episode]:
    """Read episodes lazily.

    Raises:
        DataError: The file cannot be read, is cut off, or a line is not an episode; names file and
            line.
    """
    number = 0
    try:
        for line in _lines(path):
            yield episode_from_json(json.loads(line))
            number += 1
    except KeyError as error:
        raise DataError(f"{path}:{number + 1}: not a whole episode ({error} is missing)") from error
    except _UNREADABLE as error:
        raise DataError(f"{path}:{number + 1}: not a whole episode ({error})") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a compressed file of one or more frames.

    An unfinished frame is an error, which zstandard lets pass.
    """
    stream = zstandard.ZstdDecompressor().decompressobj()
    begun: list[bytes] = []  # pieces of a line that has not ended
    started = False
    with path.open("rb") as raw:
        while chunk := raw.read(_CHUNK_BYTES):
            while chunk:
                if stream.eof:
                    stream = zstandard.ZstdDecompressor().decompressobj()
                *whole, rest = stream.decompress(chunk).split(b"\n")
                started = True
                if whole:
                    yield b"".join([*begun, whole[0]])
                    yield from whole[1:]
                    begun = []
                if rest:
                    begun.append(rest)
                chunk = stream.unused_data if stream.eof else b""
    if not started or not stream.eof or begun:
        raise EOFError("the file ends in the middle")


def episode_to_json(episode: Episode) -> Json:
    """The episode as plain JSON values."""
    managed = {"decisions": [_decision_to_json(decision) for decision in episode.decisions]}
    return {
        "id": episode.id,
        "group_id": episode.group_id,
        "task_key": episode.task_key,
        "seed": episode.seed,
        "turns": [_turn_to_json(turn) for turn in episode.turns],
        "segments": [_segment_to_json(segment) for segment in episode.segments],
        "rewards": dict(episode.rewards),
        "ending": episode.ending.value,
        "task": task_to_json(episode.task) if episode.task else None,
        "opening": result_to_json(episode.opening) if episode.opening else None,
        "rng": episode.rng,
        **(managed if episode.decisions else {}),
        **({"telemetry": dict(episode.telemetry)} if episode.telemetry else {}),
    }


def episode_from_json(data: Json) -> Episode:
    """The inverse of :func:`episode_to_json`.

    Raises:
        KeyError, TypeError, ValueError: Something is missing, or not what it should be.
    """
    return Episode(
        id=take(data, "id", str),
        group_id=take(data, "group_id", str),
        task_key=take(data, "task_key", str),
        seed=take(data, "seed", int),
        turns=tuple(_turn_from_json(turn) for turn in take(data, "turns", list)),
        segments=tuple(_segment_from_json(segment) for segment in take(data, "segments", list)),
        rewards=take_numbers(data, "rewards"),
        ending=Ending(data["ending"]),
        task=task_from_json(data["task"]) if data["task"] is not None else None,
        opening=result_from_json(data["opening"]) if data["opening"] is not None else None,
        rng=_rng_from_json(data["rng"]),
        decisions=tuple(_decision_from_json(one) for one in data.get("decisions", ())),
        telemetry=take_numbers(data, "telemetry") if "telemetry" in data else {},
    )


_GENERATORS: Mapping[str, type[np.random.BitGenerator]] = {
    kind.__name__: kind for kind in (np.random.PCG64, np.random.PCG64DXSM)
}


def _rng_from_json(state: Any) -> Json | None:
    """A generator's state; it is put into one, since only NumPy knows what is a whole state."""
    if state is None:
        return None
    kind = take(state, "bit_generator", str)
    if kind not in _GENERATORS:
        raise ValueError(f"'rng' is of a {kind}; known: {', '.join(_GENERATORS)}")
    try:
        _GENERATORS[kind]().state = state
    except Exception as error:  # NumPy raises what it happens upon
        raise ValueError(f"'rng' is no state of a {kind} ({error!r})") from error
    return dict(state)


def _turn_to_json(turn: Turn) -> Json:
    return {
        "index": turn.index,
        "kind": turn.kind,
        "segment": turn.segment,
        "start": turn.start,
        "stop": turn.stop,
        "action": action_to_json(turn.action),
        "result": result_to_json(turn.result) if turn.result else None,
        "anchor": turn.anchor,
    }


def _turn_from_json(data: Json) -> Turn:
    action = action_from_json(data["action"])
    result = result_from_json(data["result"]) if data["result"] is not None else None
    return Turn(**{**data, "action": action, "result": result})


def _decision_to_json(decision: ContextDecision) -> Json:
    return {**asdict(decision), "dropped": [*decision.dropped], "recalled": [*decision.recalled]}


def _decision_from_json(data: Json) -> ContextDecision:
    dropped, recalled = tuple(data["dropped"]), tuple(data["recalled"])
    return ContextDecision(**{**data, "dropped": dropped, "recalled": recalled})


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
