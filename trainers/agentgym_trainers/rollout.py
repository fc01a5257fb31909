"""One episode: the environment and the engine take turns until something ends."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from agentgym import (
    Action,
    Ending,
    Engine,
    EnvError,
    Episode,
    Generation,
    Message,
    PluginError,
    Sampling,
    Segment,
    StepResult,
    Task,
    TextEnv,
    Turn,
    UsageError,
)
from agentgym_trainers.renderer import Prompt, Renderer


@dataclass(frozen=True, slots=True)
class RolloutLimits:
    """What the runner allows an episode, beside the environment's own limits.

    Args:
        turn_tokens: Tokens sampled in one turn; a longer turn is cut and the model is told.
        episode_tokens: Tokens sampled in the whole episode (``TOKEN_LIMIT``).
        context_tokens: Tokens of one segment, observations included (``CONTEXT_LIMIT``).
        episode_s: Wall seconds of the episode (``TIME_LIMIT``).
        generate_s: Wall seconds of one engine call; beyond it the engine has failed.
    """

    turn_tokens: int = 256
    episode_tokens: int = 4_096
    context_tokens: int = 4_096
    episode_s: float = 600.0
    generate_s: float = 300.0


@dataclass(slots=True)
class _SegmentWriter:
    """Collects the tokens of one segment."""

    token_ids: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    turn_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def observe(self, token_ids: tuple[int, ...]) -> None:
        """Add what the policy did not write: everything up to ``token_ids``' end."""
        new = token_ids[len(self.token_ids) :]
        self.token_ids += new
        self.mask += [False] * len(new)
        self.turn_ids += [-1] * len(new)
        self.logprobs += [0.0] * len(new)
        self.versions += [-1] * len(new)

    def act(self, generation: Generation, turn: int) -> tuple[int, int]:
        """Add what the policy sampled; returns its half-open span."""
        start, count = len(self.token_ids), len(generation.token_ids)
        self.token_ids += generation.token_ids
        self.mask += [True] * count
        self.turn_ids += [turn] * count
        self.logprobs += generation.logprobs
        self.versions += [generation.version] * count
        return start, start + count

    def segment(self) -> Segment:
        """The finished segment."""
        return Segment(
            np.asarray(self.token_ids, np.int32),
            np.asarray(self.mask, np.bool_),
            np.asarray(self.turn_ids, np.int32),
            np.asarray(self.logprobs, np.float32),
            np.asarray(self.versions, np.int32),
        )


@dataclass(slots=True)
class _Recording:
    """The episode so far."""

    segments: list[_SegmentWriter] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)

    def reward_sums(self) -> dict[str, float]:
        """Each reward component summed over the turns."""
        sums: dict[str, float] = {}
        for turn in self.turns:
            for name, value in (turn.result.rewards if turn.result else {}).items():
                sums[name] = sums.get(name, 0.0) + value
        return sums


async def run_episode(
    env: TextEnv,
    engine: Engine,
    renderer: Renderer,
    sampling: Sampling,
    *,
    task: Task | str | None = None,
    seed: int = 0,
    episode_id: str = "episode",
    group_id: str = "group",
    limits: RolloutLimits | None = None,
) -> Episode:
    """Play one episode to its end.

    A failure of the environment or the engine ends it with ``ENV_ERROR``: such an episode has no
    reward and must not be trained on. Every token the engine sampled is in one of the segments,
    with the log-probability it was sampled with.

    Args:
        env: Taken over for the time of the episode.
        sampling: Temperature and filters. Its seed is mixed with the episode's id and the turn;
            ``max_tokens`` and ``stop_ids`` come from ``limits`` and the renderer.
        task: A task or its key; drawn by ``seed`` when not given.

    Raises:
        UsageError, PluginError: The caller's mistake, which no refill can mend.
    """
    limits = limits or RolloutLimits()
    recording = _Recording()
    try:
        async with asyncio.timeout(limits.episode_s) as clock:
            ending = await _play(
                env, engine, renderer, sampling, task, seed, episode_id, limits, recording
            )
    except TimeoutError:
        ending = Ending.TIME_LIMIT if clock.expired() else Ending.ENV_ERROR
    except (UsageError, PluginError):
        raise
    except Exception as error:  # the one boundary between an environment's code and training
        ending = Ending.ENV_ERROR
        recording.turns.append(_error_turn(error, len(recording.turns)))
    finally:
        await engine.release(episode_id)
    return Episode(
        id=episode_id,
        group_id=group_id,
        task_key=env.task.key if env.task else "",
        seed=seed,
        turns=tuple(recording.turns),
        segments=tuple(writer.segment() for writer in recording.segments),
        rewards={} if ending.masked else recording.reward_sums(),
        ending=ending,
    )


