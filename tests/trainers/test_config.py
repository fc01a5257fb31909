"""Configuration: recipes, overrides, and errors that name the right key."""

import re
from pathlib import Path

import pytest
import yaml

from agentgym import ConfigError
from agentgym_trainers.config import RunConfig, documented_keys, load_config

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_overrides_win_over_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "train: {steps: 5, optimizer: {learning_rate: 1.0e-3}}\nenv: {kwargs: {top_k: 2}}\n"
    )
    config = load_config(
        recipe, ["train.steps=7", "env.kwargs.snippet_chars=90", "train.optimizer.betas=[0.8, 0.9]"]
    )
    assert config.train.steps == 7
    assert config.train.optimizer.learning_rate == 1e-3
    assert config.train.optimizer.betas == (0.8, 0.9)
    assert config.env.kwargs == {"top_k": 2, "snippet_chars": 90}


def test_the_saved_configuration_reads_back_the_same() -> None:
    config = load_config(EXAMPLES / "search_sft.yaml", ["seed=3"])
    assert RunConfig.model_validate(yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize("recipe", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_recipe_is_valid(recipe: Path) -> None:
    assert load_config(recipe)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.step=3", "unknown key 'train.step'; did you mean 'train.steps'?"),
        ("trian.steps=3", "unknown key 'trian'"),
        ("learning_rate=1", "did you mean '.*learning_rate'"),
        ("train.steps=0", "train.steps: .*greater than or equal to 1, got 0"),
        ("train.steps=many", "train.steps: .*valid integer.*, got 'many'"),
        ("rollout.temperature=0", "rollout.temperature"),
        ("train.baseline=loo", "train.baseline is now train.algorithm.baseline"),
        ("train.clip_high=0.3", "train.clip_high is now train.algorithm.clip_high"),
        ("train.algorithm.baseline=best", r"train.algorithm.baseline: .*'mean', 'loo' or 'none'"),
        ("train.algorithm=gigp0", "train.algorithm: no algorithm 'gigp0'; did you mean 'gigpo'"),
        ("train.algorithm.clip_hihg=1", "did you mean 'train.algorithm.clip_high'"),
        ("train.algorithm=3", "train.algorithm: .*valid dictionary.*, got 3"),
        ("train.steps", "is not key=value"),
        ("train.steps=[", "not a YAML value"),
    ],
)
def test_a_bad_override_says_what_is_wrong(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("- 1", "a mapping of keys")])
def test_a_bad_recipe_is_named(tmp_path: Path, text: str, message: str) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(text)
    with pytest.raises(ConfigError, match=rf"r\.yaml: .*{message}"):
        load_config(recipe)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")


def test_every_key_is_documented_and_there_are_few() -> None:
    keys = documented_keys()
    assert [key for key, description in keys.items() if not description] == []
    assert len(keys) < 150


def test_stale_episodes_need_a_loss_that_knows_who_played_them() -> None:
    with pytest.raises(ConfigError, match=r"reinforce takes every episode .* importance to token"):
        load_config(None, ["train.algorithm=rloo", "train.staleness=1"])
    load_config(None, ["train.algorithm=rloo", "train.staleness=0"])
    for algorithm in ("rloo", "archer"):
        overrides = [f"train.algorithm={algorithm}", "train.algorithm.importance=token"]
        assert load_config(None, [*overrides, "train.staleness=2"]).train.staleness == 2
    for algorithm in ("grpo", "ppo", "gspo", "cispo", "expert_iteration", "a_lol"):
        load_config(None, [f"train.algorithm={algorithm}", "train.staleness=2"])


def test_the_recipes_of_the_page_on_context_are_valid(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "context.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(recipes) == 2
    for number, text in enumerate(recipes):
        recipe = tmp_path / f"{number}.yaml"
        recipe.write_text(text, encoding="utf-8")
        assert load_config(recipe).rollout.context.kind == "summarize"
