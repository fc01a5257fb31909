"""Small random models and tokenizers for tests; nothing is downloaded."""

from pathlib import Path
from typing import Any

import torch

from agentgym_trainers.policy import Policy
from agentgym_trainers.scratch import new_policy, new_tokenizer

FIXTURES = Path(__file__).parent / "fixtures"
SETTINGS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_position_embeddings": 4096,
}


def tokenizer_like(name: str) -> Any:
    """A byte-level tokenizer with the special tokens and the template of a model family."""
    tokenizer = new_tokenizer()
    tokenizer.chat_template = (FIXTURES / f"{name}.jinja").read_text()
    if name == "llama3":
        ends = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
        tokenizer.add_special_tokens({"additional_special_tokens": ends})
        tokenizer.eos_token = "<|eot_id|>"
    return tokenizer


def small_policy(
    architecture: str = "qwen3",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> Policy:
    """A random model of a few thousand parameters."""
    policy = new_policy(
        architecture,
        {**SETTINGS, "initializer_range": 0.3, **settings},
        new_tokenizer(),
        seed=seed,
        device=torch.device("cpu"),
    )
    policy.model.to(dtype)
    return policy
