"""Messages to token ids, append-only, with the formats of two model families and our own."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import tokenizer_like
from transformers import AutoTokenizer

from agentgym import ImagePart, Message, ToolSpec, UsageError
from agentgym.formats import format_names, get_format
from agentgym_trainers.renderer import Renderer
from agentgym_trainers.scratch import new_tokenizer

TOOL = ToolSpec("look", "Look.", {"type": "object", "properties": {"at": {"type": "string"}}})
HERMES = get_format("hermes")
START = [Message("system", "Be good."), Message("user", "Who?")]
FAMILIES = ["qwen3", "llama3", "ours"]


def renderer(family: str) -> Renderer:
    tokenizer = new_tokenizer() if family == "ours" else tokenizer_like(family)
    return Renderer(tokenizer, [TOOL], HERMES)


@pytest.mark.parametrize("family", FAMILIES)
def test_turns_only_append_and_sampled_ids_stay_as_they_are(family: str) -> None:
    render = renderer(family)
    messages = list(START)
    prompt = render.start(messages)
    # These ids decode to "lo" but are not how the tokenizer would write it, were it asked again.
    odd = [*render.tokenizer.encode("l"), *render.tokenizer.encode("o")]
    for turn in range(3):
        sampled = [*odd, render.stop_ids[0]]
        messages += [
            Message("assistant", render.decode(sampled)),
            Message("tool", f"result {turn}"),
        ]
        longer = render.extend(prompt, sampled, messages)
        assert longer is not None
        assert longer.token_ids[: len(prompt.token_ids)] == prompt.token_ids
        after = longer.token_ids[len(prompt.token_ids) :]
        assert list(after[: len(sampled)]) == sampled
        assert longer.text == render.start(messages).text
        assert render.tokenizer.decode(longer.token_ids) == longer.text
        prompt = longer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_turn_cut_by_length_gets_its_end_from_the_template(family: str) -> None:
    render = renderer(family)
    prompt = render.start(START)
    sampled = render.tokenizer.encode("cut", add_special_tokens=False)
    after = [*START, Message("assistant", "cut"), Message("user", "Go on.")]
    longer = render.extend(prompt, sampled, after)
    assert longer is not None
    assert render.tokenizer.decode(longer.token_ids) == render.start(after).text


def test_reasoning_that_the_template_strips_forks_a_segment() -> None:
    render = renderer("qwen3")
    prompt = render.start(START)
    sampled = render.encode_reply("<think>\nhm\n</think>\n\nBe kind.")
    answer = Message("assistant", render.decode(sampled))
    assert render.extend(prompt, sampled, [*START, answer, Message("tool", "ok")]) is not None
    forked = [*START, answer, Message("user", "And now?")]
    assert render.extend(prompt, sampled, forked) is None
    assert "hm" not in render.start(forked).text


def test_text_that_the_template_trims_forks_a_segment() -> None:
    render = renderer("llama3")
    prompt = render.start(START)
    sampled = render.encode_reply(" spaced ")
    after = [*START, Message("assistant", " spaced "), Message("user", "?")]
    assert render.extend(prompt, sampled, after) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tools_are_described_exactly_once(family: str) -> None:
    text = renderer(family).start(START).text
    assert text.count("Look.") == 1
    assert "<tool_call>" in text
    without_system = renderer(family).start(START[1:]).text
    assert without_system.count("Look.") == 1


SPOKEN = {
    "hermes": '<tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call>',
    "xml": "<tool_call>\n<function=example_function_name>\n<parameter=example>\n1\n</parameter>",
    "other": 'Use ```code```, {"name": ...} or <b>.',
}


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("format_name", format_names())
def test_only_a_template_that_explains_the_format_is_given_the_tools(
    spoken: str, format_name: str
) -> None:
    tokenizer = new_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if tools %}NATIVE " + SPOKEN[spoken] + "{% endif %}"
    )
    text = Renderer(tokenizer, [TOOL], get_format(format_name)).start(START).text
    assert ("NATIVE" in text) == (spoken == format_name)
    assert ("# Tools" in text) == (spoken != format_name)


def test_stop_ids_of_a_family_are_found() -> None:
    render = renderer("llama3")
    names = [render.tokenizer.decode([one]) for one in render.stop_ids]
    assert "<|eot_id|>" in names


def test_a_template_without_a_tool_role_gets_results_as_user_messages() -> None:
    tokenizer = tokenizer_like("llama3")
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}"
        "{{ raise_exception('no such role') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    render = Renderer(tokenizer, [], HERMES)
    text = render.start([*START, Message("assistant", "a"), Message("tool", "result")]).text
    assert text.endswith("[user]result[assistant]")


@pytest.mark.parametrize("family", FAMILIES)
def test_half_a_surrogate_pair_in_an_observation_is_a_question_mark(family: str) -> None:
    render = renderer(family)
    said = Message("assistant", "Look.")
    odd, plain = (
        render.start([*START, said, Message("tool", text)]) for text in ("a\ud800b", "a?b")
    )
    assert odd == plain


def test_images_and_missing_templates_are_refused() -> None:
    with pytest.raises(UsageError, match="text only"):
        renderer("ours").start([Message("user", (ImagePart(b""),))])
    bare = new_tokenizer()
    bare.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        Renderer(bare, [], HERMES)


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_said_the_text_is_the_templates_or_a_fork(said: str, seen: str) -> None:
    render = _OURS
    prompt = render.start(START)
    sampled = render.encode_reply(said)
    messages = [*START, Message("assistant", render.decode(sampled)), Message("tool", seen)]
    longer = render.extend(prompt, sampled, messages)
    assert longer is not None
    assert longer.text == render.start(messages).text


_OURS = renderer("ours")


def test_a_phrase_is_one_token_wherever_it_stands_and_the_longest_wins(tmp_path: Path) -> None:
    opening = "\n<|im_start|>user\n"
    tokenizer = new_tokenizer(["next 7"], vocab_size=300, phrases=[" 7", " 72", opening, ", next"])
    tokenizer.save_pretrained(tmp_path)
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        ids = one.encode(f"<|im_end|>{opening}go 7, next 72, next 7")
        assert one.decode(ids) == f"<|im_end|>{opening}go 7, next 72, next 7"
        pieces = [one.decode([number]) for number in ids]
        assert pieces == ["<|im_end|>", opening, "g", "o", " 7", ", next", " 72", ", next", " 7"]
