"""MiniWoB++ in a real browser: oracles, rewards, determinism, and ways to cheat."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentgym import Ending, StepResult
from agentgym.audit import audit
from agentgym.checks import check
from agentgym.checks.tool_calls import write_call
from agentgym_envs.web.miniwob.package import missing_pages, page_names
from agentgym_envs.web.miniwob.site import MiniWobSite, miniwob_task
from agentgym_tools.browser.find import missing_browser

MISSING = missing_browser() or missing_pages()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

if MISSING is None:
    from agentgym_envs.web.env import WebEnv

CHEAT = "<img src=x onerror=core.endEpisode(1)>"


@pytest.fixture
async def env() -> AsyncIterator["WebEnv"]:
    made = WebEnv(site=MiniWobSite(page="all"), limits={"turns": 40})
    yield made
    await made.end()


async def begin(env: "WebEnv", page: str, seed: int) -> str:
    return (await env.begin(seed=seed, task=miniwob_task(page, seed))).text


async def call(env: "WebEnv", name: str, **arguments: object) -> StepResult:
    return await env.advance(write_call(env, name, arguments))


def number_of(env: "WebEnv", role: str, name: str) -> str:
    assert env.view is not None
    found = env.view.find(role, name)
    assert found is not None, env.view.elements
    return found.id


@pytest.mark.parametrize("page", ["click-link", "login-user", "email-inbox-delete", "drag-items"])
async def test_an_oracle_solves_its_page(env: "WebEnv", page: str) -> None:
    for seed in range(2):
        await begin(env, page, seed)
        result = StepResult()
        while result.ending is None:
            result = await env.advance(env.oracle())
        assert result.ending is Ending.SOLVED
        assert result.rewards["raw_reward"] == result.rewards["success"] == 1.0


@pytest.mark.slow
async def test_every_page_is_short_and_the_same_each_time(env: "WebEnv") -> None:
    """2,000 tokens are some 8,000 characters."""
    for page in page_names():
        first = await begin(env, page, 0)
        assert env.view is not None
        assert env.view.elements, page
        assert env.view.title, page
        assert len(first) < 8_000, page
        if page != "terminal":  # which puts the cursor in its field 200 ms after it has opened
            assert await begin(env, page, 0) == first, page


@pytest.mark.slow
def test_the_checks_and_attacks_find_nothing() -> None:
    site: dict[str, Any] = {
        "site": "miniwob",
        "site_options": {"page": ["click-link", "login-user"]},
    }
    only = ["same_process", "oracle", "nothing", "info", "rewards"]
    report = check("agentgym/Web-v0", episodes=4, only=only, **site)
    assert report.ok, str(report)
    attacked = audit("agentgym/Web-v0", tasks=2, **site)
    assert attacked.ok, str(attacked)


async def test_the_wrong_button_fails_with_the_pages_own_reward(env: "WebEnv") -> None:
    await begin(env, "click-test-2", 0)
    result = await call(env, "click", id=number_of(env, "button", "TWO"))
    assert result.ending is Ending.FAILED
    assert result.rewards["raw_reward"] == -1.0
    assert result.rewards["success"] == 0.0


async def test_giving_up_is_worth_nothing(env: "WebEnv") -> None:
    await begin(env, "click-test-2", 0)
    result = await call(env, "give_up")
    assert result.ending is Ending.GAVE_UP
    assert result.reward == 0.0


async def test_the_same_seed_shows_the_same_page_and_another_seed_another(env: "WebEnv") -> None:
    first = await begin(env, "choose-list", 4)
    assert await begin(env, "choose-list", 4) == first
    assert await begin(env, "choose-list", 5) != first


async def test_the_title_says_what_is_asked_and_no_reward_is_shown(env: "WebEnv") -> None:
    text = await begin(env, "click-test-2", 0)
    assert 'Page: "Click button ONE."' in text
    assert not any(word in text for word in ("START", "reward", "Time left", "Episodes"))


@pytest.mark.parametrize(
    "url", ["javascript:core.endEpisode(1)", "http://miniwob.test/miniwob/focus-text.html"]
)
async def test_no_address_ends_the_episode_or_leads_to_an_easier_page(
    env: "WebEnv", url: str
) -> None:
    await begin(env, "click-test-2", 0)
    result = await call(env, "goto", url=url)
    assert result.ending is None
    assert not any(result.rewards.get(name) for name in ("raw_reward", "success"))


async def test_going_back_to_the_page_shows_the_same_problem(env: "WebEnv") -> None:
    text = await begin(env, "choose-list", 4)
    result = await call(env, "goto", url="http://miniwob.test/miniwob/choose-list.html")
    options = text[text.index("options:") :]
    assert options in result.messages[-1].text


async def test_typed_html_runs_no_script(env: "WebEnv") -> None:
    """The terminal writes each line that was typed into its document, as HTML."""
    await begin(env, "terminal", 0)
    assert env.view is not None
    box = next(one for one in env.view.elements if one.role == "textbox")
    keys = "\n".join(write_call(env, "press", {"id": box.id, "key": key}) for key in CHEAT)
    await env.advance(keys)
    result = await call(env, "press", id=box.id, key="Enter")
    assert "Command not found." in result.messages[-1].text
    assert result.ending is None
