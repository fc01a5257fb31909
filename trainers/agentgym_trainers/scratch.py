"""A small policy made from nothing: a stock architecture and a BPE tokenizer of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from agentgym.errors import ConfigError
from agentgym_trainers.policy import Policy

_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MARKERS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
# A name is cut the same way wherever it stands, because punctuation is never glued to letters.
_WORDS = Regex(r" ?[A-Za-z_][A-Za-z_0-9]*| ?[0-9]| ?[^\sA-Za-z_0-9]+|\s+")


def new_tokenizer(
    texts: Iterable[str] = (), *, vocab_size: int = 0, phrases: Sequence[str] = ()
) -> Any:
    """Byte-level BPE trained on ``texts``, with a Qwen-style chat template.

    Without texts every byte is a token: slow, and good enough to write demonstrations with.
    Each of ``phrases`` is one token wherever it stands, of those that begin at a place the longest;
    they are on top of ``vocab_size``.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocab_size, len(alphabet) + len(_SPECIAL) + len(_MARKERS)),
        special_tokens=[*_SPECIAL, *_MARKERS],
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in phrases])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = _TEMPLATE.read_text(encoding="utf-8")
    return fast


def new_policy(
    architecture: str, settings: dict[str, Any], tokenizer: Any, *, seed: int, device: torch.device
) -> Policy:
    """A model with random weights.

    Args:
        architecture: A transformers model type, for example ``qwen3``.
        settings: Fields of its configuration, for example ``hidden_size``.

    Raises:
        ConfigError: transformers does not accept them.
    """
    torch.manual_seed(seed)
    try:
        config = AutoConfig.for_model(
            architecture,
            vocab_size=len(tokenizer),
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            **settings,
        )
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"cannot build a {architecture!r} model of {settings}: {error}"
        ) from error
    model.to(device)
    model.eval()
    return Policy(model, tokenizer, f"{architecture}, random weights")
