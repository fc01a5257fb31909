"""Pages where something is to be typed: given, copied, read or worked out."""

from __future__ import annotations

import re

from agentgym_envs.web.miniwob.oracles.steps import (
    FIELDS,
    Script,
    acting,
    below,
    button,
    field,
    fill_in,
    find_named,
    first_number,
    following,
    quoted,
    text,
    texts,
)
from agentgym_envs.web.moves import click, fill, press
from agentgym_tools.browser.view import View

_LABELS = {"genre": "genre", "director": "director", "year": "year", "date": "year"}


def enter_quoted(goal: str, view: View) -> Script:
    return fill_in(view, quoted(goal))


def enter_in_case(goal: str, view: View) -> Script:
    word = quoted(goal)[0]
    return fill_in(view, [word.upper() if "upper" in goal else word.lower()])


def enter_twice(goal: str, view: View) -> Script:
    return fill_in(view, quoted(goal) * 2)


def enter_date(goal: str, view: View) -> Script:
    found = re.findall(r"\d+", goal)
    return fill_in(view, ["{2}-{0}-{1}".format(*found)])


def enter_time(goal: str, view: View) -> Script:
    """Written as in Britain, since that is where the browser believes to be."""
    hours, minutes = re.findall(r"\d+", goal)
    return fill_in(view, [f"{int(hours):02}:{minutes}"])


def login(goal: str, view: View) -> Script:
    return fill_in(view, quoted(goal), "Login")


def login_past_popup(goal: str, view: View) -> Script:
    for index, value in enumerate(quoted(goal)):
        view = yield fill(field(view, index), value)
        while cancel := find_named(view, "Cancel", "button"):
            view = yield click(cancel)
            view = yield fill(field(view, index), value)
    yield click(button(view, "OK"))


def find_word(goal: str, view: View) -> Script:
    words = " ".join(one.name for one in below(view) if not one.id).split()
    word = words[first_number(goal) - 1]
    return fill_in(view, [re.sub(r"[^a-zA-Z]", "", word)])


def text_transform(goal: str, view: View) -> Script:
    return fill_in(view, ["".join(one.name for one in below(view) if not one.id)])


def simple_algebra(goal: str, view: View) -> Script:
    found = re.search(r"(x|\d+) ([+-]) (x|\d+) = (-?\d+)", text(view))
    assert found is not None, text(view)
    left, sign, right, total = found.groups()
    if sign == "+":
        solution = int(total) - int(right if left == "x" else left)
    else:
        solution = int(total) + int(right) if left == "x" else int(left) - int(total)
    return fill_in(view, [str(solution)])


def simple_arithmetic(goal: str, view: View) -> Script:
    found = re.search(r"(\d+) ([-+x]) (\d+) =", text(view))
    assert found is not None, text(view)
    one, other = int(found[1]), int(found[3])
    return fill_in(view, [str({"+": one + other, "-": one - other, "x": one * other}[found[2]])])


def read_table(goal: str, view: View) -> Script:
    found = re.search("value of (.*) into", goal)
    assert found is not None, goal
    return fill_in(view, [following(view, found[1])[0].name])


def read_table_twice(goal: str, view: View) -> Script:
    labels = [name.removesuffix(":") for name in texts(view) if name.endswith(":")]
    return fill_in(view, [following(view, label)[0].name for label in labels])


def copy_paste(goal: str, view: View) -> Script:
    """The area comes before the field on some problems and after it on others."""
    area, box = sorted(acting(view, "textbox"), key=lambda one: not one.value)
    view = yield fill(box, area.value)
    yield click(button(view))


def copy_paste_nth(goal: str, view: View) -> Script:
    areas = acting(view, "textbox")
    view = yield fill(areas[-1], areas[first_number(goal) - 1].value)
    yield click(button(view))


def scroll_text(goal: str, view: View) -> Script:
    area, box = acting(view, "textbox")
    view = yield fill(box, area.value.split()[-1].removesuffix("."))
    yield click(button(view))


def scroll_text_to_end(goal: str, view: View) -> Script:
    area = field(view)
    view = yield click(area)
    view = yield press("Control+End" if "bottom" in goal else "Control+Home", area)
    yield click(button(view))


def guess_number(goal: str, view: View) -> Script:
    low, high = 0, 9
    while True:
        guess = (low + high) // 2
        view = yield fill(field(view), str(guess))
        view = yield click(button(view))
        if "higher" in text(view):
            low = guess + 1
        else:
            high = guess - 1


def generate_number(goal: str, view: View) -> Script:
    while True:
        view = yield click(button(view, "Generate"))
        number = next(int(name) for name in texts(view) if name.isdigit())
        if _fits(goal, number):
            break
    yield click(button(view))


def _fits(goal: str, number: int) -> bool:
    if "less" in goal:
        return number < first_number(goal)
    if "greater" in goal:
        return number > first_number(goal)
    return number % 2 == (0 if "even" in goal else 1)


def search_movies(goal: str, view: View) -> Script:
    """Labels stand before their fields or behind them, but in the same order."""
    found = re.search("for (.*) movies directed by (.*) from year (.*?)[.]", goal)
    assert found is not None, goal
    wanted = dict(zip(("genre", "director", "year"), found.groups(), strict=True))
    labels = dict.fromkeys(label for name in texts(view) if (label := _label(name)))
    for index, label in enumerate(labels):
        view = yield fill(field(view, index), wanted[label])
    yield click([one for one in acting(view) if one.role not in FIELDS and one.name][-1])


def _label(name: str) -> str:
    words = name.lower().strip(":").split()
    return next((_LABELS[word] for word in words if word in _LABELS and len(words) < 3), "")


SCRIPTS = {
    "enter-text": enter_quoted,
    "enter-text-dynamic": enter_quoted,
    "enter-text-2": enter_in_case,
    "enter-password": enter_twice,
    "enter-date": enter_date,
    "enter-time": enter_time,
    "login-user": login,
    "login-user-popup": login_past_popup,
    "find-word": find_word,
    "text-transform": text_transform,
    "simple-algebra": simple_algebra,
    "simple-arithmetic": simple_arithmetic,
    "read-table": read_table,
    "read-table-2": read_table_twice,
    "copy-paste": copy_paste,
    "copy-paste-2": copy_paste_nth,
    "scroll-text": scroll_text,
    "scroll-text-2": scroll_text_to_end,
    "guess-number": guess_number,
    "generate-number": generate_number,
    "multi-layouts": search_movies,
    "multi-orderings": search_movies,
}
