"""The configuration of a run: a YAML recipe plus ``key=value`` overrides; unknown keys fail."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from agentgym.errors import ConfigError
from agentgym_trainers.algorithms import Algorithm, check, check_stale, expand
from agentgym_trainers.context.settings import ContextSettings, check_context, inherit_context
from agentgym_trainers.section import Section

_MOVED = {
    f"train.{name}": f"train.algorithm.{name}"
    for name in ("baseline", "scale", "aggregation", "clip_low", "clip_high")
}


class EnvConfig(Section):
    """Which environment, and how it is made."""

    id: str = Field("agentgym/Search-v0", description="Registered environment id.")
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the environment's constructor."
    )


class RolloutConfig(Section):
    """How episodes are played, for training, evaluation and demonstrations."""

    temperature: float = Field(
        1.0, gt=0, description="Sampling temperature of training; the learner applies the same."
    )
    concurrency: int = Field(128, ge=1, description="Episodes played at once.")
    turn_tokens: int = Field(256, ge=1, description="Sampled tokens in one turn.")
    episode_tokens: int = Field(4_096, ge=1, description="Sampled tokens in one episode.")
    context_tokens: int = Field(4_096, ge=8, description="Tokens in one segment, all included.")
    episode_s: float = Field(600, gt=0, description="Wall seconds of one episode.")
    generate_s: float = Field(300, gt=0, description="Wall seconds of one engine call.")
    refills: int = Field(
        2, ge=0, description="Times an episode that an environment error ended is played again."
    )
    context: ContextSettings = ContextSettings()


class EngineConfig(Section):
    """What generates."""

    name: str = Field("hf", description="Engine plugin; hf: transformers, in process.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the engine (docs/engines.md)."
    )
    update_s: float = Field(60, gt=0, description="Wall seconds of taking new weights.")


class OptimizerConfig(Section):
    """AdamW and its schedule."""

    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate.")
    warmup_steps: int = Field(0, ge=0, description="Optimiser steps of linear warm-up.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="After warm-up; cosine falls to a tenth."
    )
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW moments.")
    weight_decay: float = Field(0.0, ge=0, description="On matrices only.")
    clip_norm: float = Field(1.0, gt=0, description="Gradient norm above which it is scaled down.")
    micro_batch_tokens: int = Field(
        3_072, ge=1, description="Tokens that one forward pass computes: memory, not the result."
    )
    packed: bool = Field(
        False,
        description="Rows laid end to end, shared beginnings once: faster where lengths differ; "
        "equal to 1e-5, not to the bit.",
    )
    activation_checkpointing: bool = Field(
        False, description="Compute activations again in the backward pass: less memory, more time."
    )


class LoraConfig(Section):
    """Adapters (arXiv:2106.09685) beside frozen weights; a reference then needs no second model."""

    rank: int = Field(16, ge=1, description="Rank of the two small matrices.")
    alpha: float = Field(32.0, gt=0, description="Their product is scaled by alpha / rank.")
    targets: list[str] | str = Field(
        "all-linear", description="Names of adapted layers; all-linear: all but the output layer."
    )


class CriticConfig(Section):
    """The critic of algorithms that have one (ppo, ppo_turn, ppo_bilevel, archer)."""

    kind: Literal["head", "model"] = Field(
        "head",
        description="head: two layers on the policy's hidden states, at no cost in memory; model: a"
        " copy of the policy, for values that its hidden states do not hold.",
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="AdamW; right for a head. A model wants about the policy's."
    )
    warmup_steps: int = Field(
        0, ge=0, description="First training steps in which the critic alone learns."
    )
    epochs: int = Field(
        4, ge=1, description="Optimiser steps of the critic per training step, on all its episodes."
    )
    clip: float | None = Field(
        0.2,
        gt=0,
        description="How far a value may move per training step, in reward; null: freely, as"
        " archer's always do.",
    )


class TrainConfig(Section):
    """Policy optimisation over whole episodes, in groups of one task each."""

    steps: int = Field(100, ge=1, description="Rounds of collecting and updating.")
    groups: int = Field(16, ge=1, description="Tasks per step.")
    group_size: int = Field(8, ge=2, description="Episodes per task: same task, same seed.")
    minibatches: int = Field(1, ge=1, description="Optimiser steps per round.")
    staleness: int = Field(
        0,
        ge=0,
        description="Updates that episodes may lag behind the weights they train; above 0 they are"
        " played while the learner works.",
    )
    drain: bool = Field(
        False,
        description="New weights wait for the calls that run; false: those go on with the new.",
    )
    dynamic_sampling: bool = Field(
        False, description="Play others in place of groups whose returns are all the same (DAPO)."
    )
    spare_groups: int | None = Field(
        None,
        ge=0,
        description="Groups of a step played in place of rejected ones; null: as many as groups.",
    )
    watchdog_s: float = Field(
        300, gt=0, description="Seconds without news until the log says what is waited for."
    )
    trace: bool = Field(
        False, description="Leave trace.json: who waited for whom, for chrome://tracing."
    )
    learner: Literal["local", "fsdp"] = Field(
        "local",
        description="fsdp: sharded over the processes of torchrun; agentgym launch does so.",
    )
    algorithm: Annotated[Algorithm, BeforeValidator(expand), AfterValidator(check)] = Algorithm()
    critic: CriticConfig = CriticConfig()
    optimizer: OptimizerConfig = OptimizerConfig()

    @model_validator(mode="after")
    def _check_staleness(self) -> TrainConfig:
        if self.staleness:
            check_stale(self.algorithm)
        return self


class ScratchConfig(Section):
    """A new small model instead of an existing one."""

    architecture: str = Field("qwen3", description="Model type of transformers.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Fields of its configuration, such as hidden_size."
    )
    vocab_size: int = Field(2_048, ge=300, description="Tokens of the BPE tokenizer to train.")
    tokenizer_episodes: int = Field(1_500, ge=1, description="Demonstrations it is trained on.")
    phrases: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="Texts that are one token each, beyond vocab_size: what is always worded the"
        " same then costs a small model next to nothing.",
    )


class SftConfig(Section):
    """Warm start: imitate the environment's oracle with wrong turns mixed in, or recordings."""

    steps: int = Field(600, ge=1, description="Optimiser steps.")
    episodes: int = Field(48, ge=1, description="Demonstrations per step.")
    mistake_rate: float = Field(
        0.35,
        ge=0,
        le=1,
        description="Share of turns played by the novice, so that something is left to explore.",
    )
    recordings: Path | None = Field(
        None,
        description="Run folder, or file of episodes, whose solved episodes of the training split"
        " are imitated instead of the oracle's; every one once per epoch.",
    )
    recordings_min_reward: float | None = Field(
        None, description="Imitate those of at least this return, instead of the solved ones."
    )
    scratch: ScratchConfig | None = Field(None, description="Start from a new model, not `model`.")
    optimizer: OptimizerConfig = OptimizerConfig(
        learning_rate=2e-3, warmup_steps=50, schedule="cosine", weight_decay=0.01
    )


