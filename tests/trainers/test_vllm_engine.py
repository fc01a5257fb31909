"""The vllm engine's promises: on servers that sample with the hf engine everywhere, and on vLLM
itself, as a server and in process, where it is installed."""

import asyncio
import importlib.util
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from process_tree import commands_below
from token_server import TokenServer, token_server

from agentgym import EnvError, Generation, Sampling, UsageError
from agentgym_trainers.engines.settings import EngineSettings
from agentgym_trainers.engines.vllm.engine import VllmEngine
from agentgym_trainers.policy import Policy, load_policy

MISSING = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed here; make test-vllm has it in an environment of its own",
)
REAL_MARKS = [pytest.mark.vllm, MISSING]
KINDS = [
    pytest.param((kind, sync), id=f"{kind} by {sync}", marks=marks)
    for kind, marks in {"token servers": [], "server": REAL_MARKS, "in_process": REAL_MARKS}.items()
    for sync in ("disk", "broadcast")
]
REAL = {
    "engine_args": {"enforce_eager": True, "distributed_executor_backend": "uni"},
    "start_s": 1500,  # on a busy machine
    "health_s": 120,
}
PROMPT = list(range(5, 60))
LONG = 400  # tokens, while a short call is answered several times over
WAIT_S = 900

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1800),  # a start of vLLM among others takes minutes on a busy machine
]


@dataclass
class Subject:
    """An engine, the policy whose weights it has, and how to kill what it generates with."""

    engine: VllmEngine
    policy: Policy
    kill: Callable[[], Awaitable[None]]
    servers: Sequence[TokenServer] = ()
    version: int = 0

    async def ask(self, ids: Sequence[int] = PROMPT, name: str = "a", **options: Any) -> Generation:
        """A turn of its own conversation."""
        sampling = Sampling(**{"max_tokens": 8, "seed": 3, **options})
        try:
            return await self.engine.generate(ids, sampling, request_id=name, timeout_s=WAIT_S)
        finally:
            await self.engine.release(name)

    def change(self) -> None:
        """Other weights, in the learner only."""
        with torch.no_grad():
            for number, weights in enumerate(self.policy.model.parameters()):
                torch.manual_seed(number + 100 * self.version)
                weights.add_(torch.randn_like(weights) * 0.02)

    async def update(self) -> None:
        """The learner's weights to the engine, as the trainer does it."""
        await self.engine.pause(timeout_s=WAIT_S, drain=False)
        try:
            self.version += 1
            model = self.policy.model
            await self.engine.update_weights(model, self.version, timeout_s=WAIT_S)
        finally:
            await self.engine.resume()

    @torch.no_grad()
    def expected(self, prompt: Sequence[int], tokens: Sequence[int], **options: Any) -> list[float]:
        """Log-probabilities under the learner's weights, after temperature and filters."""
        ids = torch.tensor([[*prompt, *tokens]])
        logits_TV = self.policy.model(ids).logits[0, len(prompt) - 1 : -1]
        found = []
        for logits_V, token in zip(logits_TV, tokens, strict=True):
            setting = Sampling(**options)
            probabilities_V = torch.log_softmax(logits_V / setting.temperature, -1)
            rank = int((probabilities_V > probabilities_V[token]).sum())
            kept = probabilities_V.sort(descending=True).values
            if setting.top_k:
                kept = torch.log_softmax(kept[: setting.top_k], -1)
            if setting.top_p < 1:
                before = kept.exp().cumsum(0) - kept.exp()
                kept = torch.log_softmax(kept[before < setting.top_p], -1)
            assert rank < len(kept), "a token that the filters should have dropped"
            found.append(float(kept[rank]))
        return found


async def open_subject(kind: str, sync: str, stack: AsyncExitStack, folder: Path) -> Subject:
    """An engine of ``search-tiny``, whose embedding is tied to its output layer."""
    policy = load_policy("search-tiny", device="cpu")
    settings = EngineSettings(concurrency=16, context_tokens=2048, folder=folder)
    servers: list[TokenServer] = []
    options: dict[str, Any] = {"mode": kind, "sync": sync, **REAL}
    if kind == "token servers":
        servers = [await stack.enter_async_context(token_server("search-tiny"))]
        options = {"urls": [one.url for one in servers], "sync": sync}
    engine = await VllmEngine.start(policy, settings, **options)
    stack.push_async_callback(engine.aclose)

    async def kill() -> None:
        if kind == "token servers":
            await servers[0].kill()
            await servers[0].start()
        else:
            os.kill(core_process(), signal.SIGKILL)

    return Subject(engine, policy, kill, servers)


