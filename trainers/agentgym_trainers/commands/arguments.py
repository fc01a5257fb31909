"""What the commands' arguments mean: an optional recipe, then ``key=value`` overrides."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from agentgym.errors import ConfigError
from agentgym_trainers.config import RunConfig, load_config


def read_arguments(arguments: Sequence[str], command: str) -> RunConfig:
    """The run's configuration, with its folder filled in.

    Raises:
        ConfigError: More than one recipe, or as :func:`load_config`.
    """
    recipes = [argument for argument in arguments if "=" not in argument]
    if len(recipes) > 1:
        raise ConfigError(f"one recipe at a time, got {' and '.join(recipes)}")
    recipe = Path(recipes[0]) if recipes else None
    config = load_config(recipe, [argument for argument in arguments if "=" in argument])
    if config.run_dir is not None:
        return config
    name = f"{recipe.stem if recipe else command}-seed{config.seed}"
    return config.model_copy(update={"run_dir": Path("runs") / name})


def quiet_libraries() -> None:
    """Keep the libraries' progress bars and advice out of ours."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("agentgym_trainers").setLevel(logging.WARNING)
