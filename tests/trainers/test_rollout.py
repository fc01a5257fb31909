"""run_episode: every ending, every token, and failures that never become a reward."""

import asyncio

import numpy as np
import pytest
from counting_env import CountingEnv
from small_models import tokenizer_like

from agentgym import Ending, EnvError, Episode, Message, Sampling, StepResult, UsageError
from agentgym.formats import get_format
from agentgym_trainers.engines.scripted import ScriptedEngine
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.rollout import RolloutLimits, error_of, run_episode
from agentgym_trainers.scratch import new_tokenizer

CALL = '<tool_call>\n{"name": "peek", "arguments": {}}\n</tool_call>'
TOKENIZER = new_tokenizer()


async def play(env, reply, *, tokenizer=TOKENIZER, **options) -> Episode:  # type: ignore[no-untyped-def]
    renderer = Renderer(tokenizer, env.tools(), get_format("hermes"))
    engine = ScriptedEngine(tokenizer, reply)
    return await run_episode(env, engine, renderer, Sampling(), seed=1, **options)


def replies(*texts: str):  # type: ignore[no-untyped-def]
    left = list(texts)
    return lambda prompt: left.pop(0)


async def test_an_episode_records_what_was_sampled_and_what_was_seen() -> None:
    env = CountingEnv(split="all")
    texts = [CALL, "42"]
    episode = await play(env, replies(*texts), episode_id="e", group_id="g")
    assert env.task is not None
    assert (episode.id, episode.group_id, episode.task_key) == ("e", "g", env.task.key)
    assert episode.ending in (Ending.SOLVED, Ending.FAILED)
    (segment,) = episode.segments
    for turn, text in zip(episode.turns, texts, strict=True):
        span = slice(turn.start, turn.stop)
        assert segment.mask[span].all()
        assert (segment.turn_ids[span] == turn.index).all()
        assert TOKENIZER.decode(segment.token_ids[span]) == text + "<|im_end|>"
    outside = ~segment.mask
    assert (segment.turn_ids[outside] == -1).all()
    assert (
        segment.mask.sum() == episode.sampled_tokens == sum(t.stop - t.start for t in episode.turns)
    )
    assert not segment.mask[0]
    assert episode.rewards["total"] == sum(t.result.reward for t in episode.turns if t.result)


async def test_solving_gives_the_reward() -> None:
    env = CountingEnv(split="all")
    episode = await play(env, lambda prompt: env.oracle())
    assert (episode.ending, episode.reward) == (Ending.SOLVED, 1.5)


@pytest.mark.parametrize(
    ("env_options", "limits", "reply", "ending"),
    [
        ({}, {}, "wrong", Ending.FAILED),
        ({"limits": {"turns": 2}}, {}, CALL, Ending.TURN_LIMIT),
        ({"limits": {"invalid_actions": 2}}, {}, "<tool_call>{", Ending.INVALID_ACTIONS),
        ({}, {"episode_tokens": 100}, CALL, Ending.TOKEN_LIMIT),
        ({}, {"episode_tokens": 100}, CALL * 5, Ending.TOKEN_LIMIT),
        ({}, {"context_tokens": 1000}, CALL, Ending.CONTEXT_LIMIT),
        ({}, {"context_tokens": 10}, CALL, Ending.CONTEXT_LIMIT),
        ({"fail": "reset"}, {}, CALL, Ending.ENV_ERROR),
        ({"fail": "step"}, {}, CALL, Ending.ENV_ERROR),
        ({"fail": "bug"}, {}, CALL, Ending.ENV_ERROR),
        ({"fail": "hang", "limits": {"step_s": 0.05}}, {}, CALL, Ending.ENV_ERROR),
        ({"fail": "hang"}, {"episode_s": 0.05}, CALL, Ending.TIME_LIMIT),
    ],
)
async def test_every_cause_has_its_own_ending(env_options, limits, reply, ending) -> None:  # type: ignore[no-untyped-def]
    env = CountingEnv(split="all", **{"limits": {"turns": 50}, **env_options})
    episode = await play(env, lambda prompt: reply, limits=RolloutLimits(**limits))
    assert episode.ending is ending
    if "context_tokens" in limits:
        assert all(len(segment) <= limits["context_tokens"] for segment in episode.segments)
    if "episode_tokens" in limits:
        assert episode.sampled_tokens <= limits["episode_tokens"]


