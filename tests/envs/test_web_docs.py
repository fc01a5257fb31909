"""Questions about Python's documentation: how they are made, matched, served and answered."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import make_mocked_request

from agentgym import Ending, UsageError
from agentgym_envs.web.docs.entries import page_entries
from agentgym_envs.web.docs.manual import manual_folder, missing_manual
from agentgym_envs.web.docs.matching import is_answer
from agentgym_envs.web.docs.questions import questions_about, questions_of
from agentgym_envs.web.docs.site import DocsSite
from agentgym_tools.browser.find import missing_browser

PAGE = """
<dl class="py class"><dt class="sig sig-object py" id="m.Box">
<em class="sig-param"><span class="n"><span class="pre">size</span></span><span class="o">
<span class="pre">=</span></span><span class="default_value">
<span class="pre">41</span></span></em><span>)</span></dt><dd><p>A box.</p>
<dl class="py method"><dt class="sig sig-object py" id="m.Box.open"></dt><dd>
<div class="versionadded"><p><span>New in version 3.4.</span></p></div>
<div class="versionchanged"><p><span>Changed in version 3.9: </span>Added the <em>lid</em>
parameter.</p></div></dd></dl>
<div class="versionchanged"><p><span>Changed in version 3.7: </span>It is a box.</p></div></dd></dl>
<dl class="py function"><dt class="sig sig-object py" id="m.first"></dt><dd></dd></dl>
<dl class="py function"><dt class="sig sig-object py" id="m.second"></dt><dd></dd></dl>
"""


def test_notes_belong_to_the_entry_that_they_stand_in() -> None:
    entries = {entry.name: entry for entry in page_entries("library/m.html", PAGE)}
    assert [note.version for note in entries["m.Box"].notes] == ["3.7"]
    assert [note.version for note in entries["m.Box.open"].notes] == ["3.4", "3.9"]
    assert entries["m.Box"].defaults == {"size": "41"}
    assert not entries["m.Box.open"].top


def test_a_name_keeps_the_underscores_that_its_anchor_lacks() -> None:
    shown = "".join(
        f'<span class="sig-{part}"><span class="pre">{text}</span></span>'
        for part, text in (("prename descclassname", "_m."), ("name descname", "lock"))
    )
    page = (
        f"""<dl class="py function"><dt class="sig sig-object py" id="m.lock">{shown}</dt></dl>"""
    )
    assert [entry.name for entry in page_entries("library/_m.html", page)] == ["_m.lock"]


def test_each_kind_of_question_is_asked() -> None:
    questions = questions_about([page_entries("library/m.html", PAGE)])
    assert {one.kind: one.answers for one in questions} == {
        "parameter": ("lid",),
        "default": ("41",),
        "versions": ("3.4, 3.9",),
        "next": ("m.second", "second"),
    }


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("json.dump()", "json.dump"),
        (" `Timeout` ", "timeout"),
        ("3.4,3.9.", "3.4, 3.9"),
        ("utf-8", "'utf-8'"),
        ('""', "''"),
    ],
)
def test_an_answer_may_be_written_otherwise(given: str, accepted: str) -> None:
    assert is_answer(given, [accepted])


@pytest.mark.parametrize(
    ("given", "accepted"),
    [("-1", "1"), ("dump, dumps, load", "dump"), ("", "''"), ("the default is 5", "5"), ("", "x")],
)
def test_another_answer_is_wrong(given: str, accepted: str) -> None:
    assert not is_answer(given, [accepted])


def test_a_folder_that_holds_no_documentation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"library/ and searchindex\.js"):
        manual_folder(tmp_path)
    assert "library/" in str(DocsSite(folder=tmp_path).missing())


needs_manual = pytest.mark.skipif(missing_manual() is not None, reason=str(missing_manual()))


@needs_manual
def test_there_are_hundreds_of_questions_and_no_answer_pays_a_guess() -> None:
    questions = questions_of(manual_folder())
    assert len(questions) > 500
    for kind, count in Counter(one.kind for one in questions).items():
        answers = Counter(one.answers for one in questions if one.kind == kind)
        assert answers.most_common(1)[0][1] <= max(4, 0.1 * count)
    assert not any(one.answers[-1] in one.text.split() for one in questions)


@needs_manual
def test_splits_are_disjoint() -> None:
    tasks = DocsSite().load_tasks()
    keys = [{task.key for task in tasks.split(name)} for name in ("train", "val", "test")]
    assert all(keys)
    assert sum(map(len, keys)) == len(set().union(*keys)) == len(tasks)


@needs_manual
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://docs.test/index.html", 200),
        ("http://docs.test/_static/jquery.js", 200),
        ("http://docs.test/nothing.html", 404),
        ("http://docs.test/../../../../etc/passwd", 404),
        (f"http://docs.test/{'a' * 300}", 404),
        ("http://docs.test/%00", 404),
        ("http://docs.test/library", 404),
        ("http://docs.python.org/3/", 0),
    ],
)
async def test_only_the_documentation_is_served(url: str, expected: int) -> None:
    site = DocsSite()
    visit = await site.visit(site.load_tasks()[0], np.random.default_rng(0))
    answer = await visit.answer(make_mocked_request("GET", url))
    assert (0 if answer is None else answer.status) == expected


MISSING = missing_browser() or missing_manual()


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
async def test_the_oracle_finds_the_page_by_search_and_answers() -> None:
    from agentgym_envs.web.env import WebEnv

    env = WebEnv(site="docs")
    result = await env.begin(seed=0)
    addresses = []
    while result.ending is None:
        result = await env.advance(env.oracle())
        if env.view is not None:
            addresses.append(env.view.url.partition("?")[0])
    assert result.ending is Ending.SOLVED
    assert result.reward == 1.0
    assert "http://docs.test/search.html" in addresses
    await env.end()


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
@pytest.mark.parametrize("subject", ["filter", "__import__"])
async def test_the_oracle_finds_names_that_other_things_have_or_anchors_lack(subject: str) -> None:
    from agentgym_envs.web.env import WebEnv

    env = WebEnv(site="docs")
    task = next(one for one in env.load_tasks() if one.data["subject"] == subject)
    result = await env.begin(seed=0, task=task)
    while result.ending is None:
        result = await env.advance(env.oracle())
    assert result.ending is Ending.SOLVED
    await env.end()


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
async def test_a_wrong_answer_ends_the_episode() -> None:
    from agentgym.checks.tool_calls import write_call
    from agentgym_envs.web.env import WebEnv

    env = WebEnv(site="docs")
    await env.begin(seed=0)
    result = await env.advance(write_call(env, "answer", {"text": "no idea"}))
    assert result.ending is Ending.FAILED
    assert result.reward == 0.0
    await env.end()
