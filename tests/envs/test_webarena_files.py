"""Task files in WebArena's format: reading, checking, forwarding, playing."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from agentgym import DataError, Ending, EnvError, UsageError
from agentgym.checks.tool_calls import write_call
from agentgym_envs.web.webarena.checks import Contents, answer_includes, clean, url_matches
from agentgym_envs.web.webarena.forwarder import Forwarder
from agentgym_envs.web.webarena.origins import Origins
from agentgym_envs.web.webarena.site import TaskFileSite
from agentgym_tools.browser.find import missing_browser

SHOP = {"__SHOP__": "http://127.0.0.1:7770"}


def entry(**evaluation: Any) -> dict[str, Any]:
    return {"intent": "Do it.", "start_url": "__SHOP__/start", "eval": evaluation}


def answered(**references: Any) -> dict[str, Any]:
    return entry(eval_types=["string_match"], reference_answers=references)


def written(path: Path, *entries: object) -> Path:
    file = path / "tasks.json"
    file.write_text(json.dumps(entries), encoding="utf-8")
    return file


def test_a_file_becomes_tasks(tmp_path: Path) -> None:
    file = written(tmp_path, answered(exact_match="Ann"), answered(must_include=["1", "2"]))
    tasks = TaskFileSite(path=file, origins=SHOP).load_tasks()
    assert [task.prompt for task in tasks] == ["Do it.", "Do it."]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "entry 2: intent"),
        (entry(eval_types=["telepathy"]), r"entry 2: eval\.eval_types"),
        (entry(eval_types=["string_match"]), "entry 2: eval: .*needs reference_answers"),
        (entry(eval_types=["url_match"]), "needs reference_url"),
        (answered(fuzzy_match=["about ten"]), "entry 2: .*fuzzy_match needs a judge"),
        ({**answered(exact_match="x"), "start_url": "__MAP__"}, "no address for __MAP__"),
        ({**answered(exact_match="x"), "start_url": "http://example.org/"}, "of no known site"),
        (
            entry(
                eval_types=["program_html"],
                program_html=[
                    {"url": "func:f()", "locator": "", "required_contents": {"exact_match": "x"}}
                ],
            ),
            "program of WebArena's own sites",
        ),
    ],
)
def test_a_bad_entry_is_named_with_its_number(tmp_path: Path, bad: object, message: str) -> None:
    file = written(tmp_path, answered(exact_match="Ann"), bad)
    with pytest.raises(DataError, match=message) as raised:
        len(TaskFileSite(path=file, origins=SHOP).load_tasks())
    assert "\n" not in str(raised.value)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tasks.json").write_text("[{", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        TaskFileSite(path=tmp_path / "tasks.json").load_tasks()


def test_unsupported_entries_can_be_left_out_but_malformed_ones_cannot(tmp_path: Path) -> None:
    fuzzy, right = answered(fuzzy_match=["about ten"]), answered(exact_match="Ann")
    file = written(tmp_path, fuzzy, right)
    assert len(TaskFileSite(path=file, origins=SHOP, skip_unsupported=True).load_tasks()) == 1
    with pytest.raises(DataError, match="entry 1"):
        TaskFileSite(path=written(tmp_path, {}), skip_unsupported=True).load_tasks()


@pytest.mark.parametrize(
    ("given", "phrases", "included"),
    [
        ("There are 10.", ["0"], False),
        ("There are 0 of them.", ["0"], True),
        ("Ann and Bob", ["ann", "bob"], True),
        ("Ann", ["ann", "bob"], False),
        ("", ["ann"], False),
    ],
)
def test_an_answer_must_include_every_phrase(
    given: str, phrases: list[str], included: bool
) -> None:
    assert answer_includes(given, phrases) is included


def test_quotes_and_case_do_not_matter() -> None:
    assert clean(" 'Ann' ") == clean("ANN")


@pytest.mark.parametrize(
    ("url", "reference", "matches"),
    [
        ("http://shop.test/a/b/", "http://shop.test/a", True),
        ("http://shop.test/a?x=1&y=2", "http://shop.test/a?x=1", True),
        ("http://shop.test/a?x=3", "http://shop.test/a?x=1", False),
        ("http://shop.test/c", "http://shop.test/a", False),
    ],
)
def test_an_address_holds_the_reference(url: str, reference: str, matches: bool) -> None:
    assert url_matches(url, [reference]) is matches
    assert url_matches(url, ["http://else.test/", reference]) is matches


@pytest.mark.parametrize(
    ("contents", "text", "fits"),
    [
        (Contents(include=("Tom &amp; Ann",)), "<b>Tom &amp;amp; Ann</b>", True),
        (Contents(include=("red |OR| blue", "hat")), "a Blue Hat", True),
        (Contents(include=("red |OR| blue", "hat")), "a green hat", False),
        (Contents(exact="Ann"), " ann ", True),
        (Contents(exact="Ann"), "Anna", False),
    ],
)
def test_a_page_holds_what_it_must(contents: Contents, text: str, fits: bool) -> None:
    assert contents.fit(text) is fits


def test_sites_are_called_by_names_inside() -> None:
    origins = Origins({"__SHOP_ADMIN__": "http://127.0.0.1:7780/admin"})
    assert origins.inside("__SHOP_ADMIN__/x") == "http://shop-admin.test/admin/x"
    assert origins.inside("http://127.0.0.1:7780/y") == "http://shop-admin.test/y"
    assert str(origins.outside("http://shop-admin.test/y?z=1")) == "http://127.0.0.1:7780/y?z=1"
    assert origins.outside("http://127.0.0.1:7780/y") is None
    assert origins.outside("http://example.org/") is None


@pytest.mark.parametrize("bad", [{"SHOP": "http://127.0.0.1:1"}, {"__SHOP__": "localhost"}])
def test_a_bad_origin_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="origins"):
        Origins(bad)


@pytest.fixture
async def local() -> AsyncIterator[str]:
    """A site of three pages, whose links name its real address."""

    async def home(request: web.Request) -> web.Response:
        here = f"http://{request.host}"
        page = f"<title>Home</title><a href='{here}/item'>Item</a><a href='/move'>Move</a>"
        answer = web.Response(text=page, content_type="text/html")
        answer.set_cookie("seen", "1", domain="127.0.0.1")
        return answer

    async def item(request: web.Request) -> web.Response:
        text = f"<title>Item</title><p id='price'>12.50</p><p>{request.cookies.get('seen')}</p>"
        return web.Response(text=text, content_type="text/html")

    async def move(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://{request.host}/item")

    app = web.Application()
    app.add_routes([web.get("/", home), web.get("/item", item), web.get("/move", move)])
    server = TestServer(app)
    await server.start_server()
    yield str(server.make_url("")).rstrip("/")
    await server.close()


async def test_the_forwarder_renames_addresses_both_ways(local: str) -> None:
    forwarder = Forwarder(Origins({"__SHOP__": local}))
    home = await forwarder.answer(make_mocked_request("GET", "http://shop.test/"))
    assert isinstance(home, web.Response)
    assert b"http://shop.test/item" in bytes(home.body)  # type: ignore[arg-type]
    assert "domain" not in home.headers["Set-Cookie"].lower()
    moved = await forwarder.answer(make_mocked_request("GET", "http://shop.test/move"))
    assert moved is not None
    assert (moved.status, moved.headers["Location"]) == (302, "http://shop.test/item")
    assert await forwarder.answer(make_mocked_request("GET", "http://else.test/")) is None
    assert await forwarder.answer(make_mocked_request("GET", f"{local}/")) is None
    await forwarder.aclose()


async def test_a_site_that_is_down_masks_the_episode() -> None:
    forwarder = Forwarder(Origins({"__SHOP__": "http://127.0.0.1:9"}))
    answer = await forwarder.answer(make_mocked_request("GET", "http://shop.test/"))
    assert answer is not None
    assert answer.status == 502
    with pytest.raises(EnvError, match="site_unreachable"):
        forwarder.check()
    await forwarder.aclose()


@pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))
async def test_a_file_is_played_on_a_local_site(local: str, tmp_path: Path) -> None:
    from agentgym_envs.web.env import WebEnv

    evaluation = {
        "eval_types": ["string_match", "url_match", "program_html"],
        "reference_answers": {"exact_match": "12.50"},
        "reference_url": f"{local}/item",
        "program_html": [
            {
                "url": "last",
                "locator": "document.querySelector('#price').textContent",
                "required_contents": {"exact_match": "12.50"},
            },
            {"url": f"{local}/", "locator": "", "required_contents": {"must_include": ["Item"]}},
        ],
    }
    file = written(tmp_path, {"intent": "Price?", "start_url": f"{local}/", "eval": evaluation})
    env = WebEnv(site=str(file), split="all")
    for steps, ending in ((("Item",), Ending.SOLVED), ((), Ending.FAILED)):
        await env.begin(seed=0)
        for _ in range(7):  # as many tabs as there may be: the judge opens one of its own
            await env.advance(write_call(env, "new_tab", {}))
        await env.advance(write_call(env, "switch_tab", {"tab": 0}))
        for link in steps:
            assert env.view is not None
            found = env.view.find("link", link)
            assert found is not None
            await env.advance(write_call(env, "click", {"id": found.id}))
        result = await env.advance(write_call(env, "answer", {"text": "12.50"}))
        assert result.ending is ending
    await env.end()
