"""Call strings: BrowserGym's actions, and what is no call."""

import pytest

from agentgym.formats import get_format
from agentgym.messages import ToolSpec


def _spec(name: str, *parameters: str) -> ToolSpec:
    properties = {one: {"type": "string"} for one in parameters}
    return ToolSpec(name, "", {"type": "object", "properties": properties})


BROWSER = [
    _spec("click", "id", "button", "times"), _spec("fill", "id", "text"),
    _spec("select", "id", "options"), _spec("press", "key", "id"), _spec("hover", "id"),
    _spec("drag", "id", "to"), _spec("scroll", "direction", "id"), _spec("goto", "url"),
    _spec("back"), _spec("forward"), _spec("new_tab", "url"), _spec("switch_tab", "tab"),
    _spec("close_tab", "tab"), _spec("wait", "seconds"), _spec("answer", "text"),
    _spec("give_up"),
]  # fmt: skip
"""As in ``agentgym_tools.browser.actions``, which only a browser's package can import."""


def calls(text: str) -> list[tuple[str, object]]:
    action = get_format("browsergym").parse(text, tools=BROWSER)
    return [(call.name, call.error or call.arguments) for call in action.tool_calls]


@pytest.mark.parametrize(
    ("written", "name", "arguments"),
    [
        ("click('12')", "click", {"id": "12"}),
        ("click('12', button='right')", "click", {"id": "12", "button": "right"}),
        ("click(id='12')", "click", {"id": "12"}),
        ("dblclick('12')", "click", {"id": "12", "times": 2}),
        ("fill('a51', 'it\\'s \"so\"')", "fill", {"id": "a51", "text": 'it\'s "so"'}),
        ('fill("3", """two\nlines""")', "fill", {"id": "3", "text": "two\nlines"}),
        ("fill('3', 'x', True)", "fill", {"id": "3", "text": "x"}),
        ("clear('3')", "fill", {"id": "3", "text": ""}),
        ("select_option('3', ['S', 'L'])", "select", {"id": "3", "options": ["S", "L"]}),
        ("press('3', 'Control+a')", "press", {"id": "3", "key": "Control+a"}),
        ("focus('3')", "press", {"id": "3", "key": "Shift"}),
        ("keyboard_press('Enter')", "press", {"key": "Enter"}),
        ("hover(bid='3')", "hover", {"id": "3"}),
        ("drag_and_drop('3', '4')", "drag", {"id": "3", "to": "4"}),
        ("scroll(0, 200)", "scroll", {"direction": "down"}),
        ("scroll(delta_x=-50.2, delta_y=-0.0)", "scroll", {"direction": "left"}),
        ("scroll('up')", "scroll", {"direction": "up"}),
        ("goto('http://shop.test/')", "goto", {"url": "http://shop.test/"}),
        ("go_back()", "back", {}),
        ("go_forward()", "forward", {}),
        ("new_tab()", "new_tab", {}),
        ("tab_focus(2)", "switch_tab", {"tab": 2}),
        ("tab_close()", "close_tab", {}),
        ("noop()", "wait", {}),
        ("noop(500)", "wait", {"seconds": 0.5}),
        ("send_msg_to_user('42')", "answer", {"text": "42"}),
        ("report_infeasible('no such thing')", "give_up", {}),
        ("answer('42')", "answer", {"text": "42"}),
    ],
)
def test_actions_of_browsergym_are_read(written: str, name: str, arguments: object) -> None:
    for text in (
        written,
        f"I think so.\n{written}\n",
        f"```\n{written}\n```",
        f"```python\n{written}  # done\n```",
        f"```{written}```",
        f"<action>\n{written}\n</action>",
        f"<action>{written}</action>",
    ):
        assert calls(text) == [(name, arguments)], text


def test_several_calls_are_read_in_order() -> None:
    text = "fill('1', 'a(b')\nclick('2');\n\npress('1', 'Enter')"
    assert [name for name, _ in calls(text)] == ["fill", "click", "press"]


@pytest.mark.parametrize(
    "written",
    [
        "I will click('12').",
        "click('12') and then wait",
        "click",
        "print('12')",
        "```json\nclick('12')\n```",
        "<think>\nclick('12')\n</think>",
    ],
)
def test_talk_of_calls_is_none(written: str) -> None:
    assert calls(written) == []


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("click('12'", "invalid_syntax"),
        ("click(element)", "invalid_syntax"),
        ("click('1' + '2')", "invalid_syntax"),
        ("click(open('/etc/passwd'))", "invalid_syntax"),
        ("click(12j)", "invalid_syntax"),
        ("drag_and_drop('1', '2', 1e999)", "invalid_syntax"),
        ("drag('1', '2', -1e999, 0)", "invalid_syntax"),
        ("back(1, 2)", "invalid_arguments"),
        ("click(" + "[" * 5000 + "]" * 5000 + ")", "invalid_syntax"),
    ],
)
def test_calls_that_cannot_be_read_say_so(written: str, code: str) -> None:
    assert [error for _, error in calls(written)] == [code]