def core_process() -> int:
    """The process in which vLLM computes."""
    (core,) = [
        pid for pid, command in commands_below(os.getpid()).items() if "EngineCore" in command
    ]
    return core


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Subject]:
    folder = tmp_path_factory.mktemp("engine") / "weights"
    kind, sync = request.param
    async with AsyncExitStack() as stack:
        yield await open_subject(kind, sync, stack, folder)
    assert not folder.exists()
    assert not [
        one
        for one in commands_below(os.getpid()).values()
        if re.search("EngineCore|api_server", one)
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.6}, {"top_p": 0.8}, {"top_k": 5}, {"top_p": 0.9, "temperature": 1.3}],
    ids=str,
)
async def test_logprobs_are_those_of_the_distribution_sampled_from(
    subject: Subject, options: dict[str, Any]
) -> None:
    found = await subject.ask(max_tokens=24, **options)
    assert len(found.token_ids) == 24
    expected = subject.expected(PROMPT, found.token_ids, **options)
    assert found.logprobs == pytest.approx(expected, abs=1e-3)


async def test_a_greedy_token_has_logprob_zero(subject: Subject) -> None:
    found = await subject.ask(temperature=0.0, seed=1)
    assert found.logprobs == (0.0,) * 8
    assert found.token_ids == (await subject.ask(temperature=0.0, seed=2)).token_ids


async def test_a_seed_gives_the_same_tokens_in_any_company(subject: Subject) -> None:
    alone = await subject.ask(seed=5)
    others = (subject.ask([9 + n] * 30, f"other {n}", seed=n) for n in range(6))
    same, *_ = await asyncio.gather(subject.ask(seed=5), *others)
    assert same.token_ids == alone.token_ids
    assert (await subject.ask(seed=6)).token_ids != alone.token_ids


async def test_stop_ids_and_stop_strings_end_a_turn_and_are_kept(subject: Subject) -> None:
    free = await subject.ask(max_tokens=20)
    assert (free.finish_reason, len(free.token_ids)) == ("length", 20)
    stop = free.token_ids[4]
    stopped = await subject.ask(max_tokens=20, stop_ids=(stop,))
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids == free.token_ids[: free.token_ids.index(stop) + 1]
    text = subject.policy.tokenizer.decode(free.token_ids[6:8])
    said = await subject.ask(max_tokens=20, stop=(text,))
    assert said.finish_reason == "stop"
    assert said.token_ids == free.token_ids[: len(said.token_ids)]
    assert text in subject.policy.tokenizer.decode(said.token_ids)
    assert text not in subject.policy.tokenizer.decode(said.token_ids[:-1])


async def test_the_models_own_end_token_ends_nothing_by_itself(subject: Subject) -> None:
    end = subject.policy.tokenizer.eos_token_id
    for _ in range(10):  # it comes by chance, sooner or later
        said = await asyncio.gather(
            *(
                subject.ask(name=f"one {n}", seed=n, max_tokens=400, temperature=2.0)
                for n in range(16)
            )
        )
        assert {one.finish_reason for one in said} == {"length"}
        if any(end in one.token_ids for one in said):
            return
    raise AssertionError("the end token never came")


async def test_an_aborted_call_gives_back_what_it_has(subject: Subject) -> None:
    long = asyncio.create_task(subject.ask(name="long", max_tokens=1900))
    await subject.ask(name="short")  # by then the long one has begun
    await subject.engine.abort("long")
    found = await long
    assert found.finish_reason == "abort"
    assert len(found.token_ids) < 1900
    expected = subject.expected(PROMPT, found.token_ids)
    assert found.logprobs == pytest.approx(expected, abs=1e-3)


async def test_a_cancelled_call_is_ended_in_the_server_too(subject: Subject) -> None:
    long = asyncio.create_task(subject.ask(name="long", max_tokens=1900))
    await subject.ask(name="short")
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    assert subject.engine.running == 0
    # Draining waits for vLLM itself to be idle: a request left there would be seen as an answer.
    await subject.engine.pause(timeout_s=WAIT_S)
    await subject.engine.resume()
    assert all(one.running == 0 for one in subject.servers)


