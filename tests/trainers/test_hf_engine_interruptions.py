"""Calls of the hf engine that are aborted, cancelled or held, and pauses that fail."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from engine_answers import PROMPTS, Weights, answer, change, learner_logprobs, until, weights_of
from small_models import small_policy

from agentgym import EnvError, Generation
from agentgym_trainers.engines.hf import HFEngine
from agentgym_trainers.policy import Policy


async def test_aborting_a_running_call_returns_what_was_sampled() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    call = asyncio.create_task(answer(engine, PROMPTS[1], "a", max_tokens=4000))
    other = asyncio.create_task(answer(engine, PROMPTS[3], "b", max_tokens=20))
    await until(lambda: engine.generated_tokens > 6)
    await engine.abort("a")
    cut, whole = await call, await other
    await engine.aclose()
    assert (cut.finish_reason, whole.finish_reason) == ("abort", "length")
    assert 0 < len(cut.token_ids) < 4000
    for prompt, one in ((PROMPTS[1], cut), (PROMPTS[3], whole)):
        expected = learner_logprobs(policy, prompt, one.token_ids, 1.0)
        assert one.logprobs == pytest.approx(expected, abs=1e-4)


async def test_aborting_a_waiting_call_returns_at_once() -> None:
    engine = HFEngine(small_policy().model, max_rows=1)
    running = asyncio.create_task(answer(engine, [5], "a", max_tokens=200))
    await until(lambda: engine.generated_tokens > 0)
    waiting = asyncio.create_task(answer(engine, [6], "b"))
    await asyncio.sleep(0)
    await engine.abort("b")
    cut = await waiting
    assert (cut.finish_reason, cut.token_ids, running.done()) == ("abort", (), False)
    await engine.abort("nobody")
    assert (await running).finish_reason == "length"
    await engine.aclose()


async def test_aborting_a_held_call_does_not_wait_for_the_engine() -> None:
    engine = HFEngine(small_policy().model)
    call = asyncio.create_task(answer(engine, [5], "a", max_tokens=4000))
    await until(lambda: engine.generated_tokens > 3)
    await engine.pause(timeout_s=30, drain=False)
    await engine.abort("a")
    assert (await call).finish_reason == "abort"
    await engine.resume()
    assert len((await answer(engine, [5], "a")).token_ids) == 8
    await engine.aclose()


async def test_a_call_cancelled_while_held_leaves_no_slot_behind() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    doomed = asyncio.create_task(answer(engine, PROMPTS[1], "a", max_tokens=4000))
    other = asyncio.create_task(answer(engine, PROMPTS[3], "b", max_tokens=30))
    await until(lambda: engine.generated_tokens > 6)
    await engine.pause(timeout_s=30, drain=False)
    doomed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    await engine.release("a")
    await engine.update_weights(None, 1, timeout_s=5)
    await engine.resume()
    kept = await other
    expected = learner_logprobs(policy, PROMPTS[3], kept.token_ids, 1.0)
    assert kept.logprobs == pytest.approx(expected, abs=1e-4)
    assert (engine.running, engine.cached_conversations) == (0, 1)
    await engine.aclose()


async def test_a_pause_that_takes_too_long_is_undone() -> None:
    engine = HFEngine(small_policy().model)
    running = asyncio.create_task(answer(engine, [5], "a", max_tokens=400))
    await until(lambda: engine.generated_tokens > 0)
    with pytest.raises(EnvError, match="pause: 1 calls still run"):
        await engine.pause(timeout_s=0.01)
    assert len((await answer(engine, [6], "b")).token_ids) == 8
    assert len((await running).token_ids) == 400
    await engine.aclose()


async def test_a_pause_that_is_cancelled_is_undone() -> None:
    engine = HFEngine(small_policy().model)
    running = asyncio.create_task(answer(engine, [5], "a", max_tokens=100))
    await until(lambda: engine.generated_tokens > 0)
    pausing = asyncio.create_task(engine.pause(timeout_s=30))
    await asyncio.sleep(0)
    pausing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pausing
    assert len((await answer(engine, [6], "b")).token_ids) == 8
    await running
    await engine.aclose()


async def test_a_conversation_has_one_call_at_a_time() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    both = await asyncio.gather(
        answer(engine, PROMPTS[1], "a"), answer(engine, [*PROMPTS[1][:20], 99], "a")
    )
    await engine.aclose()
    for prompt, one in zip((PROMPTS[1], [*PROMPTS[1][:20], 99]), both, strict=True):
        expected = learner_logprobs(policy, prompt, one.token_ids, 1.0)
        assert one.logprobs == pytest.approx(expected, abs=1e-4)


async def test_a_failing_forward_pass_spares_the_calls_of_others() -> None:
    policy = small_policy()
    engine = HFEngine(policy.model)
    long = asyncio.create_task(answer(engine, PROMPTS[1], "a", max_tokens=60))
    await until(lambda: engine.generated_tokens > 3)
    with pytest.raises(EnvError, match="engine_failed"):
        await answer(engine, [len(policy.tokenizer) + 1000], "bad")
    kept = await long
    await engine.aclose()
    expected = learner_logprobs(policy, PROMPTS[1], kept.token_ids, 1.0)
    assert kept.logprobs == pytest.approx(expected, abs=1e-4)


async def test_a_closed_engine_answers_nobody() -> None:
    engine = HFEngine(small_policy().model)
    await answer(engine, [5], "a")
    await engine.aclose()
    with pytest.raises(EnvError, match="engine_closed"):
        await answer(engine, [5], "a")


@pytest.mark.parametrize("seed", range(6))
async def test_a_storm_of_interruptions_leaves_every_answer_right(seed: int) -> None:
    policy = small_policy()
    storm = _Storm(policy, HFEngine(policy.model, max_rows=7, prefill_tokens=300), seed)
    await asyncio.wait_for(storm.run(), timeout=120)
    await storm.check()


class _Storm:
    """Conversations of several turns, while calls are cancelled and aborted and weights change."""

    def __init__(self, policy: Policy, engine: HFEngine, seed: int) -> None:
        self.policy, self.engine = policy, engine
        self.random = np.random.default_rng(seed)
        self.weights: list[Weights] = [weights_of(policy.model)]
        self.answers: list[tuple[list[int], Generation]] = []
        self.conversations: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        self.conversations = [asyncio.create_task(self._talk(n)) for n in range(16)]
        harms = (self._cancel, self._abort, self._update, self._update)
        while not all(one.done() for one in self.conversations):
            target = self.engine.generated_tokens + int(self.random.integers(0, 25))
            await until(self._reached(target))
            await harms[self.random.integers(len(harms))]()

    def _reached(self, tokens: int) -> Callable[[], bool]:
        return lambda: (
            self.engine.generated_tokens >= tokens or all(one.done() for one in self.conversations)
        )

    async def _talk(self, number: int) -> None:
        """Up to three turns; a third of the prompts begin alike."""
        random = np.random.default_rng(number)
        ids = [*range(5, 35), number] if number % 3 else random.integers(5, 250, 20).tolist()
        try:
            for turn in range(3):
                limit = int(random.integers(1, 25))
                one = await answer(self.engine, ids, str(number), max_tokens=limit, seed=turn)
                self.answers.append((ids, one))
                if one.finish_reason == "abort":
                    return
                ids = [*ids, *one.token_ids, *random.integers(5, 250, 4).tolist()]
        finally:
            await self.engine.release(str(number))

    async def _cancel(self) -> None:
        self.conversations[self.random.integers(16)].cancel()

    async def _abort(self) -> None:
        await self.engine.abort(str(self.random.integers(16)))

    async def _update(self) -> None:
        await self.engine.pause(timeout_s=60, drain=bool(self.random.integers(2)))
        if self.random.integers(2):
            await self._cancel()
        change(self.policy.model, len(self.weights))
        self.weights.append(weights_of(self.policy.model))
        await self.engine.update_weights(None, len(self.weights) - 1, timeout_s=5)
        await self.engine.resume()

    async def check(self) -> None:
        """Versions and log-probs of all answers; nothing is left of any conversation."""
        last = await answer(self.engine, [5], "last")
        assert last.version == len(self.weights) - 1
        assert (self.engine.running, self.engine.cached_conversations) == (0, 1)
        await self.engine.aclose()
        assert self.answers
        expected = [[0.0] * len(one.token_ids) for _, one in self.answers]
        for version, weights in enumerate(self.weights):
            self.policy.model.load_state_dict(weights, strict=False)
            for (prompt, one), logprobs in zip(self.answers, expected, strict=True):
                if version in one.token_versions:
                    now = learner_logprobs(self.policy, prompt, one.token_ids, 1.0)
                    for place, whose in enumerate(one.token_versions):
                        logprobs[place] = now[place] if whose == version else logprobs[place]
        for (_, one), logprobs in zip(self.answers, expected, strict=True):
            assert one.logprobs == pytest.approx(logprobs, abs=1e-3)
            assert list(one.token_versions) == sorted(one.token_versions)
