"""Two processes that share a learner compute what one computes: loss, gradient, weights, state."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fsdp_cases import Case, Fault, Outcome, alone, compute, diverge, fail, some_batch
from local_ranks import PATIENT, environment_of, run_ranks
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public all the same

from agentgym import UsageError
from agentgym_trainers.algorithms import Algorithm
from agentgym_trainers.algorithms.presets import expand
from agentgym_trainers.batch import Batch
from agentgym_trainers.distributed.ranks import PeerError, Waits, joined_ranks


def algorithm(preset: str) -> Algorithm:
    return Algorithm.model_validate(expand({"preset": preset}))


def first_rows(batch: Batch, count: int) -> Batch:
    """Its first rows alone."""
    part = batch.rows.take(torch.arange(count))
    width = part.token_ids_ST.shape[1]
    return replace(batch, rows=part, advantages_ST=batch.advantages_ST[:count, :width])


def case(name: str, preset: str, *, rows: int | None = None, **settings: Any) -> Case:
    chosen = algorithm(preset)
    batch = some_batch(chosen)
    return Case(name, chosen, batch if rows is None else first_rows(batch, rows), **settings)


CASES = [
    *(case(f"{name}, padded", name) for name in ("grpo", "rloo")),
    *(case(f"{name}, packed", name, packed=True) for name in ("grpo", "dr_grpo", "gspo", "cispo")),
    case("odd number of rows", "grpo", rows=5, micro_batch_tokens=1),
    case("a rank without rows", "rloo", rows=1),
    case("a rank without rows, packed", "rloo", rows=1, packed=True),
    case("tied embeddings", "grpo", tied=True),
    case("recomputing activations", "grpo", recompute=True),
    case("adapters", "grpo", adapters=True),
]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """What two processes made of all cases."""
    leader, follower = run_ranks(compute, CASES)
    assert not leader.error, leader.error
    assert not follower.error, follower.error
    return dict(leader.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_processes_compute_what_one_computes(outcomes: dict[str, Outcome], case: Case) -> None:
    one, two = alone(case), outcomes[case.name]
    assert max(float(part.abs().max()) for part in one.gradient) > 1e-4
    assert two.loss == pytest.approx(one.loss, abs=1e-5)
    for mine, theirs in zip(one.gradient, two.gradient, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5, rtol=1e-5)
    for before, after in zip(one.metrics, two.metrics, strict=True):
        assert after == pytest.approx(before, rel=1e-3, abs=1e-4)
    for name, weight in one.weights.items():
        assert torch.allclose(weight, two.weights[name], atol=1e-4), name


def test_the_gathered_state_is_laid_out_as_that_of_one_process(
    outcomes: dict[str, Outcome],
) -> None:
    one, two = alone(CASES[0]).state, outcomes[CASES[0].name].state
    assert two["steps"] == one["steps"] == 2
    assert two["optimizer"]["param_groups"] == one["optimizer"]["param_groups"]
    for number, slots in one["optimizer"]["state"].items():
        for name, value in slots.items():
            theirs = two["optimizer"]["state"][number][name]
            assert type(theirs) is torch.Tensor
            assert torch.allclose(theirs, value, atol=1e-5), (number, name)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(1, "dies"), "by peer"),
        (Fault(1, "raises"), r"and failed: ValueError: no such colour"),
        (Fault(0, "dies"), "by peer"),
        (Fault(1, "hangs"), "[Tt]imed out"),
    ],
    ids=lambda fault: f"rank {fault.rank} {fault.kind}" if isinstance(fault, Fault) else "",
)
def test_the_survivor_says_whom_it_waited_for_and_why(fault: Fault, reason: str) -> None:
    hangs = fault.kind == "hangs"
    waits = replace(PATIENT, collective_s=5) if hangs else PATIENT
    told = run_ranks(fail, fault, waits=waits, silent=fault.rank if hangs else -1)
    survivor = told[1 - fault.rank].error
    assert survivor.startswith(f"PeerError: rank {1 - fault.rank} of 2 waited for")
    assert "of optimiser step 2" in survivor
    assert re.search(reason, survivor), survivor
    assert re.search(rf"rank {fault.rank} \(\S+, pid \d+\) was last at", survivor), survivor


def test_rows_that_diverge_are_found_among_all_ranks_and_the_next_step_works(
    tmp_path: Path,
) -> None:
    leader, follower = run_ranks(diverge, tmp_path)
    assert (leader.error, follower.error) == ("", "")
    message, metrics = leader.value
    assert "optimiser step 1: loss -inf" in message
    assert "1 of 14 rows are to blame" in message
    (line,) = (tmp_path / "diverged-step-1.jsonl").read_text().splitlines()
    assert json.loads(line)["row"] == 2
    assert metrics["grad_norm"] > 0


def test_a_rank_that_never_came_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in environment_of(0, store.port).items():
        monkeypatch.setenv(name, value)
    alone = joined_ranks(torch.device("cpu"), Waits(meet_s=1))
    with pytest.raises(PeerError, match=r"rank 0 of 2 waited 1 s at .*; not there: rank 1"), alone:
        pass


def test_without_torchrun_the_advice_is_to_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="needs RANK, which torchrun sets: use agentgym launch"):
        joined_ranks(torch.device("cpu"), Waits()).__enter__()
