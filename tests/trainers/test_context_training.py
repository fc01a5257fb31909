"""Episodes of several segments are trained as the one episode that each of them is."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_names import undocumented
from short_runs import short_config, train_as_command, train_only
from small_models import SETTINGS, small_policy

from agentgym import Action, Ending, Episode, Segment, StepResult, Turn
from agentgym_trainers.advantages import group_advantage
from agentgym_trainers.algorithms import Algorithm, named
from agentgym_trainers.batch import Batch, make_batch
from agentgym_trainers.config import load_config
from agentgym_trainers.dummy_rows import with_dummy_rows
from agentgym_trainers.experience import gather
from agentgym_trainers.learner import Learner, OptimizerSettings
from agentgym_trainers.objective import Objective
from agentgym_trainers.run_folder import read_metrics
from agentgym_trainers.sft import starting_policy, warm_start


def episode(
    segments: int, reward: float, *, ending: Ending = Ending.SOLVED, turns: int = 3
) -> Episode:
    """``turns`` turns of two tokens each, spread over the first segments."""
    kept: list[list[int]] = [[] for _ in range(segments)]
    for turn in range(turns):
        kept[min(turn, segments - 1)].append(turn)
    made, taken = [], []
    for number, inside in enumerate(kept):
        turn_ids = [-1, -1]
        for turn in inside:
            taken.append((turn, number, len(turn_ids)))
            turn_ids += [turn, turn, -1]
        ids = np.array(turn_ids, np.int32)
        mask = ids >= 0
        tokens = np.arange(len(ids), dtype=np.int32) + 5 + 3 * number
        made.append(Segment(tokens, mask, ids, np.where(mask, -1.5, 0).astype(np.float32), ids))
    return Episode(
        "e",
        "g",
        "k",
        0,
        tuple(
            Turn(turn, "act", number, at, at + 2, Action(""), StepResult(), "")
            for turn, number, at in taken
        ),
        tuple(made),
        {"total": reward},
        ending,
    )


def batch_of(episodes: list[Episode], algorithm: Algorithm) -> Batch:
    return make_batch(gather([episodes], token_limit=50), algorithm)[0]


def per_row(batch: Batch) -> list[float]:
    """The advantage of each row's sampled tokens, which is one number."""
    rows = [row[mask] for row, mask in zip(batch.advantages_ST, batch.rows.mask_ST, strict=True)]
    assert all(bool((row == row[0]).all()) for row in rows)
    return [float(row[0]) for row in rows]


def test_three_episodes_of_three_one_and_two_segments_by_hand() -> None:
    """Returns 1, 0, 0: mean 1/3, deviation 1/sqrt(3); every row has its episode's advantage."""
    group = [episode(3, 1.0), episode(1, 0.0), episode(2, 0.0)]
    high, low = 1.1547, -0.57735
    batch = batch_of(group, named("supo"))
    assert batch.rows.episode_S.tolist() == [0, 0, 0, 1, 2, 2]
    assert per_row(batch) == pytest.approx([high, high, high, low, low, low], abs=1e-4)
    # Over the six rows: mean 1/2, deviation sqrt(6 / (4 * 5)).
    wrong = batch_of(group, named("supo", per_row_statistics=True))
    rows_apart = 0.5 / math.sqrt(0.3)
    assert per_row(wrong) == pytest.approx([rows_apart] * 3 + [-rows_apart] * 3, abs=1e-4)


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=5),
    st.lists(st.integers(1, 3), min_size=5, max_size=5),
    st.integers(0, 4),
)
def test_splitting_an_episode_never_changes_anothers_advantage(
    rewards: list[float], splits: list[int], which: int
) -> None:
    algorithm = named("supo", drop_constant_groups=False)
    numbers = range(len(rewards))
    before = [episode(splits[n], rewards[n]) for n in numbers]
    after = [episode(3 if n == which else splits[n], rewards[n]) for n in numbers]
    advantages: list[dict[int, float]] = []
    for group in (before, after):
        batch = batch_of(group, algorithm)
        advantages.append(dict(zip(batch.rows.episode_S.tolist(), per_row(batch), strict=True)))
    assert advantages[0] == advantages[1]


def gradient_of(
    batch: Batch, algorithm: Algorithm, *, packed: bool = False
) -> tuple[float, list[torch.Tensor]]:
    policy = small_policy(dtype=torch.float64)
    learner = Learner(policy.model, OptimizerSettings(), micro_batch_tokens=64, packed=packed)
    loss, _ = learner.gradients(batch.rows, Objective(batch, algorithm), temperature=1.0)
    return loss, [p.grad.clone() for p in policy.model.parameters() if p.grad is not None]


def test_with_one_segment_each_the_loss_is_grpos_bit_for_bit() -> None:
    group = [episode(1, reward) for reward in (1.0, 0.0, 0.5, 0.0)]
    plain, supo = named("grpo"), named("supo")
    rowwise = named("supo", per_row_statistics=True)
    batches = [batch_of(group, one) for one in (plain, supo, rowwise)]
    expected = group_advantage(torch.tensor([1.0, 0.0, 0.5, 0.0]).double(), torch.zeros(4).long())
    assert per_row(batches[0]) == expected.float().tolist()
    losses = [
        gradient_of(batch, one) for batch, one in zip(batches, (plain, supo, rowwise), strict=True)
    ]
    for loss, gradients in losses[1:]:
        assert loss == losses[0][0]
        assert all(torch.equal(a, b) for a, b in zip(gradients, losses[0][1], strict=True))


