"""The web environment on a small site, in a real browser."""

from collections.abc import AsyncIterator

import pytest

from agentgym import Ending, UsageError
from agentgym.checks.tool_calls import write_call
from agentgym_tools.browser.find import missing_browser

pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))

if missing_browser() is None:
    from demo_site import DemoSite

    from agentgym_envs.web.env import WebEnv


@pytest.fixture
async def env() -> AsyncIterator["WebEnv"]:
    made = WebEnv(site=DemoSite())
    yield made
    await made.end()


async def test_the_oracle_solves_the_task(env: "WebEnv") -> None:
    opening = await env.begin(seed=3)
    assert '[1] heading "Greetings" (level 1)' in opening.text
    assert "Tell us your name." in opening.text
    result = opening
    while result.ending is None:
        result = await env.advance(env.oracle())
    assert result.ending is Ending.SOLVED
    assert result.reward == 1.0


async def test_the_same_seed_and_actions_show_the_same_pages(env: "WebEnv") -> None:
    async def episode() -> list[str]:
        texts = [(await env.begin(seed=5)).text]
        for name, arguments in (("click", {"id": "7"}), ("back", {}), ("scroll", {})):
            texts.append((await env.advance(write_call(env, name, arguments))).text)
        return texts

    assert await episode() == await episode()


async def test_several_calls_in_one_message_are_carried_out_in_turn(env: "WebEnv") -> None:
    await env.begin(seed=3)
    wanted = env.task.data["name"] if env.task else ""
    calls = [("fill", {"id": "2", "text": wanted}), ("select", {"id": "3", "options": "Blue"})]
    calls += [("click", {"id": "4"}), ("back", {})]
    result = await env.advance("\n".join(write_call(env, *call) for call in calls))
    assert result.ending is Ending.SOLVED
    assert [message.text for message in result.messages][-1] == "Not done: the episode is over."


def test_a_budget_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="observe has element; allowed: elements, chars"):
        WebEnv(site=DemoSite(), observe={"element": 5})
