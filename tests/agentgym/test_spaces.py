"""The Unicode space, also through Gymnasium's vector environments."""

import gymnasium as gym
import pytest
from counting_env import CountingEnv

from agentgym.spaces import Unicode


def test_it_contains_strings_up_to_its_length() -> None:
    space = Unicode(4)
    assert "äb🙂d" in space
    assert "" in space
    assert "abcde" not in space
    assert 3 not in space


def test_samples_lie_inside_and_follow_the_seed() -> None:
    assert [Unicode(10, seed=1).sample() for _ in range(3)] == [
        Unicode(10, seed=1).sample() for _ in range(3)
    ]
    space = Unicode(3, seed=0)
    assert all(space.sample() in space for _ in range(100))


class Echo(CountingEnv):
    """Answers with the action."""

    async def astep(self, action):  # type: ignore[no-untyped-def]  # as in the base class
        from agentgym import Message, StepResult

        return StepResult((Message("user", action.text),))


@pytest.mark.parametrize("vector", [gym.vector.SyncVectorEnv, gym.vector.AsyncVectorEnv])
def test_any_text_survives_gymnasiums_vector_envs(vector) -> None:  # type: ignore[no-untyped-def]
    envs = vector([lambda: Echo(split="all", limits={"turns": 50}) for _ in range(2)])
    try:
        envs.reset(seed=[1, 2])
        texts = ["日本語 🙂\x00z", "x" * 199_999]
        observations, *_ = envs.step(texts)
        assert list(observations) == [text.strip() for text in texts]
        observations, *_ = envs.step(["", "é"])
        assert list(observations) == ["", "é"]
    finally:
        envs.close()
