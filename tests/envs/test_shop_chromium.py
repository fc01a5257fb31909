"""The shop in a real browser; its twin over HTTP runs everywhere (``test_shop_tasks.py``)."""

from collections.abc import AsyncIterator

import pytest

from agentgym import Ending, Task
from agentgym.checks.tool_calls import write_call
from agentgym_envs.web.shop.tasks import TEMPLATES, task_maker
from agentgym_tools.browser.find import missing_browser

pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))

if missing_browser() is None:
    from agentgym_envs.web.env import WebEnv


@pytest.fixture
async def env() -> AsyncIterator["WebEnv"]:
    made = WebEnv(site="shop", split="all", site_options={"count": 30})
    yield made
    await made.end()


def task_of(template: str, seed: int = 0) -> Task:
    return task_maker([TEMPLATES[template]])(seed)


async def solve(env: "WebEnv", task: Task) -> None:
    result = await env.begin(seed=0, task=task)
    while result.ending is None:
        result = await env.advance(env.oracle())
        assert not env.view or not env.view.error
    assert result.ending is Ending.SOLVED, result.text
    assert sum(step.result.reward for step in env.history.steps) == 1.0


@pytest.mark.parametrize("template", ["cheapest", "buy_everything"])
async def test_the_oracle_solves_tasks(env: "WebEnv", template: str) -> None:
    await solve(env, task_of(template))


@pytest.mark.slow
@pytest.mark.parametrize(
    "template",
    [
        "register_and_wish",
        "tidy_addresses",
        "review_and_wish",
        "return_and_write",
        "phone_and_password",
        "change_and_remove",
        "replace_order",
        "buy_cheapest",
        "tidy_account",
    ],
)
async def test_the_oracle_solves_tasks_of_all_pages(env: "WebEnv", template: str) -> None:
    await solve(env, task_of(template, 1))


async def test_the_same_seed_and_actions_show_the_same_pages(env: "WebEnv") -> None:
    async def texts() -> list[str]:
        result = await env.begin(seed=2, task=task_of("cheapest"))
        seen = [result.text]
        while result.ending is None:
            result = await env.advance(env.oracle())
            seen.append(result.text)
        return seen

    assert await texts() == await texts()


@pytest.mark.parametrize(
    "address",
    [
        "javascript:document.querySelectorAll('form')[2].submit()",
        "javascript:void(document.querySelector('[name=newsletter]').checked=true)",
        "data:text/html,<form method=post action=http://shop.test/account/settings>",
        "http://shop.test/admin",
        "http://shop.test/db",
        "http://shop.test/static/../../state.py",
        "http://shop.test/account/settings?newsletter=1&name=x",
        "view-source:http://shop.test/",
        "file:///etc/passwd",
    ],
)
async def test_addresses_are_no_way_round_the_forms(env: "WebEnv", address: str) -> None:
    await env.begin(seed=0, task=task_of("newsletter"))
    result = await env.advance(write_call(env, "goto", {"url": "/account/settings"}))
    for call in ("goto", "new_tab"):
        result = await env.advance(write_call(env, call, {"url": address}))
        assert "root:" not in result.text
        assert result.rewards["progress"] == 0.0
    result = await env.advance(write_call(env, "answer", {"text": "done"}))
    assert result.ending is Ending.FAILED
    assert result.reward == 0.0


async def test_what_the_page_asks_before_emptying_the_cart_is_answered(env: "WebEnv") -> None:
    await env.begin(seed=0, task=task_of("remove_from_cart"))
    await env.advance(write_call(env, "goto", {"url": "/cart"}))
    assert env.view is not None
    button = env.view.find("button", "Empty cart")
    assert button is not None
    result = await env.advance(write_call(env, "click", {"id": button.id}))
    assert "Remove everything?" in result.text


async def test_the_oracle_scrolls_where_the_screen_is_small() -> None:
    env = WebEnv(site="shop", split="all", viewport=(600, 300), limits={"turns": 60})
    try:
        await solve(env, task_of("review_and_wish"))
        scrolled = [call for call in env.history.tool_calls if call.name == "scroll"]
        assert scrolled
    finally:
        await env.end()