def test_overlong_episodes_count_in_the_statistics_and_are_not_trained() -> None:
    group = [
        episode(3, 0.0, ending=Ending.CONTEXT_LIMIT),
        episode(2, 1.0),
        episode(1, 0.0, ending=Ending.TURN_LIMIT),
        episode(2, 0.5),
    ]
    masked = batch_of(group, named("supo"))
    kept = batch_of(group, named("supo", overlong="keep"))
    assert masked.dropped.overlong == 2
    assert (len(masked.rows), len(kept.rows)) == (4, 8)
    of_kept = dict(zip(kept.rows.episode_S.tolist(), per_row(kept), strict=True))
    assert per_row(masked) == [of_kept[1], of_kept[1], of_kept[3], of_kept[3]]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("aggregation", ["token", "sequence", "sequence_sum", "episode"])
def test_dummy_rows_change_neither_loss_nor_gradient(aggregation: str, packed: bool) -> None:
    algorithm = named("supo", aggregation=aggregation)
    batch = batch_of([episode(3, 1.0), episode(1, 0.0), episode(2, 0.0)], algorithm)
    padded = with_dummy_rows(batch, 4)
    assert (len(batch.rows), len(padded.rows)) == (6, 8)
    assert padded.rows.sampled_tokens == batch.rows.sampled_tokens
    loss, gradients = gradient_of(batch, algorithm, packed=packed)
    same_loss, same_gradients = gradient_of(padded, algorithm, packed=packed)
    assert same_loss == pytest.approx(loss, abs=1e-12)
    assert max(float(g.abs().max()) for g in gradients) > 1e-4
    for one, other in zip(gradients, same_gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-12, rtol=0)
    alone = padded.rows.take(torch.tensor([6, 7]))
    policy = small_policy(dtype=torch.float64)
    learner = Learner(policy.model, OptimizerSettings(), micro_batch_tokens=64, packed=packed)
    nothing, _ = learner.gradients(alone, Objective(padded, algorithm), temperature=1.0)
    assert nothing == 0
    assert all(not bool(p.grad.any()) for p in policy.model.parameters() if p.grad is not None)


@pytest.mark.parametrize(("world_size", "rows"), [(1, 6), (2, 6), (3, 6), (5, 10), (16, 16)])
def test_the_number_of_rows_divides_by_the_world_size(world_size: int, rows: int) -> None:
    batch = batch_of([episode(3, 1.0), episode(1, 0.0), episode(2, 0.0)], named("supo"))
    assert len(with_dummy_rows(batch, world_size).rows) == rows


ONE_STEP = ("train.steps=1", "train.groups=2")
MANAGED = (
    "env.id=test/Rambling-v0",
    "env.kwargs={length: 6, most: 60, limits: {turns: 12}}",
    "train.algorithm=supo",
    "rollout.turn_tokens=8",
    "rollout.context_tokens=320",
    "rollout.context={kind: summarize, max_summaries: 4, summary_tokens: 6, instruction: Sum up.}",
)


async def test_a_policy_is_trained_with_summaries_and_judged_with_more(
    policy_folder: Path, tmp_path: Path
) -> None:
    more = ["eval.context.max_summaries=9", "eval.context_tokens=330"]
    config = short_config(policy_folder, tmp_path / "run", *MANAGED, *more, *ONE_STEP)
    await train_as_command(config)
    lines = read_metrics(tmp_path / "run")
    trained = next(line for line in lines if "episode/reward" in line)
    judged = next(line for line in lines if "test/success" in line)
    assert trained["context/summaries"] > 0
    assert trained["episode/segments"] > 1
    assert 0 < trained["episode/peak_context"] <= 320
    assert trained["rollout/prefill_tokens"] > trained["episode/peak_context"]
    assert judged["test/summaries"] > 0
    assert judged["test/peak_context"] <= 330
    assert judged["test/prefill_tokens"] > 0
    assert [undocumented(line) for line in lines] == [[]] * len(lines)


@pytest.mark.parametrize(("algorithm", "kind"), [("ppo_turn", "memex"), ("gigpo", "window")])
async def test_other_credit_is_given_over_segments_too(
    algorithm: str, kind: str, policy_folder: Path, tmp_path: Path
) -> None:
    changed = [
        f"train.algorithm={algorithm}",
        "train.algorithm.drop_constant_groups=false",
        f"rollout.context.kind={kind}",
        "rollout.context_tokens=420",
        "train.groups=1",
        "train.steps=1",
    ]
    config = short_config(policy_folder, tmp_path / "run", *MANAGED, *changed)
    _, (line,) = await train_only(config)
    assert line["learner/optimizer_steps"] == 1
    assert line["episode/segments"] > 1
    assert all(math.isfinite(value) for value in line.values())


async def test_a_new_model_and_its_tokenizer_learn_from_summaries(tmp_path: Path) -> None:
    scratch = {"vocab_size": 700, "tokenizer_episodes": 20, "settings": SETTINGS}
    config = load_config(
        None,
        [
            *MANAGED,
            "env.kwargs={length: 30, most: 40, limits: {turns: 40}}",
            f"sft.scratch={scratch}",
            "sft.steps=1",
            "sft.episodes=3",
            "rollout.turn_tokens=40",
            "rollout.context_tokens=140",
            "rollout.context.summary_tokens=20",
        ],
    )
    policy = await starting_policy(config)
    words = policy.tokenizer.get_vocab()
    assert {"Ġsummary", "Ġtaken"} <= set(words)  # the manager's words and the oracle's
    lines: list[Mapping[str, float]] = []
    await warm_start(config, policy, lambda step, metrics: lines.append(metrics))
    assert math.isfinite(lines[0]["sft/loss"])