class EvalConfig(Section):
    """Success on tasks that were not trained on."""

    split: Literal["train", "val", "test", "all"] = Field(
        "test", description="Tasks of the evaluation before and after training."
    )
    tasks: int = Field(200, ge=1, description="How many of them, at most.")
    temperature: float = Field(1.0, ge=0, description="0 is greedy.")
    every: int = Field(10, ge=0, description="Training steps between looks at `val`; 0 is never.")
    every_tasks: int = Field(64, ge=1, description="Tasks of such a look.")
    context_tokens: int | None = Field(
        None, ge=8, description="Instead of rollout.context_tokens; null: as in training."
    )
    context: ContextSettings | None = None


class CheckpointConfig(Section):
    """When to save, and how much to keep."""

    every: int = Field(20, ge=0, description="Training steps between checkpoints; 0: only the end.")
    keep: int = Field(2, ge=1, description="Newest checkpoints kept.")
    best: bool = Field(
        True, description="Keep the best by `val` too, and link checkpoints/best to it."
    )


class ClusterConfig(Section):
    """What ``agentgym launch`` starts, and how long its parts wait for each other."""

    learners: int = Field(
        1, ge=1, description="Processes of the learner, a GPU each; above 1: train.learner=fsdp."
    )
    servers: int = Field(0, ge=0, description="vLLM servers, a GPU each.")
    workers: int = Field(
        0, ge=0, description="Ray workers that play episodes; 0: the trainer's process plays them."
    )
    worker_groups: int = Field(
        1, ge=1, description="Groups a worker plays at once; 1 repeats bit for bit."
    )
    worker_gpus: float = Field(
        0, ge=0, description="GPUs of a worker, for an engine of its own; 0: it plays on the CPU."
    )
    env_workers: int = Field(
        0, ge=0, description="Ray workers that hold the environments of episodes played here."
    )
    ray_address: str | None = Field(
        None, description="Ray cluster to join; null: one is started here for the run."
    )
    group_s: float = Field(3_600, gt=0, description="Wall seconds a worker may take for a group.")
    collective_s: float = Field(
        120, gt=0, description="Wall seconds a learner's rank waits for the others in one step."
    )
    order_s: float = Field(
        14_400, gt=0, description="Wall seconds it waits while rank 0 plays or evaluates."
    )


