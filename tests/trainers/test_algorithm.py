"""Algorithms as data: presets that train, overrides, and mixes that cannot work."""

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from metric_names import undocumented
from short_runs import short_config, train_as_command, train_only

from agentgym import ConfigError, UsageError
from agentgym_trainers.algorithms import CLIPPED_LOSSES, PRESETS, Algorithm, named
from agentgym_trainers.config import RunConfig, load_config
from agentgym_trainers.credit import CREDITS
from agentgym_trainers.losses import (
    AGGREGATIONS,
    DIVERGENCES,
    IMPORTANCE_LEVELS,
    IMPORTANCE_MODES,
    KL_PENALTIES,
    POLICY_LOSSES,
)
from agentgym_trainers.policy import load_policy

GATES: dict[str, Any] = {"gates": ({"reward": "success", "threshold": 1.0},)}


def preset(name: str, **fields: Any) -> Algorithm:
    return named(name, **(GATES if name == "g_ra" else {}), **fields)


def overrides_for(name: str) -> list[str]:
    gates = ["train.algorithm.gates=[{reward: success}]"] if name == "g_ra" else []
    return [f"train.algorithm={name}", *gates]


@pytest.mark.parametrize("name", PRESETS)
async def test_every_preset_trains(name: str, warm_policy_folder: Path, tmp_path: Path) -> None:
    chosen = [*overrides_for(name), "train.minibatches=2", "train.optimizer.learning_rate=0.0001"]
    config = short_config(warm_policy_folder, tmp_path / "run", *chosen)
    trainer, lines = await train_only(config)
    # ArCHer's critics know nothing in the first round, so the policy waits.
    assert [line["learner/optimizer_steps"] for line in lines] == [0 if name == "archer" else 2, 2]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert all(line.get("learner/grad_norm", 1) > 0 for line in lines)
    before = load_policy(str(warm_policy_folder)).model.state_dict()
    after = trainer.session.policy.model.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert undocumented({key for line in lines for key in line}) == []
    assert ("critic/explained_variance" in lines[0]) == (preset(name).critic != "none")


@pytest.mark.parametrize(
    "changes",
    [
        "preset: gspo, importance: token, decoupled: true",
        "preset: grpo, kl: k3+, kl_coefficient: 0.1, reference: initial",
        "preset: dapo, overlong: mask, dual_clip: 3, negative_weight: 0.5",
        "preset: ppo, importance: sequence, importance_mode: mask, decoupled: true",
    ],
)
async def test_overridden_presets_train(
    changes: str, warm_policy_folder: Path, tmp_path: Path
) -> None:
    more = ["train.minibatches=2", "train.groups=4", "train.optimizer.learning_rate=0.0001"]
    algorithm = f"train.algorithm={{{changes}}}"
    config = short_config(warm_policy_folder, tmp_path / "run", algorithm, *more)
    _, lines = await train_only(config)
    assert [line["learner/optimizer_steps"] for line in lines] == [2, 2]
    assert undocumented({key for line in lines for key in line}) == []
    for line in lines:
        assert ("importance/truncated_mass" in line) == ("importance" in changes)
        assert ("learner/kl_reference" in line) == ("reference" in changes)


async def test_the_reference_stays_where_training_began(
    warm_policy_folder: Path, tmp_path: Path
) -> None:
    held = "train.algorithm={kl: k2, kl_coefficient: 1.0e-9, reference: initial}"
    config = short_config(warm_policy_folder, tmp_path / "run", held, "train.steps=3")
    resumed = short_config(
        warm_policy_folder, tmp_path / "again", held, "train.steps=3", "resume=true"
    )
    whole = await train_as_command(config)
    await train_as_command(
        short_config(warm_policy_folder, tmp_path / "again", held, "train.steps=2")
    )
    assert await train_as_command(resumed) == whole
    distances = [line["learner/kl_reference"] for line in whole]
    assert distances[0] < 1e-6 < distances[-1]


@pytest.mark.parametrize("name", PRESETS)
def test_a_saved_algorithm_reads_back_the_same(name: str) -> None:
    config = load_config(None, overrides_for(name))
    again = RunConfig.model_validate(yaml.safe_load(config.to_yaml()))
    assert again == config
    assert again.train.algorithm == preset(name)
    assert again.train.algorithm.preset == name


