"""Sampling settings in vLLM's words, and its answers in ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from agentgym.engine import Sampling
from agentgym_trainers.engines.vllm.replica import Answer, ReplicaLost

_NO_LOGPROB = -9999.0
"""What vLLM's server says of a token whose log-probability is not a number."""
_SEEDS = 2**63


def sampling_fields(sampling: Sampling, sampled: int) -> dict[str, Any]:
    """Fields of vLLM's ``SamplingParams`` for a turn of which ``sampled`` tokens are there.

    Stop ids are all that ends a turn by itself: the model's own end token is ignored unless it is
    one of them, as in every engine. The rest of a turn draws from a seed of its own, because the
    first seed would draw the same numbers once more.
    """
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_tokens": sampling.max_tokens - sampled,
        "seed": _seed(sampling.seed, sampled),
        "stop_token_ids": list(sampling.stop_ids),
        "stop": list(sampling.stop),
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "ignore_eos": True,
        "detokenize": bool(sampling.stop),
        "logprobs": 0,
    }


def read_answer(body: Mapping[str, Any]) -> Answer:
    """The answer of ``/inference/v1/generate``.

    Raises:
        ReplicaLost: It is not what was asked for.
    """
    try:
        (choice,) = body["choices"]
        content = (choice.get("logprobs") or {}).get("content") or ()
        details = (body.get("usage") or {}).get("prompt_tokens_details") or {}
        answer = Answer(
            tuple(choice.get("token_ids") or ()),
            tuple(float(token["logprob"]) for token in content),
            choice["finish_reason"],
            tuple(
                span["version"]
                for span in choice.get("weight_versions") or ()
                for _ in range(span["start"], span["end"])
            ),
            details.get("cached_tokens"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ReplicaLost(f"an answer that makes no sense: {error!r}") from error
    return checked(answer)


def checked(answer: Answer) -> Answer:
    """The answer, if it is one.

    Raises:
        ReplicaLost: Not every token has a log-probability, and weights that sampled it.
    """
    if answer.finish_reason not in ("stop", "length", "abort"):
        raise ReplicaLost(f"the answer ended with {answer.finish_reason!r}")
    counts = len(answer.token_ids), len(answer.logprobs), len(answer.labels)
    if len(set(counts)) > 1:
        raise ReplicaLost(f"numbers of tokens, log-probabilities, weight versions: {counts}")
    if any(not one > _NO_LOGPROB for one in answer.logprobs):
        raise ReplicaLost("a sampled token has no log-probability; the logits are not numbers")
    return answer


def _seed(seed: int, sampled: int) -> int:
    if not sampled:
        return seed % _SEEDS
    digest = hashlib.blake2b(f"{seed}/{sampled}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % _SEEDS
