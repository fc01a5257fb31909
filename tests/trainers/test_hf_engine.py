"""The hf engine: batches, cached turns, log-probs, limits and faults, on real (small) models."""

import asyncio

import pytest
import torch
from engine_answers import PROMPTS, answer, learner_logprobs
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import small_policy

from agentgym import EnvError, Generation, Sampling, UsageError
from agentgym_trainers.engines.hf import HFEngine
from agentgym_trainers.engines.sampler import sample
from agentgym_trainers.policy import check_supported

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
async def test_logprobs_agree_with_the_learners(architecture: str, temperature: float) -> None:
    policy = small_policy(architecture)
    engine = HFEngine(policy.model)
    answers = await asyncio.gather(
        *(answer(engine, ids, str(n), temperature=temperature) for n, ids in enumerate(PROMPTS))
    )
    await engine.aclose()
    for prompt, given_back in zip(PROMPTS, answers, strict=True):
        expected = learner_logprobs(policy, prompt, given_back.token_ids, temperature)
        assert given_back.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_CUDA])],
)
async def test_bfloat16_computes_near_float32_with_float32_weights(device: str) -> None:
    policy = small_policy()
    policy.model.to(device)
    engine = HFEngine(policy.model, compute_dtype=torch.bfloat16)
    given_back = await answer(engine, PROMPTS[1], "a")
    await engine.aclose()
    assert policy.model.dtype == torch.float32
    policy.model.to("cpu")
    exact = learner_logprobs(policy, PROMPTS[1], given_back.token_ids, 1.0)
    assert given_back.logprobs == pytest.approx(exact, abs=0.3)
    assert given_back.logprobs != pytest.approx(exact, abs=1e-6)


async def test_company_in_the_batch_changes_nothing() -> None:
    policy = small_policy()
    together = HFEngine(policy.model)
    many = await asyncio.gather(*(answer(together, ids, str(n)) for n, ids in enumerate(PROMPTS)))
    await together.aclose()
    for prompt, among_others in zip(PROMPTS, many, strict=True):
        alone = HFEngine(policy.model)
        single = await answer(alone, prompt, "alone")
        await alone.aclose()
        assert single.token_ids == among_others.token_ids
        assert single.logprobs == pytest.approx(among_others.logprobs, abs=1e-4)


async def test_a_conversation_goes_on_from_its_cache() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    prompt = list(range(5, 60))
    first = await answer(engine, prompt, "talk")
    longer = [*prompt, *first.token_ids, 7, 8, 9]
    second = await answer(engine, longer, "talk")
    assert engine.prefilled_tokens == len(prompt) + len(first.token_ids[-1:]) + 3
    expected = learner_logprobs(policy, longer, second.token_ids, 1.0)
    assert second.logprobs == pytest.approx(expected, abs=1e-4)
    changed = [*prompt[:20], 99, *prompt[21:]]
    third = await answer(engine, changed, "talk")
    assert third.logprobs == pytest.approx(
        learner_logprobs(policy, changed, third.token_ids, 1.0), abs=1e-4
    )
    await engine.aclose()


async def test_a_common_prefix_is_computed_once() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    prefix = list(range(5, 105))
    prompts = [[*prefix, 200 + n] for n in range(10)]
    answers = await asyncio.gather(*(answer(engine, ids, str(n)) for n, ids in enumerate(prompts)))
    await engine.aclose()
    assert engine.prefilled_tokens <= len(prefix) + 2 * len(prompts)
    for prompt, one in zip(prompts, answers, strict=True):
        assert one.logprobs == pytest.approx(
            learner_logprobs(policy, prompt, one.token_ids, 1.0), abs=1e-4
        )


async def test_concurrent_calls_share_forward_passes() -> None:
    engine = HFEngine(small_policy().model)
    await asyncio.gather(*(answer(engine, [5 + n, 6, 7], str(n)) for n in range(20)))
    await engine.aclose()
    assert engine.generated_tokens == 160
    assert engine.passes <= 10


async def test_sampling_ends_after_a_stop_id_or_at_the_limit() -> None:
    engine = HFEngine(small_policy().model)
    free = await answer(engine, [5, 6], "a", max_tokens=20)
    assert (free.finish_reason, len(free.token_ids)) == ("length", 20)
    stop = free.token_ids[4]
    stopped = await answer(engine, [5, 6], "b", max_tokens=20, stop_ids=(stop,))
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids == free.token_ids[: free.token_ids.index(stop) + 1]
    await engine.aclose()


async def test_more_calls_than_rows_wait_their_turn() -> None:
    engine = HFEngine(small_policy().model, max_rows=3, prefill_tokens=50)
    answers = await asyncio.gather(*(answer(engine, [5 + n] * 30, str(n)) for n in range(20)))
    assert all(len(one.token_ids) == 8 for one in answers)
    await engine.aclose()


