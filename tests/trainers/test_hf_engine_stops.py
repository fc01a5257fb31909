"""Stop strings of the hf engine: inside a token, over several, and over bytes of one character."""

import asyncio

import numpy as np
import pytest
from engine_answers import PROMPTS, answer
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import small_policy

from agentgym import Generation, Sampling, UsageError
from agentgym_trainers.engines.call import Call
from agentgym_trainers.engines.hf import HFEngine
from agentgym_trainers.scratch import new_tokenizer

BYTES = new_tokenizer()
PIECES = new_tokenizer(["the end of the answer, and of the end"] * 50, vocab_size=300)


def stopped_at(tokenizer: object, ids: list[int], stop: tuple[str, ...]) -> int | None:
    """How many of the tokens a call samples until it ends; ``None`` if it would not."""
    loop = asyncio.new_event_loop()
    done: asyncio.Future[Generation] = loop.create_future()
    sampling = Sampling(max_tokens=len(ids) + 1, stop=stop)
    decode = tokenizer.decode  # type: ignore[attr-defined]  # transformers' classes are untyped
    call = Call([1], sampling, "a", done, np.random.default_rng(0), decode)
    loop.close()
    for count, token in enumerate(ids, start=1):
        call.sampled.append(token)
        if call.finish_reason is not None:
            assert call.finish_reason == "stop"
            return count
    return None


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_stop_string_ends_a_call_at_the_token_that_completes_it(
    tokenizer: object, data: st.DataObject
) -> None:
    words = st.sampled_from(["the end", " of", "é", "–", "答え", "🙂", "\n\n", "</answer>", "an"])
    text = "".join(data.draw(st.lists(words, min_size=1, max_size=30)))
    start = data.draw(st.integers(0, len(text) - 1))
    stop = text[start : start + data.draw(st.integers(1, 12))]
    encode, decode = tokenizer.encode, tokenizer.decode  # type: ignore[attr-defined]
    ids = encode(text, add_special_tokens=False)
    first = next(count for count in range(1, len(ids) + 1) if stop in decode(ids[:count]))
    assert stopped_at(tokenizer, ids, ("never", stop)) == first
    assert stopped_at(tokenizer, ids, ("never",)) is None


async def test_what_completes_a_stop_string_is_kept_and_others_go_on() -> None:
    policy = small_policy()
    decode = policy.tokenizer.decode
    engine = HFEngine(policy.model, decode=decode)
    free = await asyncio.gather(
        *(answer(engine, ids, f"free{n}", max_tokens=30) for n, ids in enumerate(PROMPTS))
    )
    text = decode(list(free[0].token_ids))
    stop = next(text[n : n + 3] for n in range(8, 20) if "\ufffd" not in text[n : n + 3])
    cut, *others = await asyncio.gather(
        answer(engine, PROMPTS[0], "cut", max_tokens=30, stop=(stop,)),
        *(answer(engine, ids, f"o{n}", max_tokens=30) for n, ids in enumerate(PROMPTS[1:])),
    )
    await engine.aclose()
    assert cut.finish_reason == "stop"
    assert cut.token_ids == free[0].token_ids[: len(cut.token_ids)]
    assert stop in decode(list(cut.token_ids))
    assert stop not in decode(list(cut.token_ids[:-1]))
    assert [one.token_ids for one in others] == [one.token_ids for one in free[1:]]


async def test_stop_strings_need_a_way_to_read_tokens() -> None:
    engine = HFEngine(small_policy().model)
    with pytest.raises(UsageError, match=r"decode=tokenizer\.decode"):
        await answer(engine, [5], "a", stop=("x",))
    await engine.aclose()
