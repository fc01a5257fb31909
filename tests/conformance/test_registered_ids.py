"""What holds for every registered environment, whoever wrote it."""

import pytest

import agentgym
from agentgym.audit import audit
from agentgym.checks import CHECKS, Status, check
from agentgym.registry import env_class

IDS = [env_id for env_id in agentgym.env_ids() if env_id.startswith("agentgym/")]
NEEDS_ARGUMENTS = {"agentgym/Remote-v0": "needs the address of a server; its own tests check it"}
GAMES_WON_IN_ONE_MOVE = {"agentgym/TextArena-v0"}  # its oracle sees the number to guess
ONLY_WHERE_THERE_IS_ONE = {"vector_entry_point"}
_FEW = {
    "agentgym/Code-v0": 15,
    "agentgym/Sql-v0": 15,
    "agentgym/ReasoningGym-v0": 10,
    "agentgym/TextArena-v0": 10,
    "agentgym/TextWorld-v0": 2,
    "agentgym/Web-v0": 4,
    "agentgym/Docs-v0": 4,
}
EPISODES = {**_FEW, "agentgym/Swe-v0": 10}
AUDITED = {**_FEW, "agentgym/Swe-v0": 2}
"""Fewer where programs or tests run in sandboxes, or where each time a peer's process or a browser
has to start, or a game to be compiled."""
_SOME = [
    "registered", "constructor", "gymnasium", "spec", "same_process", "oracle", "nothing",
    "malformed", "info",
]  # fmt: skip
CHECKED = {"agentgym/TextWorld-v0": _SOME, "agentgym/Docs-v0": _SOME}
"""All, but for games that take seconds to begin, and for what Web-v0 is checked for already; the
command ``agentgym check`` has all."""


def usable(env_id: str) -> str:
    """The id, or a skipped test that says what is missing. A broken plugin is an error."""
    if env_id in NEEDS_ARGUMENTS:
        pytest.skip(NEEDS_ARGUMENTS[env_id])
    try:
        env_class(env_id)
        agentgym.make(env_id).close()
    except agentgym.PluginMissing as missing:
        pytest.skip(str(missing))
    return env_id


@pytest.mark.parametrize("env_id", IDS)
def test_no_check_fails(env_id: str) -> None:
    only = CHECKED.get(env_id, ())
    report = check(usable(env_id), episodes=EPISODES.get(env_id, 50), only=only)
    assert report.ok, str(report)


@pytest.mark.parametrize("env_id", IDS)
def test_no_attack_scores(env_id: str) -> None:
    tasks = AUDITED.get(env_id, 30)
    report = audit(usable(env_id), tasks=tasks, game=env_id in GAMES_WON_IN_ONE_MOVE)
    assert report.ok, str(report)


@pytest.mark.slow
def test_a_thousand_episodes_of_search_leak_nothing() -> None:
    report = check("agentgym/Search-v0", episodes=1000)
    assert report.ok, str(report)
    assert [one.name for one in report.checks] == list(CHECKS)
    skipped = {one.name for one in report.checks if one.status is Status.SKIPPED}
    assert skipped <= ONLY_WHERE_THERE_IS_ONE