async def test_cancelled_calls_leave_the_others_right() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    tasks = [
        asyncio.create_task(answer(engine, [5 + n] * 20, str(n), max_tokens=30)) for n in range(12)
    ]
    await asyncio.sleep(0.02)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in results[::2])
    for number, one in list(enumerate(results))[1::2]:
        assert isinstance(one, Generation)
        expected = learner_logprobs(policy, [5 + number] * 20, one.token_ids, 1.0)
        assert one.logprobs == pytest.approx(expected, abs=1e-4)
    again = await answer(engine, [5] * 20, "0")
    assert len(again.token_ids) == 8
    await engine.aclose()


async def test_a_call_that_takes_too_long_is_an_environment_error() -> None:
    engine = HFEngine(small_policy().model)
    with pytest.raises(EnvError, match="engine_timeout"):
        await engine.generate([5], Sampling(max_tokens=4000), request_id="x", timeout_s=0.05)
    assert len((await answer(engine, [5], "y")).token_ids) == 8
    await engine.aclose()


async def test_a_failing_forward_pass_fails_its_calls_and_not_the_engine() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    outside = len(policy.tokenizer) + 1000
    with pytest.raises(EnvError, match="engine_failed"):
        await answer(engine, [outside], "bad")
    assert len((await answer(engine, [5], "good")).token_ids) == 8
    await engine.aclose()


async def test_an_update_forgets_cached_keys_and_counts_the_version() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    prompt = list(range(5, 40))
    old = await answer(engine, prompt, "talk")
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    await engine.update_weights(None, 1, timeout_s=5)
    new = await answer(engine, prompt, "talk")
    assert (old.version, new.version) == (0, 1)
    assert new.logprobs == pytest.approx(
        learner_logprobs(policy, prompt, new.token_ids, 1.0), abs=1e-4
    )
    await engine.aclose()


async def test_pausing_waits_for_running_calls_and_holds_new_ones() -> None:
    engine = HFEngine(small_policy().model)
    running = asyncio.create_task(answer(engine, [5], "a", max_tokens=20))
    await asyncio.sleep(0.01)
    await engine.pause(timeout_s=20)
    assert running.done() or engine.running == 0
    held = asyncio.create_task(answer(engine, [6], "b"))
    await asyncio.sleep(0.05)
    assert not held.done()
    await engine.resume()
    assert len((await held).token_ids) == 8
    await running
    await engine.aclose()


async def test_closing_fails_what_still_waits() -> None:
    engine = HFEngine(small_policy().model)
    waiting = asyncio.create_task(answer(engine, [5], "a", max_tokens=4000))
    await asyncio.sleep(0.02)
    await engine.aclose()
    with pytest.raises(EnvError, match="engine_closed"):
        await waiting


async def test_the_same_seed_gives_the_same_tokens() -> None:
    async def once(seed: int) -> list[Generation]:
        engine = HFEngine(small_policy().model)
        got = await asyncio.gather(
            *(answer(engine, ids, str(n), seed=seed) for n, ids in enumerate(PROMPTS))
        )
        await engine.aclose()
        return list(got)

    assert await once(1) == await once(1)
    assert await once(1) != await once(2)


def test_models_that_transform_their_logits_are_refused() -> None:
    policy = small_policy("gemma2", layer_types=["full_attention"] * 2, final_logit_softcapping=5.0)
    with pytest.raises(UsageError, match="transforms its logits"):
        check_supported(policy.model, "gemma2")


@settings(deadline=None)
@given(st.floats(0, 0.999999), st.integers(0, 6), st.floats(0.05, 1.0), st.floats(0.2, 3.0))
def test_filters_keep_the_most_likely_and_renormalise(
    uniform: float, top_k: int, top_p: float, temperature: float
) -> None:
    logits = torch.tensor([[2.0, 1.0, 0.5, 0.0, -1.0, -3.0]])
    setting = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    (token,), (logprob,) = sample(logits, [setting], [uniform])
    probabilities = torch.softmax(logits[0] / temperature, 0)
    kept = list(range(top_k or 6))
    before = [float(probabilities[:n].sum()) for n in kept]
    kept = [n for n in kept if n == 0 or top_p >= 1 or before[n] < top_p]
    assert token in kept
    expected = float(probabilities[token] / probabilities[kept].sum())
    assert logprob == pytest.approx(torch.tensor(expected).log().item(), abs=1e-4)


def test_the_frequency_of_draws_is_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]]).repeat(20_000, 1)
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(0)).tolist()
    tokens, _ = sample(logits, [Sampling()] * 20_000, uniforms)
    frequency = torch.bincount(torch.tensor(tokens), minlength=3) / 20_000
    assert torch.allclose(frequency, torch.softmax(logits[0], 0), atol=0.015)


def test_greedy_takes_the_most_likely_token() -> None:
    assert sample(torch.tensor([[0.0, 3.0, 1.0]]), [Sampling(temperature=0)], [0.99]) == (
        [1],
        [0.0],
    )
