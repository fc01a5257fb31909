"""Play held-out tasks with the environment's own oracle, by nothing but Gymnasium's interface."""

import gymnasium as gym

import agentgym


def main(episodes: int = 20) -> float:
    """The oracle's mean reward."""
    env = gym.make("agentgym/Search-v0", split="test")
    oracle = env.unwrapped
    assert isinstance(oracle, agentgym.TextEnv)
    total = 0.0
    for seed in range(episodes):
        env.reset(seed=seed)
        over = False
        while not over:
            _, reward, terminated, truncated, _ = env.step(oracle.oracle())
            total += float(reward)
            over = terminated or truncated
    env.close()
    return total / episodes


if __name__ == "__main__":
    print(f"the oracle's mean reward: {main():.2f}")
