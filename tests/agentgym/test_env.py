"""TextEnv: the Gymnasium contract, limits, seeds, failures."""

import asyncio
import multiprocessing
import os
from typing import Any

import gymnasium as gym
import pytest
from counting_env import CountingEnv
from gymnasium.error import ResetNeeded

from agentgym import Action, Ending, EnvError, UnknownName, UsageError
from agentgym.loop import run_sync

CALL = '<tool_call>\n{"name": "peek", "arguments": {}}\n</tool_call>'
BAD_CALL = "<tool_call>{oops</tool_call>"


def test_an_episode_by_the_gymnasium_interface() -> None:
    env = CountingEnv(split="all")
    observation, info = env.reset(seed=3)
    assert "peek" in observation
    assert "Say" in observation
    assert info["turn"] == 0
    number, reward, terminated, truncated, info = env.step(CALL)
    assert (reward, terminated, truncated) == (0.0, False, False)
    _, reward, terminated, truncated, info = env.step(number)
    assert (reward, terminated, truncated) == (1.5, True, False)
    assert info["ending"] == "solved"
    assert info["rewards"] == {"success": 1.0, "bonus": 1.0, "invalid_action": 0.0, "total": 1.5}


def test_the_same_seed_gives_the_same_episode() -> None:
    first, second = CountingEnv(split="all"), CountingEnv(split="all")
    assert first.reset(seed=5) == second.reset(seed=5)
    assert first.reset() == second.reset()
    assert first.reset(seed=5) != first.reset(seed=6)


def test_naming_the_task_changes_no_random_draw() -> None:
    env = CountingEnv(split="all")
    drawn = env.reset(seed=5)
    assert env.task is not None
    assert env.reset(seed=5, options={"task": env.task.key}) == drawn


def test_stepping_before_reset_or_after_the_end_is_an_error() -> None:
    env = CountingEnv(split="all")
    with pytest.raises(ResetNeeded):
        env.step("1")
    env.reset(seed=0)
    env.step("wrong")
    with pytest.raises(ResetNeeded):
        env.step("1")


def test_the_turn_limit_truncates() -> None:
    env = CountingEnv(split="all", limits={"turns": 2})
    env.reset(seed=0)
    assert env.step(CALL)[2:4] == (False, False)
    assert env.step(CALL)[2:4] == (False, True)


def test_bad_calls_are_observations_then_a_penalised_ending() -> None:
    env = CountingEnv(split="all", limits={"invalid_actions": 2, "invalid_penalty": 0.25})
    env.reset(seed=0)
    observation, reward, terminated, _, info = env.step(BAD_CALL)
    assert "not valid JSON" in observation
    assert (reward, terminated) == (-0.25, False)
    assert info["tool_errors"] == ["invalid_json"]
    _, reward, terminated, _, info = env.step(BAD_CALL)
    assert (reward, terminated, info["ending"]) == (-0.25, True, "invalid_actions")


async def test_a_cut_message_is_capacity_and_not_a_mistake() -> None:
    env = CountingEnv(split="all", limits={"invalid_actions": 1})
    await env.begin(seed=0)
    cut = env.action_format.parse("<tool_call>{", "length")
    result = await env.advance(cut)
    assert result.ending is None
    assert "cut off" in result.messages[0].text
    assert result.rewards["invalid_action"] == 0.0


@pytest.mark.parametrize("fail", ["reset", "step"])
def test_a_failing_environment_raises_and_gives_no_reward(fail: str) -> None:
    env = CountingEnv(split="all", fail=fail)
    with pytest.raises(EnvError):
        env.reset(seed=0) and env.step("1")
    with pytest.raises(ResetNeeded):
        env.step("1")


def test_a_hanging_step_is_an_environment_error() -> None:
    env = CountingEnv(split="all", fail="hang", limits={"step_s": 0.05})
    env.reset(seed=0)
    with pytest.raises(EnvError, match="env_timeout") as caught:
        env.step("1")
    assert caught.value.retryable


async def test_the_facade_refuses_to_deadlock_its_own_loop() -> None:
    async def inside() -> None:
        CountingEnv(split="all").reset(seed=0)

    with pytest.raises(RuntimeError, match="deadlock"):
        await asyncio.to_thread(run_sync, inside())


def _reset_in_child(queue) -> None:  # type: ignore[no-untyped-def]  # a multiprocessing queue
    queue.put((os.getpid(), CountingEnv(split="all").reset(seed=1)[0]))


def test_the_facade_works_in_a_forked_child() -> None:
    here = CountingEnv(split="all").reset(seed=1)[0]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_reset_in_child, args=(queue,))
    child.start()
    pid, there = queue.get(timeout=20)
    child.join(timeout=20)
    assert pid != os.getpid()
    assert there == here


def test_constructors_have_no_side_effects() -> None:
    env = CountingEnv(split="all")
    assert env._tasks is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "trian"}, "did you mean 'train'"),
        ({"action_format": "hermse"}, "did you mean 'hermes'"),
        ({"limits": {"turn": 3}}, "did you mean 'turns'"),
        ({"render_mode": "human"}, "ansi"),
    ],
)
def test_wrong_options_name_the_right_ones(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        CountingEnv(**options).reset(seed=0)


def test_an_unknown_reset_option_or_task_is_refused() -> None:
    env = CountingEnv(split="all")
    with pytest.raises(UnknownName, match="did you mean 'task'"):
        env.reset(options={"tsak": "x"})
    with pytest.raises(UsageError, match="no task with key"):
        env.reset(options={"task": "x"})


async def test_an_action_can_be_given_parsed() -> None:
    env = CountingEnv(split="all")
    await env.begin(seed=0)
    assert (await env.advance(Action(env.oracle()))).ending is Ending.SOLVED


def test_render_shows_the_transcript_and_close_may_be_called_twice() -> None:
    env = CountingEnv(split="all", render_mode="ansi")
    env.reset(seed=0)
    env.step("7")
    assert "[assistant] 7" in str(env.render())
    env.close()
    env.close()
    assert env.closed == 2


def test_it_is_a_gymnasium_env() -> None:
    assert isinstance(CountingEnv(), gym.Env)
