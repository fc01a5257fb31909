"""New weights for the hf engine: between two tokens, and for a model of its own."""

import asyncio

import pytest
import torch
from engine_answers import PROMPTS, Weights, answer, change, learner_logprobs, until, weights_of
from small_models import small_policy

from agentgym import Generation, UsageError
from agentgym_trainers.engines.hf import HFEngine
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.lora import LoraSettings, add_lora
from agentgym_trainers.policy import Policy

OWN = EngineSettings(concurrency=8, context_tokens=512, own_weights=True)


def assert_sampled_by(
    policy: Policy, weights: list[Weights], prompt: list[int], answered: Generation
) -> None:
    """Each log-prob is the learner's under the weights whose version the token has."""
    by_version = []
    for one in weights:
        policy.model.load_state_dict(one, strict=False)
        by_version.append(learner_logprobs(policy, prompt, answered.token_ids, 1.0))
    versions = answered.token_versions
    expected = [by_version[version][place] for place, version in enumerate(versions)]
    assert answered.logprobs == pytest.approx(expected, abs=1e-4)
    assert list(versions) == sorted(versions)
    assert answered.version == versions[-1]


async def test_held_calls_go_on_from_their_own_tokens_under_new_weights() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    calls = [
        asyncio.create_task(answer(engine, ids, str(n), max_tokens=24))
        for n, ids in enumerate(PROMPTS)
    ]
    weights = [weights_of(policy.model)]
    for version in (1, 2):
        sampled = engine.generated_tokens
        await until(lambda sampled=sampled: engine.generated_tokens > sampled + 20)  # type: ignore[misc]
        await engine.pause(timeout_s=30, drain=False)
        change(policy.model, version)
        weights.append(weights_of(policy.model))
        await engine.update_weights(None, version, timeout_s=5)
        await engine.resume()
    answers = await asyncio.gather(*calls)
    await engine.aclose()
    for prompt, one in zip(PROMPTS, answers, strict=True):
        assert len(one.token_ids) == 24
        assert set(one.versions) == {0, 1, 2}
        assert_sampled_by(policy, weights, prompt, one)
        wrong = learner_logprobs(policy, prompt, one.token_ids, 1.0)
        assert one.logprobs != pytest.approx(wrong, abs=1e-2)


async def test_nothing_is_sampled_while_calls_are_held() -> None:
    engine = HFEngine(small_policy().model)
    call = asyncio.create_task(answer(engine, PROMPTS[1], "a", max_tokens=30))
    await until(lambda: engine.generated_tokens > 3)
    await engine.pause(timeout_s=30, drain=False)
    sampled = engine.generated_tokens
    for _ in range(200):
        await asyncio.sleep(0)
    assert (engine.generated_tokens, call.done()) == (sampled, False)
    await engine.resume()
    held = await call
    alone = HFEngine(small_policy().model)
    assert held.token_ids == (await answer(alone, PROMPTS[1], "a", max_tokens=30)).token_ids
    assert held.versions == ()
    await engine.aclose()
    await alone.aclose()


async def test_what_held_calls_have_in_common_is_computed_once_again() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    prefix = list(range(5, 105))
    calls = [
        asyncio.create_task(answer(engine, [*prefix, 200 + n], str(n), max_tokens=20))
        for n in range(8)
    ]
    await until(lambda: engine.generated_tokens > 40)
    await engine.pause(timeout_s=30, drain=False)
    before = engine.prefilled_tokens
    await engine.update_weights(None, 1, timeout_s=5)
    await engine.resume()
    await asyncio.gather(*calls)
    await engine.aclose()
    assert engine.prefilled_tokens - before <= len(prefix) + 8 * 21


async def test_weights_do_not_change_under_a_running_call() -> None:
    engine = HFEngine(small_policy().model)
    call = asyncio.create_task(answer(engine, [5], "a", max_tokens=40))
    await until(lambda: engine.generated_tokens > 0)
    with pytest.raises(RuntimeError, match="pause the engine"):
        await engine.update_weights(None, 1, timeout_s=5)
    assert (await call).version == 0
    await engine.aclose()


@pytest.mark.parametrize("as_model", [True, False])
async def test_a_model_of_its_own_learns_of_changes_by_updates_alone(as_model: bool) -> None:
    policy = small_policy()
    engine = await HFEngine.start(policy, OWN)
    weights = [weights_of(policy.model)]
    change(policy.model, 1)
    weights.append(weights_of(policy.model))
    old = await answer(engine, PROMPTS[1], "a")
    assert_sampled_by(policy, weights, PROMPTS[1], old)
    source = policy.model if as_model else weights[1]
    await engine.update_weights(source, 1, timeout_s=5)
    change(policy.model, 2)
    new = await answer(engine, PROMPTS[1], "a")
    assert (old.version, new.version) == (0, 1)
    assert_sampled_by(policy, weights, PROMPTS[1], new)
    await engine.aclose()


async def test_adapters_reach_a_model_of_its_own_too() -> None:
    pytest.importorskip("peft")
    policy = small_policy()
    add_lora(policy, LoraSettings(rank=4, alpha=8.0), seed=0)
    engine = await HFEngine.start(policy, OWN)
    weights = [weights_of(policy.model)]
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    weights.append(weights_of(policy.model))
    assert_sampled_by(policy, weights, PROMPTS[1], await answer(engine, PROMPTS[1], "a"))
    policy.model.load_state_dict(weights[1], strict=False)
    await engine.update_weights(policy.model, 1, timeout_s=5)
    assert_sampled_by(policy, weights, PROMPTS[1], await answer(engine, PROMPTS[1], "b"))
    await engine.aclose()


async def test_a_model_of_its_own_is_of_the_type_it_computes_in() -> None:
    policy = small_policy()
    half = Policy(policy.model, policy.tokenizer, policy.source, torch.bfloat16)
    engine = await HFEngine.start(half, OWN)
    change(policy.model, 1)
    await engine.update_weights(policy.model, 1, timeout_s=5)
    new = await answer(engine, PROMPTS[1], "a")
    await engine.aclose()
    assert (policy.model.dtype, engine.model.dtype) == (torch.float32, torch.bfloat16)
    exact = learner_logprobs(policy, PROMPTS[1], new.token_ids, 1.0)
    assert new.logprobs == pytest.approx(exact, abs=0.3)


async def test_weights_that_do_not_fit_are_refused_and_change_nothing() -> None:
    policy = small_policy()
    engine = await HFEngine.start(policy, OWN)
    before = weights_of(engine.model)
    name, *_ = before
    other = {key: one + 1 for key, one in before.items()}
    with pytest.raises(UsageError, match=f"lack {name}"):
        await engine.update_weights({k: v for k, v in other.items() if k != name}, 1, timeout_s=5)
    with pytest.raises(UsageError, match="has shape"):
        await engine.update_weights({**other, name: other[name][:1]}, 1, timeout_s=5)
    with pytest.raises(UsageError, match="come from a model"):
        await engine.update_weights("there", 1, timeout_s=5)
    after = weights_of(engine.model)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert engine.version == 0
    await engine.aclose()