@pytest.mark.parametrize(("fail", "error"), [("reset", "no_server"), ("bug", "ZeroDivisionError")])
async def test_a_failed_environment_never_becomes_a_zero_reward(fail: str, error: str) -> None:
    episode = await play(CountingEnv(split="all", fail=fail), lambda prompt: "1")
    assert episode.ending.masked
    assert episode.rewards == {}
    assert error_of(episode) == error


async def test_a_failing_engine_masks_the_episode() -> None:
    def broken(prompt: str) -> str:
        raise EnvError("engine_failed")

    episode = await play(CountingEnv(split="all"), broken)
    assert episode.ending is Ending.ENV_ERROR
    assert error_of(episode) == "engine_failed"


async def test_the_callers_mistakes_are_not_masked() -> None:
    with pytest.raises(UsageError, match="no task with key"):
        await play(CountingEnv(split="all"), lambda prompt: "1", task="no such key")


async def test_a_long_turn_is_cut_and_the_episode_goes_on() -> None:
    env = CountingEnv(split="all")
    texts = replies("blah " * 100, "7")
    episode = await play(env, texts, limits=RolloutLimits(turn_tokens=60))
    first = episode.turns[0]
    assert first.action.finish_reason == "length"
    assert first.result is not None
    assert "cut off" in first.result.messages[0].text
    assert first.result.rewards["invalid_action"] == 0.0
    assert len(episode.turns) == 2


class Chatty(CountingEnv):
    """Answers with user messages, so that templates strip earlier reasoning."""

    async def astep(self, action):  # type: ignore[no-untyped-def]  # as in the base class
        if "done" in action.text:
            return await super().astep(action)
        return StepResult((Message("user", "And?"),))


async def test_a_template_that_rewrites_history_forks_segments_and_loses_no_token() -> None:
    env = Chatty(split="all")
    said = ["<think>a</think>one", "<think>b</think>two", "done"]
    episode = await play(env, replies(*said), tokenizer=tokenizer_like("qwen3"))
    assert len(episode.segments) == 3
    tokenizer = tokenizer_like("qwen3")
    sampled = [tokenizer.decode(s.token_ids[s.mask]) for s in episode.segments]
    assert sampled == [text + "<|im_end|>" for text in said]
    assert [turn.segment for turn in episode.turns] == [0, 1, 2]


async def test_hundreds_of_episodes_run_at_once_in_one_process() -> None:
    waiting = 0
    everyone = asyncio.Event()

    async def together(prompt: str) -> str:
        nonlocal waiting
        waiting += 1
        if waiting == 300:
            everyone.set()
        await everyone.wait()  # nobody answers before all have asked
        return "1"

    episodes = await asyncio.gather(*(play(CountingEnv(split="all"), together) for _ in range(300)))
    assert len(episodes) == 300


async def test_cancelling_an_episode_releases_the_engine_and_is_not_swallowed() -> None:
    released = []

    class Recording(ScriptedEngine):
        async def release(self, request_id: str) -> None:
            released.append(request_id)

    async def forever(prompt: str) -> str:
        await asyncio.Event().wait()
        return ""

    env = CountingEnv(split="all")
    renderer = Renderer(TOKENIZER, env.tools(), get_format("hermes"))
    running = asyncio.create_task(
        run_episode(env, Recording(TOKENIZER, forever), renderer, Sampling(), episode_id="x")
    )
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert released == ["x"]


async def test_the_anchor_is_the_observation_that_the_turn_answered() -> None:
    same = [await play(CountingEnv(split="all"), replies(CALL, "1")) for _ in range(2)]
    assert [t.anchor for t in same[0].turns] == [t.anchor for t in same[1].turns]
    assert same[0].turns[0].anchor != same[0].turns[1].anchor
    assert np.array_equal(same[0].segments[0].token_ids, same[1].segments[0].token_ids)
