"""MiniWoB++'s pages, tasks and served HTML, without a browser."""

import base64
import hashlib
import re
from collections.abc import Mapping

import numpy as np
import pytest
from aiohttp.test_utils import make_mocked_request

from agentgym import UnknownName
from agentgym_envs.web.miniwob.novice import mistaken_move
from agentgym_envs.web.miniwob.oracles import SCRIPTS
from agentgym_envs.web.miniwob.package import html_folder, missing_pages, page_names
from agentgym_envs.web.miniwob.served_page import served_page
from agentgym_envs.web.miniwob.site import MiniWobSite, MiniWobVisit, miniwob_task
from agentgym_tools.browser.view import Element, View

pytestmark = pytest.mark.skipif(missing_pages() is not None, reason=str(missing_pages()))


def element(role: str, name: str, number: int, value: str = "") -> Element:
    return Element(str(number), role, name, value, box=(0.0, 60.0 + number, 20.0, 20.0))


def view(*elements: Element) -> View:
    return View("http://miniwob.test/miniwob/x.html", "x", elements)


def source(page: str) -> str:
    return (html_folder() / "miniwob" / f"{page}.html").read_text(encoding="utf-8")


async def status(path: str, page: str = "click-test") -> int:
    request = make_mocked_request("GET", path)
    answer = await MiniWobVisit(page, 3, decay=False).answer(request)
    return 0 if answer is None else answer.status


def test_there_are_at_least_110_pages_and_60_of_them_have_an_oracle() -> None:
    assert len(page_names()) >= 110
    assert len(SCRIPTS) >= 60
    assert set(SCRIPTS) <= set(page_names())


def test_an_unknown_page_is_named_with_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="did you mean 'click-test'"):
        MiniWobSite(page="clik-test").load_tasks()


@pytest.mark.parametrize(
    ("page", "pages"),
    [("click-test", {"click-test"}), (["click-link", "enter-text"], {"click-link", "enter-text"})],
)
def test_tasks_are_pages_and_seeds(page: str | list[str], pages: set[str]) -> None:
    rng = np.random.default_rng(0)
    tasks = [MiniWobSite(page=page).load_tasks().split("train").sample(rng) for _ in range(20)]
    assert {task.data["page"] for task in tasks} == pages
    assert all(0 <= task.data["seed"] < 2**31 for task in tasks)


def test_all_means_every_page() -> None:
    tasks = MiniWobSite(page="all").load_tasks()
    assert {tasks[i].data["page"] for i in range(len(page_names()))} == set(page_names())


@pytest.mark.parametrize("page", page_names() if missing_pages() is None else [])
def test_every_page_is_seeded_started_and_closed_to_foreign_scripts(page: str) -> None:
    served, policy = served_page(source(page), 7, decay=False)
    assert (
        served.count("Math.seedrandom(7)") == 2
    )  # before the page's own scripts, and at its start
    assert "core.startEpisodeReal();" in served
    assert "EPISODE_MAX_TIME = 2147483647" in served
    scripts = re.findall(r"<script>(.*?)</script>", served, re.S)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    allowed = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in allowed


def test_with_decay_the_clock_is_the_packages_own() -> None:
    served, _ = served_page(source("click-test"), 7, decay=True)
    assert "2147483647" not in served


async def test_the_same_task_is_served_as_the_same_bytes() -> None:
    visits = [MiniWobVisit("book-flight", 5, decay=False) for _ in range(2)]
    url = "http://miniwob.test/miniwob/book-flight.html"
    answers = [await visit.answer(make_mocked_request("GET", url)) for visit in visits]
    one, other = (getattr(answer, "body", None) for answer in answers)
    assert one
    assert one == other


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("http://miniwob.test/miniwob/click-test.html", 200),
        ("http://miniwob.test/core/core.js", 200),
        ("http://miniwob.test/miniwob/click-link.html", 0),
        ("http://miniwob.test/miniwob/click-test.html?mode=test", 0),
        ("http://miniwob.test/miniwob/click-test.html?record=1", 0),
        ("http://miniwob.test/core/../../environment.py", 0),
        ("http://miniwob.test/core/%2e%2e/%2e%2e/environment.py", 0),
        ("http://miniwob.test/flight/AA/index.html", 0),
        ("http://elsewhere.test/core/core.js", 0),
        (f"http://miniwob.test/core/{'a' * 300}", 0),
        ("http://miniwob.test/core/%00", 0),
        ("http://miniwob.test/core/", 0),
    ],
)
async def test_only_the_tasks_own_page_and_what_pages_share_is_served(
    path: str, expected: int
) -> None:
    assert await status(path) == expected


def moves(page: str, goal: str, *views: View) -> list[tuple[str, Mapping[str, object]]]:
    """What a page's script does, shown one view after the other."""
    script = SCRIPTS[page](goal, views[0])
    return [next(script), *(script.send(seen) for seen in views[1:])]


def test_a_script_reads_the_page_and_nothing_else() -> None:
    shown = view(element("textbox", "", 1), element("button", "Submit", 2))
    goal = 'Type "JERALD" in all lower case letters in the text input and press Submit.'
    assert moves("enter-text-2", goal, shown, shown) == [
        ("fill", {"id": "1", "text": "jerald"}),
        ("click", {"id": "2"}),
    ]


@pytest.mark.parametrize(
    ("problem", "solution"), [("x - 3 = 10", "13"), ("4 - x = 10", "-6"), ("x + 9 = 2", "-7")]
)
def test_algebra_is_solved(problem: str, solution: str) -> None:
    text = Element("", "text", problem, box=(0, 60, 9, 9))
    shown = view(text, element("textbox", "", 1), element("button", "Submit", 2))
    assert moves("simple-algebra", "Solve for x", shown)[0][1]["text"] == solution


def test_what_a_script_does_not_find_is_said_by_name() -> None:
    with pytest.raises(LookupError, match="no button named 'Okay'"):
        moves("click-button", 'Click on the "Okay" button.', view(element("button", "No", 1)))


def test_a_page_without_a_script_has_no_oracle() -> None:
    visit = MiniWobVisit("bisect-angle", 0, decay=False)
    with pytest.raises(NotImplementedError, match="bisect-angle"):
        visit.oracle(view(element("button", "Submit", 1)))


def test_a_novice_acts_on_what_is_there() -> None:
    shown = view(element("textbox", "", 1), element("button", "Submit", 2))
    rng = np.random.default_rng(0)
    made = [mistaken_move(shown, 'Enter "Ann" and submit.', rng) for _ in range(30)]
    assert {name for name, _ in made} == {"fill", "click"}
    assert mistaken_move(view(), "", rng) == ("give_up", {})


def test_tasks_of_other_seeds_are_other_tasks() -> None:
    assert miniwob_task("click-test", 1).key != miniwob_task("click-test", 2).key