def test_a_recipe_names_an_algorithm_or_changes_one(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("train: {algorithm: gigpo}\n")
    assert load_config(recipe).train.algorithm == named("gigpo")
    assert load_config(recipe, ["train.algorithm.omega=2"]).train.algorithm.omega == 2
    recipe.write_text("train: {algorithm: {preset: dapo, clip_high: 0.3}}\n")
    assert load_config(recipe).train.algorithm == named("dapo", clip_high=0.3)
    recipe.write_text("train: {algorithm: {clip_high: 0.3}}\n")
    assert load_config(recipe).train.algorithm == named("grpo", clip_high=0.3)
    # Another algorithm does not inherit what was tuned for the recipe's.
    assert load_config(recipe, ["train.algorithm=rloo"]).train.algorithm == named("rloo")


def test_the_order_of_overrides_does_not_matter() -> None:
    given = ["train.algorithm=dapo", "train.algorithm.clip_high=0.4"]
    one, other = load_config(None, given), load_config(None, given[::-1])
    assert one == other
    assert one.train.algorithm == named("dapo", clip_high=0.4)


def test_the_default_is_grpo() -> None:
    assert load_config(None).train.algorithm == Algorithm() == named("grpo")


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("rloo", {"critic": "token"}, r"critic is 'token': set critic to 'none'"),
        ("ppo", {"critic": "none"}, r"'token_gae' reads values at 'token'.*set critic to 'token'"),
        ("ppo_turn", {"critic": "token"}, r"reads values at 'turn'"),
        ("gspo", {"credit": "gigpo"}, r"one ratio for a whole row.*averaged away"),
        ("luspo", {"aggregation": "token"}, r"counts rows, not tokens"),
        ("grpo", {"reference": "initial"}, r"nothing asks for it"),
        ("grpo", {"reference": "initial", "kl": "k3"}, r"coefficient 0, so nothing asks"),
        ("grpo", {"kl": "k3", "kl_coefficient": 0.1}, r"no reference.*set reference to initial"),
        (
            "reinforce++",
            {"kl": "js"},
            r"meaning in its gradient.*set kl_in to loss",
        ),
        ("grpo", {"dual_clip": 1.0}, r"dual_clip is 1: .*give more than 1, or null"),
        ("rloo", {"dual_clip": 3.0}, r"dual_clip does nothing with the loss reinforce"),
        ("grpo", {"decoupled": True}, r"set importance to token or sequence"),
        ("grpo", {"importance": "token"}, r"would do it twice: set decoupled to true"),
        ("a_lol", {"decoupled": True}, r"no ratio to decouple"),
        ("a_lol", {"importance_floor": 5.0}, r"importance_floor 5 lies above"),
        ("grpo", {"omega": 0.5}, r"omega does nothing with credit 'episode'.*gigpo"),
        ("grpo", {"whiten": True}, r"whiten does nothing with credit 'episode'"),
        ("ppo", {"baseline": "loo"}, r"baseline does nothing with credit 'token_gae'"),
        ("ppo", {"drop_constant_groups": True}, r"no group would be dropped"),
        ("archer", {"critic": "turn"}, r"'utterance' reads values at 'utterance'"),
        ("ppo", {"critic": "utterance"}, r"set critic to 'token'"),
        ("grpo", {"polyak": 0.5}, r"polyak does nothing with credit 'episode'.*utterance"),
        ("ppo", {"replay_turns": 8}, r"replay_turns does nothing with credit 'token_gae'"),
        ("archer", {"lam": 0.5}, r"lam does nothing with credit 'utterance'"),
        ("archer", {"baseline": "loo"}, r"baseline does nothing with credit 'utterance'"),
        ("archer", {"loss": "gspo", "aggregation": "sequence"}, r"averaged away"),
        ("archer", {"overlong": "penalty"}, r"penalty is of the policy of one.*keep or mask"),
        (
            "archer",
            {"kl": "k1", "kl_coefficient": 0.1, "kl_in": "reward", "reference": "initial"},
            r"set kl_in to loss",
        ),
        ("archer", {"polyak": 0}, r"greater than 0"),
        ("gigpo", {"scale": "batch"}, r"set baseline to mean, and scale to std or none"),
        ("g_ra", {"gates": ()}, r"needs gates, highest priority first"),
        ("rlvmr", {"alpha": 1.5}, r"alpha is 1.5: .*from 0 to 1"),
        ("grpo", {"positive_weight": 0, "negative_weight": 0}, r"nothing would be learned"),
        ("grpo", {"credit": "gae"}, r"no credit 'gae'"),
        ("grpo", {"clip_low": 2}, r"less than or equal to 1"),
        ("nosuch", {}, r"no algorithm 'nosuch'"),
    ],
)
def test_an_impossible_mix_says_why_and_what_to_do(
    name: str, fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        named(name, **fields)
    with pytest.raises(ConfigError, match=why):
        load_config(
            None,
            [
                "train.algorithm=" + name,
                *(f"train.algorithm.{k}={yaml.safe_dump(_plain(v))}" for k, v in fields.items()),
            ],
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_what_the_record_allows_is_what_the_functions_know() -> None:
    def allowed(field: str) -> set[str]:
        return set(get_args(Algorithm.model_fields[field].annotation))

    assert allowed("loss") == set(POLICY_LOSSES) > CLIPPED_LOSSES
    assert allowed("aggregation") == set(AGGREGATIONS)
    assert allowed("kl") == {"none", *KL_PENALTIES, *DIVERGENCES}
    assert allowed("importance") == {"none", *IMPORTANCE_LEVELS}
    assert allowed("importance_mode") == set(IMPORTANCE_MODES)
    assert all(credit.reads <= set(Algorithm.model_fields) for credit in CREDITS.values())


def test_every_credit_has_a_preset() -> None:
    assert {preset(name).credit for name in PRESETS} == set(CREDITS)
