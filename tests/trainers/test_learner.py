"""The optimiser step: nothing about how a batch is cut changes the update."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from small_models import small_policy

from agentgym import Ending, Episode, Segment, Task
from agentgym_trainers import forward
from agentgym_trainers.collector import Group
from agentgym_trainers.config import TrainConfig
from agentgym_trainers.grpo import Batch, grpo_loss, make_batch
from agentgym_trainers.learner import BatchLoss, DivergedError, Learner, OptimizerSettings
from agentgym_trainers.rows import Rows, make_rows, micro_batches

SETTINGS = OptimizerSettings(learning_rate=1e-2)
TASK = Task.create("t/T-v0", "?", {})


def some_segment(rng: np.random.Generator, length: int) -> Segment:
    ids = rng.integers(5, 250, length).astype(np.int32)
    ids[:20] = np.arange(20) + 5
    mask = rng.random(length) < 0.4
    mask[:21] = False
    mask[21] = True
    logprobs = np.where(mask, -5 + rng.random(length), 0).astype(np.float32)
    turns = np.where(mask, 0, -1).astype(np.int32)
    return Segment(ids, mask, turns, logprobs, turns)


def some_groups(seed: int = 0) -> list[Group]:
    rng = np.random.default_rng(seed)
    groups = []
    for number in range(3):
        episodes = []
        for member in range(4):
            lengths = rng.integers(25, 60, size=1 + member % 3)
            segments = tuple(some_segment(rng, int(length)) for length in lengths)
            reward = float(member % 2) if number else 1.0
            episodes.append(
                Episode(
                    f"{number}.{member}",
                    str(number),
                    "k",
                    0,
                    (),
                    segments,
                    {"total": reward},
                    Ending.SOLVED,
                )
            )
        groups.append(Group(str(number), TASK, tuple(episodes), ()))
    return groups


def gradient(
    batch: Batch, config: TrainConfig, micro_batch_tokens: int
) -> tuple[float, torch.Tensor]:
    policy = small_policy(dtype=torch.float64)
    learner = Learner(policy.model, SETTINGS, micro_batch_tokens=micro_batch_tokens)
    loss, _ = learner.gradients(batch.rows, grpo_loss(batch, config), temperature=0.7)
    parts = [p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]
    return loss, torch.cat(parts)


def shuffled(batch: Batch) -> Batch:
    order = torch.randperm(len(batch.rows), generator=torch.Generator().manual_seed(1))
    return dataclasses.replace(
        batch, rows=batch.rows.take(order), advantages_ST=batch.advantages_ST[order]
    )


def padded(batch: Batch, extra: int = 13) -> Batch:
    rows = batch.rows
    wider = {
        field.name: torch.nn.functional.pad(
            value, (0, extra), value=7 if field.name == "token_ids_ST" else 0
        )
        for field in dataclasses.fields(rows)
        if (value := getattr(rows, field.name)).dim() == 2
    }
    advantages = torch.nn.functional.pad(batch.advantages_ST, (0, extra))
    return dataclasses.replace(
        batch, rows=dataclasses.replace(rows, **wider), advantages_ST=advantages
    )


@pytest.mark.parametrize("aggregation", ["token", "sequence", "episode"])
def test_micro_batches_row_order_and_padding_change_neither_loss_nor_gradient(
    aggregation: Any,
) -> None:
    config = TrainConfig(aggregation=aggregation)
    batch = make_batch(some_groups(), config)
    loss, reference = gradient(batch, config, 10**6)
    assert reference.abs().max() > 1e-4
    for other, size in [
        (batch, 1),
        (batch, 100),
        (batch, 250),
        (shuffled(batch), 250),
        (padded(batch), 250),
    ]:
        other_loss, other_gradient = gradient(other, config, size)
        assert other_loss == pytest.approx(loss, abs=1e-6)
        assert torch.allclose(other_gradient, reference, atol=1e-6, rtol=1e-6)


def test_sharing_the_common_prefix_changes_nothing() -> None:
    config = TrainConfig()
    batch = make_batch(some_groups(), config)
    assert forward.shared_prefix(batch.rows) == 20
    assert forward.shared_prefix(batch.rows.take(torch.tensor([0]))) == 0
    _, sharing = gradient(batch, config, 10**6)
    _, one_row_at_a_time = gradient(batch, config, 1)
    assert torch.allclose(sharing, one_row_at_a_time, atol=1e-7)  # norms compute in float32


def test_chunked_logits_change_nothing() -> None:
    policy = small_policy(dtype=torch.float64)
    rows = make_rows([episode for group in some_groups() for episode in group.episodes])
    head = policy.model.get_output_embeddings()
    hidden = torch.randn(200, 32, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 250, (200,))
    whole, _ = forward._score_hidden(head, hidden, targets, 0.7)
    (reference,) = torch.autograd.grad(whole.sum(), hidden)
    parts = torch.cat(
        [
            forward._score_hidden(head, hidden[n : n + 1], targets[n : n + 1], 0.7)[0]
            for n in range(200)
        ]
    )
    (again,) = torch.autograd.grad(parts.sum(), hidden)
    assert torch.allclose(whole, parts)
    assert torch.allclose(reference, again)
    assert rows.sampled_tokens > 0


def test_groups_without_a_gradient_are_left_out_and_counted() -> None:
    groups = some_groups()
    lonely = Group("x", TASK, groups[1].episodes[:1], groups[1].episodes[1:])
    batch = make_batch([*groups, lonely], TrainConfig())
    assert (batch.constant_groups, batch.short_groups) == (1, 1)
    assert {episode.group_id for episode in batch.episodes} == {"1", "2"}


def test_failed_episodes_move_no_survivors_advantage() -> None:
    groups = some_groups()
    failed = dataclasses.replace(groups[1].episodes[0], ending=Ending.ENV_ERROR, rewards={})
    with_failure = dataclasses.replace(groups[1], failed=(failed,))
    before, after = (make_batch([group], TrainConfig()) for group in (groups[1], with_failure))
    assert torch.equal(before.advantages_ST, after.advantages_ST)


def test_mini_batches_hold_whole_episodes_and_all_of_them() -> None:
    batch = make_batch(some_groups(), TrainConfig())
    parts = batch.split(3, seed=5)
    episodes = [set(part.rows.episode_S.tolist()) for part in parts]
    assert sum(map(len, episodes)) == len(set.union(*episodes)) == len(batch.episodes)
    assert sum(part.rows.sampled_tokens for part in parts) == batch.rows.sampled_tokens
    for part in parts:
        assert part.advantages_ST.shape == part.rows.mask_ST.shape


def test_a_loss_that_is_not_a_number_leaves_the_weights_alone() -> None:
    policy = small_policy()
    batch = make_batch(some_groups(), TrainConfig())
    learner = Learner(policy.model, SETTINGS, micro_batch_tokens=1000)
    before = [parameter.clone() for parameter in policy.model.parameters()]

    def broken(scores: forward.TokenScores, rows: Rows, numbers: torch.Tensor) -> BatchLoss:
        return BatchLoss(scores.logp_BT.sum() * torch.nan, {})

    with pytest.raises(DivergedError, match="optimiser step 1: loss nan"):
        learner.update(batch.rows, broken, temperature=1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))


def test_a_step_raises_the_probability_of_what_was_better() -> None:
    policy = small_policy()
    batch = make_batch(some_groups(), TrainConfig())
    learner = Learner(policy.model, SETTINGS, micro_batch_tokens=1000)

    def preference() -> float:
        with torch.no_grad():
            logp = forward.score(policy.model, batch.rows, temperature=1.0).logp_BT
        return float((logp * batch.advantages_ST).sum())

    with torch.no_grad():
        logp = forward.score(policy.model, batch.rows, temperature=1.0).logp_BT
    on_policy = dataclasses.replace(
        batch, rows=dataclasses.replace(batch.rows, behaviour_logp_ST=logp)
    )
    before = preference()
    learner.update(on_policy.rows, grpo_loss(on_policy, TrainConfig()), temperature=1.0)
    assert preference() > before


def test_micro_batches_cover_every_row_once_within_the_bound() -> None:
    rows = make_rows([episode for group in some_groups() for episode in group.episodes])
    numbers = [batch.tolist() for batch in micro_batches(rows, 150)]
    assert sorted(n for batch in numbers for n in batch) == list(range(len(rows)))
    for batch in numbers:
        assert len(batch) == 1 or len(batch) * int(rows.length_S[batch].max()) <= 150
