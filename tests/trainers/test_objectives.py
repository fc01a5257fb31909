"""Advantages and losses: the numbers of the specification, and the traps others fell into."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentgym import UnknownName
from agentgym_trainers.advantages import group_advantage, spread_episodes
from agentgym_trainers.losses import aggregate, policy_loss

RETURNS = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
ONE_GROUP = torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 0.866024), ({"baseline": "loo", "scale": "none"}, 0.666667), ({"scale": "none"}, 0.5)],
)
def test_advantages_are_those_of_the_papers(options: dict[str, str], expected: float) -> None:
    advantages = group_advantage(RETURNS, ONE_GROUP, **options)  # type: ignore[arg-type]
    assert advantages.tolist() == pytest.approx(
        [expected, -expected, -expected, expected], abs=1e-6
    )


@pytest.mark.parametrize(
    ("baseline", "scale"), list(itertools.product(("mean", "loo"), ("std", "none", "batch")))
)
def test_lone_and_constant_groups_get_exactly_zero(baseline: str, scale: str) -> None:
    returns = torch.tensor([3.0, 0.7, 0.7, 0.7], dtype=torch.float64)
    groups = torch.tensor([0, 1, 1, 1])
    assert group_advantage(returns, groups, baseline=baseline, scale=scale).tolist() == [0.0] * 4


def test_invalid_episodes_move_nothing() -> None:
    valid = torch.tensor([True, True, False, True])
    returns = RETURNS.clone()
    returns[2] = torch.nan
    advantages = group_advantage(returns, ONE_GROUP, valid_N=valid)
    assert advantages[2] == 0.0
    alone = group_advantage(RETURNS[valid], ONE_GROUP[valid])
    assert torch.equal(advantages[valid], alone)


def test_unknown_choices_name_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'mean'"):
        group_advantage(RETURNS, ONE_GROUP, baseline="maen")
    with pytest.raises(UnknownName, match="did you mean 'ppo'"):
        policy_loss("pop", NEW, OLD, ADVANTAGES, MASK)
    with pytest.raises(UnknownName, match="did you mean 'token'"):
        aggregate(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), "tokens", denom=1)


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 3)), min_size=1, max_size=20))
def test_advantages_match_a_loop(pairs: list[tuple[float, int]]) -> None:
    returns = torch.tensor([value for value, _ in pairs], dtype=torch.float64)
    groups = torch.tensor([group for _, group in pairs])
    advantages = group_advantage(returns, groups)
    for (value, group), advantage in zip(pairs, advantages.tolist(), strict=True):
        members = [other for other, which in pairs if which == group]
        mean = sum(members) / len(members)
        if len(members) < 2 or len(set(members)) == 1:
            assert advantage == 0.0
            continue
        std = (sum((m - mean) ** 2 for m in members) / (len(members) - 1)) ** 0.5
        assert advantage == pytest.approx((value - mean) / (std + 1e-6), rel=1e-6, abs=1e-9)


def test_an_episode_of_three_segments_counts_once_and_all_its_segments_are_credited() -> None:
    row_to_episode = torch.tensor([0, 0, 0, 1])
    mask = torch.tensor([[1, 0], [1, 1], [0, 1], [1, 1]]).bool()
    spread = spread_episodes(torch.tensor([2.0, -1.0]), row_to_episode, mask)
    assert spread.tolist() == [[2, 0], [2, 2], [0, 2], [-1, -1]]


OLD = torch.tensor([[-1.0, -1, -1], [-2, -2, -2]], dtype=torch.float64)
NEW = torch.tensor([[-0.7, -1.4, -1], [-1, -2, -9]], dtype=torch.float64)
ADVANTAGES = torch.tensor([[1.0, 1, 1], [-0.5, -0.5, -0.5]], dtype=torch.float64)
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()


def ppo(new: torch.Tensor = NEW) -> torch.Tensor:
    return policy_loss(
        "ppo", new, OLD, ADVANTAGES, MASK, clip_low=0.2, clip_high=0.28, dual_clip=3.0
    )


def test_the_clipped_loss_is_the_specifications() -> None:
    expected = [[-1.28, -0.67032, -1.0], [1.359141, 0.5, 0.0]]
    assert torch.allclose(ppo(), torch.tensor(expected, dtype=torch.float64), atol=1e-6)
    assert float(aggregate(ppo(), MASK, "token", denom=5)) == pytest.approx(-0.218236, abs=1e-6)
    assert float(aggregate(ppo(), MASK, "sequence", denom=2)) == pytest.approx(-0.026935, abs=1e-6)


def test_infinities_under_a_false_mask_reach_neither_loss_nor_gradient() -> None:
    new = NEW.clone()
    new[1, 2] = -torch.inf
    new.requires_grad_()
    aggregate(ppo(new), MASK, "token", denom=5).backward()
    assert new.grad is not None
    assert torch.isfinite(new.grad).all()
    assert new.grad[1, 2] == 0


def test_a_huge_ratio_stays_finite() -> None:
    new = torch.full((1, 1), 500.0, requires_grad=True)
    mask = torch.ones(1, 1).bool()
    loss = policy_loss("ppo", new, torch.zeros(1, 1), -torch.ones(1, 1), mask).sum()
    loss.backward()
    assert torch.isfinite(loss)


def test_reinforce_is_the_plain_policy_gradient() -> None:
    loss = policy_loss("reinforce", NEW, OLD, ADVANTAGES, MASK)
    assert torch.equal(loss, torch.where(MASK, -ADVANTAGES * NEW, 0.0))


@pytest.mark.parametrize("mode", ["token", "sequence", "sequence_sum", "episode"])
def test_shares_of_micro_batches_add_up(mode: str) -> None:
    episodes = torch.tensor([0, 1])
    whole = aggregate(ppo(), MASK, mode, denom=7, row_to_episode=episodes)
    parts = [
        aggregate(ppo()[row], MASK[row], mode, denom=7, row_to_episode=episodes[row])
        for row in (slice(0, 1), slice(1, 2))
    ]
    assert float(sum(parts)) == pytest.approx(float(whole), abs=1e-12)


def test_an_empty_micro_batch_is_zero_and_still_differentiable() -> None:
    new = NEW.clone().requires_grad_()
    nothing = torch.zeros_like(MASK)
    loss = aggregate(policy_loss("ppo", new, OLD, ADVANTAGES, nothing), nothing, "token", denom=5)
    loss.backward()
    assert float(loss) == 0.0
    assert new.grad is not None
    assert not new.grad.any()


def test_the_weight_multiplies_and_is_not_differentiated() -> None:
    weight = torch.full_like(NEW, 0.5).requires_grad_()
    new = NEW.clone().requires_grad_()
    options = {"clip_low": 0.2, "clip_high": 0.28, "dual_clip": 3.0, "weight_BT": weight}
    loss = policy_loss("ppo", new, OLD, ADVANTAGES, MASK, **options)  # type: ignore[arg-type]
    assert torch.allclose(loss, 0.5 * ppo())
    loss.sum().backward()
    assert weight.grad is None
