"""The checks and attacks that every environment undergoes, on the shop without a browser."""

import pytest

from agentgym.audit import audit
from agentgym.checks import check

ENV = "http_shop_env:HttpShopEnv"
EASY = {"sub_goals": 1}


@pytest.mark.parametrize("options", [EASY, {"sub_goals": [4, 6]}])
def test_no_attack_scores(options: dict[str, object]) -> None:
    report = audit(ENV, tasks=4, site_options=options, limits={"turns": 26})
    assert report.ok, str(report)


def test_no_attack_scores_where_progress_is_paid() -> None:
    paid = {"progress": 0.1}
    report = audit(ENV, tasks=4, site_options=EASY, reward_weights=paid, limits={"turns": 10})
    assert report.ok, str(report)


def test_no_check_fails() -> None:
    only = ["same_process", "fresh_process", "seeds", "global_random", "oracle", "nothing"]
    only += ["malformed", "info", "rewards", "snapshot", "fork", "close", "cancellation"]
    report = check(ENV, only=only, site_options=EASY, limits={"turns": 10})
    assert report.ok, str(report)
