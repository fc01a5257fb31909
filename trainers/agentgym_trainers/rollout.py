"""One episode: the environment and the engine take turns until something ends."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
    StepResult,
    Task,
    TextEnv,
    Turn,
    UsageError,
)
from agentgym.episode import TurnKind, reward_sums
from agentgym_trainers.context import (
    ContextManager,
    ContextSettings,
    Request,
    make_context,
    require_told,
)
from agentgym_trainers.limits import RolloutLimits
from agentgym_trainers.renderer import Prompt, Renderer
from agentgym_trainers.segment_writer import SegmentWriter
from agentgym_trainers.timeline import Timeline

__all__ = ["RolloutLimits", "error_of", "run_episode", "turn_seed"]


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
    context: ContextManager | None = None,
    timeline: Timeline | None = None,
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
        context: What happens when the context is full; by default the episode ends. Made for this
            episode alone, with the same ``limits``; closed at its end.
        timeline: Told when the engine and the environment work.

    Raises:
        UsageError, PluginError: The caller's mistake, which no refill can mend.
    """
    limits = limits or RolloutLimits()
    context = context or make_context(ContextSettings(), limits)
    require_told(context, renderer)
    timeline = timeline or Timeline()
    player = _Player(env, engine, renderer, sampling, limits, context, episode_id, timeline)
    try:
        async with asyncio.timeout(limits.episode_s) as clock:
            ending = await player.play(task, seed)
    except TimeoutError as error:
        ending = Ending.TIME_LIMIT
        if not clock.expired():
            ending = Ending.ENV_ERROR
            player.turns.append(_error_turn(error, len(player.turns)))
    except (UsageError, PluginError):
        raise
    except Exception as error:  # the one boundary between an environment's code and training
        ending = Ending.ENV_ERROR
        player.turns.append(_error_turn(error, len(player.turns)))
    finally:
        context.close()
        await engine.release(episode_id)
    return Episode(
        id=episode_id,
        group_id=group_id,
        task_key=env.task.key if env.task else "",
        seed=seed,
        turns=tuple(player.turns),
        segments=tuple(writer.segment() for writer in player.segments),
        rewards={} if ending.masked else reward_sums(player.turns),
        ending=ending,
        task=env.task,
        opening=player.opening,
        decisions=tuple(context.decisions),
        telemetry=player.telemetry,
    )


@dataclass(slots=True)
class _Player:
    """Plays one episode, writing down every token as it goes."""

    env: TextEnv
    engine: Engine
    renderer: Renderer
    sampling: Sampling
    limits: RolloutLimits
    context: ContextManager
    episode_id: str
    timeline: Timeline
    segments: list[SegmentWriter] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    opening: StepResult | None = None
    prefilled: list[int] = field(default_factory=list)

    async def play(self, task: Task | str | None, seed: int) -> Ending:
        """Take turns until something ends."""
        with self.timeline.span("environments", "reset", lane=self.episode_id):
            self.opening = await self.env.begin(seed=seed, task=task)
        self.context.open(self.env, self.renderer, self.opening.messages)
        while True:
            request = self.context.next()
            if isinstance(request, Ending):
                return request
            if request.fresh:
                self.segments.append(SegmentWriter())
            tightest, room = self._room(request.prompt)
            if room <= 0:
                return tightest
            self.segments[-1].observe(request.prompt.token_ids)
            max_tokens = min(request.max_tokens, room)
            generation, generate_s = await self._generate(request.prompt, max_tokens)
            kind, action = self._record(generation, request)
            if action.finish_reason == "length" and max_tokens == room:
                return tightest
            result = await self._ask(kind, action)
            timed = {**result.telemetry, "generate_s": generate_s}
            self.turns[-1] = replace(self.turns[-1], result=replace(result, telemetry=timed))
            if result.ending is not None:
                return result.ending
            self.context.hear(self.turns[-1], generation.token_ids)

    @property
    def telemetry(self) -> dict[str, float]:
        """What the engine said of its work, if it did."""
        return {"prefill_tokens": float(sum(self.prefilled))} if self.prefilled else {}

    def _room(self, prompt: Prompt) -> tuple[Ending, int]:
        """The limit that the next turn would reach first, and the tokens left to it."""
        sampled = sum(sum(writer.mask) for writer in self.segments)
        context = self.limits.context_tokens - len(prompt.token_ids)
        episode = self.limits.episode_tokens - sampled
        if context <= episode:
            return Ending.CONTEXT_LIMIT, context
        return Ending.TOKEN_LIMIT, episode

    async def _generate(self, prompt: Prompt, max_tokens: int) -> tuple[Generation, float]:
        sampling = replace(
            self.sampling,
            max_tokens=max_tokens,
            stop_ids=self.renderer.stop_ids,
            seed=turn_seed(self.sampling.seed, self.episode_id, len(self.turns)),
        )
        started = time.perf_counter()
        with self.timeline.span("engine", "generate", lane=self.episode_id):
            generation = await self.engine.generate(
                prompt.token_ids,
                sampling,
                request_id=self.episode_id,
                timeout_s=self.limits.generate_s,
            )
        if generation.finish_reason == "abort":
            raise EnvError("engine_aborted", "the engine gave the call up")
        if generation.prefilled_tokens is not None:
            self.prefilled.append(generation.prefilled_tokens)
        return generation, time.perf_counter() - started

    async def _ask(self, kind: TurnKind, action: Action) -> StepResult:
        """The answer of whom the turn was meant for."""
        if kind != "act":
            return await self.context.answer(action)
        with self.timeline.span("environments", "step", lane=self.episode_id):
            return await self.env.advance(action)

    def _record(self, generation: Generation, request: Request) -> tuple[TurnKind, Action]:
        """Write the turn down before anybody answers it, so that no sampled token is lost."""
        index = len(self.turns)
        start, stop = self.segments[-1].act(generation, index)
        text = self.renderer.decode(generation.token_ids)
        kind, action = self.context.read(text, generation.finish_reason)
        segment, anchor = len(self.segments) - 1, _anchor(request.answers)
        self.turns.append(Turn(index, kind, segment, start, stop, action, None, anchor))
        return kind, action


def turn_seed(seed: int, episode_id: str, turn: int) -> int:
    """The sampling seed of one turn: the same whatever else runs beside it."""
    digest = hashlib.blake2b(f"{seed}/{episode_id}/{turn}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def error_of(episode: Episode) -> str:
    """What failed in an episode that ended with ``ENV_ERROR``."""
    last = episode.turns[-1].result if episode.turns else None
    info: Mapping[str, object] = last.info if last else {}
    return str(info.get("error", "unknown"))


def _anchor(messages: tuple[Message, ...] | None) -> str:
    if messages is None:  # an empty anchor is like no other
        return ""
    text = "\x1e".join(f"{message.role}\x1f{message.text}" for message in messages)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _error_turn(error: Exception, index: int) -> Turn:
    kind = error.kind if isinstance(error, EnvError) else type(error).__name__
    info = {"error": kind, "message": str(error)}
    result = StepResult(ending=Ending.ENV_ERROR, info=info)
    return Turn(index, "act", -1, 0, 0, Action(""), result, "")
