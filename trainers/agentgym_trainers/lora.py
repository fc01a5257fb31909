"""LoRA (arXiv:2106.09685): train small matrices beside frozen weights.

The adapters live inside the policy's own model, so engine, learner and checkpoints go on as before.
A checkpoint holds the adapters only, in peft's layout, and names the model they belong to. The
frozen weights are at hand as the reference policy: :func:`reference_weights`. A policy that came
with adapters is its own reference with a second, frozen set of them: :func:`hold_reference`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agentgym.errors import DataError, UsageError
from agentgym_trainers.config import RunConfig
from agentgym_trainers.policy import EMBEDDED, Policy

_ADAPTER = "default"
_REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """What is trained.

    Args:
        rank: Of the two small matrices beside each adapted one.
        alpha: Their product is scaled by ``alpha / rank``.
        targets: Names of the adapted linear layers, such as ``("q_proj", "v_proj")``; or
            ``all-linear``: every one but the output layer.
    """

    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] | str = "all-linear"


def adapt(policy: Policy, config: RunConfig) -> None:
    """Put adapters beside the policy's weights, if the run is one of LoRA."""
    if config.lora is not None:
        add_lora(policy, LoraSettings(**config.lora.model_dump()), seed=config.seed)


def add_lora(policy: Policy, settings: LoraSettings, *, seed: int) -> None:
    """Freeze the policy's weights and put adapters beside them. Log-probs do not change yet.

    A policy that has such adapters already, loaded from a checkpoint, keeps them.

    Raises:
        UsageError: peft is not installed, ``targets`` names no layer, or there are adapters of
            another kind.
    """
    peft = _peft()
    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,  # the trained log-probs must be the sampled ones
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    if has_lora(policy.model):
        _check_same(policy.model.peft_config[_ADAPTER], config)
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            policy.model.add_adapter(config, _ADAPTER)
        except ValueError as error:
            raise UsageError(f"LoRA targets {settings.targets!r}: {error}") from error
    policy.model.peft_config[_ADAPTER].base_model_name_or_path = _name_of_base(policy.source)
    policy.model.eval()


def has_lora(model: Any) -> bool:
    """Whether adapters are in the model."""
    return bool(getattr(model, "_hf_peft_config_loaded", False))


@contextmanager
def reference_weights(model: Any) -> Iterator[None]:
    """Inside, the model is the policy that training began with, if that had no adapters or they are
    held (:func:`hold_reference`). Nothing may generate with the model meanwhile.

    Raises:
        UsageError: The model has no adapters.
    """
    if not has_lora(model):
        raise UsageError("the model has no LoRA adapters, so its own weights are no reference")
    held = _REFERENCE in model.peft_config
    if held:
        model.set_adapter(_REFERENCE)
    else:
        model.disable_adapters()
    try:
        yield
    finally:
        if held:
            model.set_adapter(_ADAPTER)
        else:
            model.enable_adapters()
        _train_adapters_alone(model)


def merged_weights(model: Any) -> dict[str, torch.Tensor]:
    """Parameters by name of a model without adapters that computes the same, for engines that know
    none. Nothing of ``model`` changes."""
    from peft.tuners.lora import LoraLayer

    merged = {
        name.replace(".base_layer.", "."): parameter.detach()
        for name, parameter in model.named_parameters()
        if ".lora_" not in name
    }
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and _ADAPTER in {*module.lora_A, *module.lora_embedding_A}:
            layer: Any = module  # peft's base class declares less than its layers have
            delta = layer.get_delta_weight(_ADAPTER).detach()
            merged[f"{name}.weight"] = merged[f"{name}.weight"] + delta
    return merged


def base_of(folder: Path) -> str:
    """The policy that the adapters in a folder belong to: a folder, hub id or embedded name.

    Raises:
        UsageError: peft is not installed.
        DataError: The folder does not say.
    """
    base = _peft().PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    if not base:
        raise DataError(f"{folder}/adapter_config.json: base_model_name_or_path is missing")
    return str(base)


def load_lora(model: Any, folder: Path) -> None:
    """Put the adapters saved in a folder into their base model, ready to be trained on."""
    base = base_of(folder)
    model.load_adapter(str(folder), _ADAPTER, is_trainable=True)
    model.peft_config[_ADAPTER].base_model_name_or_path = base
    _train_adapters_alone(model)


def holds_lora(folder: Path) -> bool:
    """Whether adapters are saved in a folder."""
    return (folder / "adapter_config.json").is_file()


def hold_reference(model: Any, folder: Path) -> None:
    """Put the adapters saved in a folder beside those in training, for the reference alone."""
    model.load_adapter(str(folder), _REFERENCE, is_trainable=True)
    model.set_adapter(_ADAPTER)
    _train_adapters_alone(model)


def _train_adapters_alone(model: Any) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(f".{_ADAPTER}." in name)
    model.eval()


def _check_same(there: Any, wanted: Any) -> None:
    for field in ("r", "lora_alpha"):
        had, asked = getattr(there, field), getattr(wanted, field)
        if had != asked:
            raise UsageError(
                f"the policy has LoRA adapters of {field}={had}, not {asked}; go on with theirs, "
                "or start from their base model"
            )


def _name_of_base(source: str) -> str:
    """As :func:`~agentgym_trainers.policy.load_policy` will find it from anywhere."""
    path = Path(source)
    if path.parent == EMBEDDED:
        return path.name
    return str(path.resolve()) if path.is_dir() else source


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise UsageError(
            f"LoRA needs {error.name!r}, which is not installed: pip install 'agentgym[lora]'"
        ) from error
    return peft