class RunConfig(Section):
    """Everything about a run."""

    model: str = Field("search-tiny", description="Embedded policy, folder, or hub id.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    dtype: Literal["auto", "float32", "bfloat16", "float64"] = Field(
        "auto", description="auto: float32 on the CPU, bfloat16 on CUDA."
    )
    seed: int = Field(0, ge=0, description="Of everything: tasks, sampling, initialisation.")
    run_dir: Path | None = Field(None, description="Default: runs/<recipe>-seed<seed>.")
    resume: bool = Field(False, description="Go on from the newest checkpoint of run_dir.")
    lora: LoraConfig | None = Field(None, description="Train adapters only; needs agentgym[lora].")
    env: EnvConfig = EnvConfig()
    engine: EngineConfig = EngineConfig()
    rollout: RolloutConfig = RolloutConfig()
    train: TrainConfig = TrainConfig()
    sft: SftConfig = SftConfig()
    eval: EvalConfig = EvalConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="before")
    @classmethod
    def _inherit_context(cls, values: Any) -> Any:
        """What ``eval.context`` leaves out is as in training, if it is of the same kind."""
        return inherit_context(values)

    @model_validator(mode="after")
    def _check_contexts(self) -> RunConfig:
        for where, rollout in (("rollout", self.rollout), ("eval", self.evaluation_rollout)):
            check_context(where, rollout.context, rollout.context_tokens, rollout.turn_tokens)
        return self

    @property
    def evaluation_rollout(self) -> RolloutConfig:
        """How episodes of an evaluation are played."""
        changed = {
            "context": self.eval.context or self.rollout.context,
            "context_tokens": self.eval.context_tokens or self.rollout.context_tokens,
        }
        return self.rollout.model_copy(update=changed)

    def to_yaml(self) -> str:
        """The resolved configuration, as saved with a run."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_config(recipe: Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a recipe and apply ``key=value`` overrides (``train.steps=10``; values are YAML).

    Of two overrides the deeper key wins, whatever their order: ``train.algorithm=dapo`` and
    ``train.algorithm.clip_high=0.3`` go together.

    Raises:
        ConfigError: Unreadable recipe, unknown key (with the nearest one), or a bad value.
    """
    values = {} if recipe is None else _read_yaml(recipe)
    for override in sorted(overrides, key=lambda one: one.partition("=")[0].count(".")):
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"{override!r} is not key=value; for example train.steps=10")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{key}: {text!r} is not a YAML value") from error
        _assign(values, key.split("."), value)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(error))) from error


def documented_keys(section: type[BaseModel] = RunConfig, prefix: str = "") -> dict[str, str]:
    """Every key of the configuration with its description."""
    keys: dict[str, str] = {}
    for name, field in section.model_fields.items():
        nested = _section_of(field.annotation)
        if nested:
            keys.update(documented_keys(nested, f"{prefix}{name}."))
        else:
            keys[prefix + name] = field.description or ""
    return keys


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _read_yaml(recipe: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{recipe}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{recipe}: not YAML ({' '.join(str(error).split())})") from error
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"{recipe}: a recipe is a mapping of keys, got {type(values).__name__}")
    return values or {}


def _assign(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        nested = values.get(name)
        if isinstance(nested, str):  # a section that is given by the name of its preset
            nested = values[name] = {"preset": nested}
        if not isinstance(nested, dict):
            nested = values[name] = {}
        values = nested
    values[path[-1]] = value


def _explain(error: ValidationError) -> Iterator[str]:
    known = list(documented_keys())
    for detail in error.errors(include_url=False):
        key = ".".join(str(part) for part in detail["loc"])
        if key in _MOVED:
            yield f"{key} is now {_MOVED[key]}"
        elif detail["type"] == "value_error":  # raised by us, and complete
            yield f"{key}: {detail['ctx']['error']}".removeprefix(": ")
        elif detail["type"] == "extra_forbidden":
            last = {name.rpartition(".")[2]: name for name in known}
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
            near = difflib.get_close_matches(key.rpartition(".")[2], last, n=1, cutoff=0.5)
            best = close[0] if close else last[near[0]] if near else None
            yield f"unknown key {key!r}" + (f"; did you mean {best!r}?" if best else "")
        else:
            yield f"{key}: {detail['msg']}, got {detail['input']!r}"
