"""The hermes format: nothing makes it raise, and what is rendered is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym import ToolCall, UnknownName
from agentgym.formats import get_format

hermes = get_format("hermes")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fragments = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        '{"name": "f"',
        '"arguments": ',
        "{}",
        "}",
        "[",
        '"',
        "\\",
        "1e999",
        "NaN",
        ",",
    ]
)


@given(st.one_of(st.text(), st.lists(fragments | st.text(max_size=3)).map("".join)))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    for reason in ("stop", "length", "abort"):
        action = hermes.parse(text, reason)
        assert action.raw == text
        assert all(
            (call.arguments is None) == (call.error is not None) for call in action.tool_calls
        )


@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.dictionaries(st.text(), json_values, max_size=4)),
        max_size=3,
    )
)
def test_rendered_calls_are_parsed_back(calls: list[tuple[str, dict[str, object]]]) -> None:
    rendered = hermes.render([ToolCall("", name, "", arguments) for name, arguments in calls])
    parsed = hermes.parse(rendered).tool_calls
    assert [(call.name, call.arguments) for call in parsed] == calls


def test_raw_arguments_are_kept_to_the_byte() -> None:
    text = 'hm <tool_call>{"name":"f","arguments" :  {"a":1,\n "b": [ ]} , "x": 2}</tool_call> ok'
    action = hermes.parse(text)
    assert action.tool_calls[0].arguments_raw == '{"a":1,\n "b": [ ]}'
    assert action.text == "hm  ok"


@pytest.mark.parametrize(
    ("body", "reason", "code"),
    [
        ('{"name": "f", "arguments": {', "stop", "unclosed_tag"),
        ('{"name": "f", "arguments": {', "length", "truncated_json"),
        ("{oops}</tool_call>", "stop", "invalid_json"),
        ("[1]</tool_call>", "stop", "not_an_object"),
        ('{"arguments": {}}</tool_call>', "stop", "missing_name"),
        ('{"name": "f", "arguments": [1]}</tool_call>', "stop", "invalid_arguments"),
        ('{"name": "f", "arguments": {"x": NaN}}</tool_call>', "stop", "invalid_json"),
    ],
)
def test_each_defect_has_its_code(body: str, reason: str, code: str) -> None:
    (call,) = hermes.parse("<tool_call>" + body, reason).tool_calls  # type: ignore[arg-type]
    assert call.error == code
    assert call.arguments is None


def test_arguments_as_a_json_string_are_accepted() -> None:
    (call,) = hermes.parse(
        '<tool_call>{"name":"f","arguments":"{\\"a\\": 1}"}</tool_call>'
    ).tool_calls
    assert call.arguments == {"a": 1}


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'hermes'"):
        get_format("hermse")
