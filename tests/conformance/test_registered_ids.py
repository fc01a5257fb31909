"""What holds for every registered environment, whoever wrote it."""

import json
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

import agentgym
from agentgym import Ending, TextEnv

IDS = [env_id for env_id in agentgym.env_ids() if env_id.startswith("agentgym/")]


def bare(env_id: str) -> TextEnv:
    env = agentgym.make(env_id, split="test").unwrapped
    assert isinstance(env, TextEnv)
    return env


def play(env: TextEnv, act: Any, seed: int) -> list[Any]:
    """Everything that one episode showed."""
    seen: list[Any] = [env.reset(seed=seed)]
    while not seen[-1][-1].get("ending"):
        seen.append(env.step(act()))
    return seen


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_checker_passes_without_warnings(
    env_id: str, recwarn: pytest.WarningsRecorder
) -> None:
    check_env(gym.make(env_id).unwrapped)
    assert [str(warning.message) for warning in recwarn.list] == []


@pytest.mark.parametrize("env_id", IDS)
def test_same_seed_and_actions_give_the_same_episode_and_the_oracle_wins(env_id: str) -> None:
    one, two = bare(env_id), bare(env_id)
    for seed in range(5):
        episode = play(one, one.oracle, seed)
        assert episode == play(two, two.oracle, seed)
        assert episode[-1][-1]["ending"] == Ending.SOLVED
        assert json.loads(json.dumps(episode[-1][-1])) == episode[-1][-1]


@pytest.mark.parametrize("env_id", IDS)
def test_doing_nothing_scores_zero(env_id: str) -> None:
    env = bare(env_id)
    for seed in range(5):
        assert sum(step[1] for step in play(env, lambda: "", seed)[1:]) == 0.0


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_it_works_in_gymnasiums_vector_environments(env_id: str, mode: str) -> None:
    envs = gym.make_vec(env_id, num_envs=2, vectorization_mode=mode)
    single = gym.make(env_id)
    try:
        observations, infos = envs.reset(seed=7)
        assert [observations[0], observations[1]] == [single.reset(seed=s)[0] for s in (7, 8)]
        observations, rewards, terminated, truncated, infos = envs.step(["", "an answer"])
        assert terminated.tolist() == [True, True]
        assert not truncated.any()
        assert rewards.tolist() == [0.0, 0.0]
        assert infos["rewards"]["total"].tolist() == [0.0, 0.0]
    finally:
        envs.close()


@pytest.mark.parametrize("env_id", IDS)
def test_it_runs_inside_gymnasiums_wrappers(env_id: str) -> None:
    env = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TimeLimit(gym.make(env_id), 3))
    env.reset(seed=1)
    *_, info = env.step("an answer")
    assert info["episode"]["l"] == 1
