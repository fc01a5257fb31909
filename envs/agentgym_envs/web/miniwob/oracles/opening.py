"""Pages where the right thing shows after another was opened: tabs, sections, menus, lists."""

from __future__ import annotations

from agentgym_envs.web.miniwob.oracles.steps import (
    Lost,
    Script,
    acting,
    button,
    field,
    find_named,
    first_number,
    following,
    named,
    nth,
    quoted,
)
from agentgym_envs.web.moves import click, fill, hover, wait
from agentgym_tools.browser.view import Element, View


def click_tab(goal: str, view: View) -> Script:
    yield click(_tab(view, goal.removeprefix("Click on ").removesuffix(".")))


def search_tabs(goal: str, view: View) -> Script:
    """One tab after the other, until the link shows; it may be the last word of a sentence."""
    wanted, names = quoted(goal)[0], [one.name for one in acting(view, "tab")]
    for name in names:
        view = yield click(_tab(view, name))
        link = _link(view, wanted)
        if link is not None:
            yield click(link)


def expand_section(goal: str, view: View) -> Script:
    view = yield click(nth(view, 0, "tab"))
    yield click(button(view))


def search_sections(goal: str, view: View) -> Script:
    return search_tabs(goal, view)


def select_in_menu(goal: str, view: View) -> Script:
    """A submenu opens under the mouse; a click on its parent would count as the choice."""
    *parents, leaf = goal.removeprefix("Select ").split(">")
    for parent in parents:
        view = yield hover(named(view, parent))
        view = yield wait()
    yield click(named(view, leaf))


def navigate_tree(goal: str, view: View) -> Script:
    """Folders are opened in the order of the page until the name shows."""
    wanted, opened = quoted(goal)[0], set[str]()
    while (found := find_named(view, wanted)) is None:
        folder = next((one for one in acting(view) if one.name and one.id not in opened), None)
        if folder is None:
            raise Lost(f"no folder holds {wanted!r}")
        opened.add(folder.id)
        view = yield click(folder)
    yield click(found)


def search_engine(goal: str, view: View) -> Script:
    """Nine results, three a page."""
    number = first_number(goal.rpartition('"')[2]) - 1
    view = yield fill(field(view), quoted(goal)[0])
    view = yield click(button(view, "Search"))
    if number >= 3:
        view = yield click(named(view, str(number // 3 + 1)))
    yield click(_results(view)[number % 3])


def phone_book(goal: str, view: View) -> Script:
    """One contact a page."""
    words = goal.removesuffix(".").split()
    name, label = words[1], f"{words[-1].capitalize()}:"
    while not any(one.name.strip() == name for one in view.elements[1:]):
        view = yield click(named(view, ">"))
    yield click(next(one for one in following(view, label) if one.id))


def _tab(view: View, name: str) -> Element:
    return next(one for one in acting(view, "tab", "link") if one.name.strip() == name.strip())


def _link(view: View, wanted: str) -> Element | None:
    return next(
        (one for one in acting(view) if one.name.strip() == wanted and one.role != "tab"), None
    )


def _results(view: View) -> list[Element]:
    start = button(view, "Search").box[1] + 20
    links = [one for one in acting(view, "link") if one.box[1] > start]
    return [one for one in links if len(one.name.strip()) > 1 or one.name.isalpha()]


_TABS = ("click-tab-2", "click-tab-2-easy", "click-tab-2-hard")
_SECTIONS = ("click-collapsible-2", "click-collapsible-2-nodelay")

SCRIPTS = {
    "click-tab": click_tab,
    **dict.fromkeys(_TABS, search_tabs),
    "click-collapsible": expand_section,
    "click-collapsible-nodelay": expand_section,
    **dict.fromkeys(_SECTIONS, search_sections),
    "click-menu": select_in_menu,
    "navigate-tree": navigate_tree,
    "search-engine": search_engine,
    "phone-book": phone_book,
}
