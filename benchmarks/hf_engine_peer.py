"""vLLM with the episodes of ``benchmarks/hf_engine.py``, which runs this in vLLM's environment.

Arguments: the model's folder and repeats; the episodes come as JSON on standard input: a list of
[prompt, tokens of each turn, observations]. Prints a JSON list of seconds. Episodes go on by
themselves, each as soon as its turn is over; the prefix cache is on, and emptied between repeats.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}

import torch
from vllm import LLM, SamplingParams


def play_all(llm: Any, talks: list[list[Any]], name: str) -> None:
    """All episodes to their end."""
    engine = llm.llm_engine
    so_far = {f"{name}-{n}": list(prompt) for n, (prompt, _, _) in enumerate(talks)}
    left = {f"{name}-{n}": list(zip(*talk[1:], strict=True)) for n, talk in enumerate(talks)}

    def ask(key: str) -> None:
        count = left[key][0][0]
        sampling = SamplingParams(
            temperature=1.0, max_tokens=count, min_tokens=count, ignore_eos=True, detokenize=False,
            logprobs=0,
        )  # fmt: skip
        request = f"{key}-{len(left[key])}"
        engine.add_request(request, {"prompt_token_ids": so_far[key]}, sampling)

    for key in so_far:
        ask(key)
    while engine.has_unfinished_requests():
        for output in engine.step():
            if not output.finished:
                continue
            key = output.request_id.rpartition("-")[0]
            count, after = left[key].pop(0)
            said = list(output.outputs[0].token_ids)
            assert len(said) == count
            so_far[key] += said + after
            if left[key]:
                ask(key)


def main() -> None:
    model, repeats = sys.argv[1], int(sys.argv[2])
    talks = json.load(sys.stdin)
    torch.set_num_threads(1)
    llm = LLM(
        model=model, dtype="float32", max_model_len=2048, max_num_seqs=64, skip_tokenizer_init=True,
        enable_prefix_caching=True,
    )  # fmt: skip
    seconds = []
    for repeat in range(repeats + 1):
        llm.reset_prefix_cache()
        started = time.perf_counter()
        play_all(llm, talks, str(repeat))
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds[1:]))


if __name__ == "__main__":
    main()