async def test_a_call_out_of_time_says_what_it_waited_for(subject: Subject) -> None:
    with pytest.raises(EnvError, match=r"engine_timeout: no generation within 0\.05 s"):
        await subject.engine.generate(
            PROMPT, Sampling(max_tokens=1900), request_id="slow", timeout_s=0.05
        )
    assert len((await subject.ask()).token_ids) == 8


async def test_a_repeated_prompt_is_cached_until_the_weights_change(subject: Subject) -> None:
    prompt = list(range(100, 300))
    await subject.ask(prompt)
    if not subject.servers:  # there a conversation that was released is forgotten
        again = (await subject.ask(prompt)).prefilled_tokens
        assert again is not None
        assert again < len(prompt)  # but for a part of a block of the cache, 128 tokens here
    subject.change()
    await subject.update()
    assert (await subject.ask(prompt)).prefilled_tokens == len(prompt)


async def test_new_weights_are_told_from_stale_ones(subject: Subject) -> None:
    before = await subject.ask()
    stale = subject.expected(PROMPT, before.token_ids)
    assert before.logprobs == pytest.approx(stale, abs=1e-3)
    subject.change()
    fresh = subject.expected(PROMPT, before.token_ids)
    assert max(abs(a - b) for a, b in zip(stale, fresh, strict=True)) > 0.05
    await subject.update()
    after = await subject.ask()
    assert (before.version, after.version) == (subject.version - 1, subject.version)
    expected = subject.expected(PROMPT, after.token_ids)
    assert after.logprobs == pytest.approx(expected, abs=1e-3)


async def test_a_call_goes_on_over_an_update_with_both_versions(subject: Subject) -> None:
    old = subject.version
    long = asyncio.create_task(subject.ask(name="long", max_tokens=LONG))
    await subject.ask(name="short")
    copy = {name: one.clone() for name, one in subject.policy.model.state_dict().items()}
    subject.change()
    await subject.update()
    found = await long
    assert (found.finish_reason, len(found.token_ids)) == ("length", LONG)
    assert set(found.token_versions) == {old, old + 1}
    cut = found.token_versions.index(old + 1)
    assert found.token_versions == (old,) * cut + (old + 1,) * (LONG - cut)
    tokens = found.token_ids
    expected = subject.expected([*PROMPT, *tokens[:cut]], tokens[cut:])
    assert found.logprobs[cut:] == pytest.approx(expected, abs=1e-3)
    fresh = {name: one.clone() for name, one in subject.policy.model.state_dict().items()}
    subject.policy.model.load_state_dict(copy)
    expected = subject.expected(PROMPT, tokens[:cut])
    subject.policy.model.load_state_dict(fresh)
    assert found.logprobs[:cut] == pytest.approx(expected, abs=1e-3)


async def test_draining_lets_a_call_end_with_one_version(subject: Subject) -> None:
    running = asyncio.create_task(subject.ask(name="long", max_tokens=100))
    await subject.ask(name="short", max_tokens=1)
    await subject.engine.pause(timeout_s=WAIT_S)
    held = asyncio.create_task(subject.ask(name="held"))
    old = subject.version
    subject.version += 1
    subject.change()
    model = subject.policy.model
    await subject.engine.update_weights(model, subject.version, timeout_s=WAIT_S)
    assert not held.done()
    await subject.engine.resume()
    assert set((await running).token_versions) == {old}
    assert set((await held).token_versions) == {subject.version}


async def test_after_a_crash_calls_go_on_with_the_current_weights(subject: Subject) -> None:
    subject.change()
    await subject.update()
    restarts = subject.engine.restarts
    long = asyncio.create_task(subject.ask(name="long", max_tokens=LONG))
    await subject.ask(name="short")
    await subject.kill()
    found = await long
    assert subject.engine.restarts == restarts + 1
    assert len(found.token_ids) == LONG
    assert set(found.token_versions) == {subject.version}
    expected = subject.expected(PROMPT, found.token_ids)
    assert found.logprobs == pytest.approx(expected, abs=1e-3)


async def test_an_update_needs_a_pause_and_a_model(subject: Subject) -> None:
    with pytest.raises(RuntimeError, match="pause the engine"):
        await subject.engine.update_weights(subject.policy.model, 9, timeout_s=5)
    await subject.engine.pause(timeout_s=WAIT_S)
    with pytest.raises(UsageError, match="give it the learner's model"):
        await subject.engine.update_weights(None, 9, timeout_s=5)
    await subject.engine.resume()