async def _play(
    env: TextEnv,
    engine: Engine,
    renderer: Renderer,
    sampling: Sampling,
    task: Task | str | None,
    seed: int,
    episode_id: str,
    limits: RolloutLimits,
    recording: _Recording,
) -> Ending:
    result = await env.begin(seed=seed, task=task)
    prompt: Prompt | None = renderer.start(env.transcript)
    while True:
        if prompt is None or not recording.segments:
            prompt = prompt or renderer.start(env.transcript)
            recording.segments.append(_SegmentWriter())
        writer = recording.segments[-1]
        sampled_tokens = sum(sum(one.mask) for one in recording.segments)
        room = {
            Ending.CONTEXT_LIMIT: limits.context_tokens - len(prompt.token_ids),
            Ending.TOKEN_LIMIT: limits.episode_tokens - sampled_tokens,
        }
        tightest = min(room, key=lambda limit: room[limit])
        if room[tightest] <= 0:
            return tightest
        writer.observe(prompt.token_ids)
        turn = len(recording.turns)
        settings = replace(
            sampling,
            max_tokens=min(limits.turn_tokens, room[tightest]),
            stop_ids=renderer.stop_ids,
            seed=turn_seed(sampling.seed, episode_id, turn),
        )
        started = time.perf_counter()
        generation = await engine.generate(
            prompt.token_ids, settings, request_id=episode_id, timeout_s=limits.generate_s
        )
        generate_s = time.perf_counter() - started
        start, stop = writer.act(generation, turn)
        text = renderer.decode(generation.token_ids)
        action = env.action_format.parse(text, generation.finish_reason)
        anchor = _anchor(result.messages)
        pending = Turn(turn, "act", len(recording.segments) - 1, start, stop, action, None, anchor)
        recording.turns.append(pending)
        if generation.finish_reason == "length" and settings.max_tokens == room[tightest]:
            return tightest
        result = await env.advance(action)
        timed = {**result.telemetry, "generate_s": generate_s}
        recording.turns[-1] = replace(pending, result=replace(result, telemetry=timed))
        if result.ending is not None:
            return result.ending
        prompt = renderer.extend(prompt, generation.token_ids, env.transcript)


def turn_seed(seed: int, episode_id: str, turn: int) -> int:
    """The sampling seed of one turn: the same whatever else runs beside it."""
    digest = hashlib.blake2b(f"{seed}/{episode_id}/{turn}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def error_of(episode: Episode) -> str:
    """What failed in an episode that ended with ``ENV_ERROR``."""
    last = episode.turns[-1].result if episode.turns else None
    info: Mapping[str, object] = last.info if last else {}
    return str(info.get("error", "unknown"))


def _anchor(messages: tuple[Message, ...]) -> str:
    text = "\x1e".join(f"{message.role}\x1f{message.text}" for message in messages)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _error_turn(error: Exception, index: int) -> Turn:
    kind = error.kind if isinstance(error, EnvError) else type(error).__name__
    info = {"error": kind, "message": str(error)}
    result = StepResult(ending=Ending.ENV_ERROR, info=info)
    return Turn(index, "act", -1, 0, 0, Action(""), result, "")
