"""agentgym/Ledger-v0: right answers, notes that suffice, guesses that do not pay, bad arguments."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym import Ending, Task, UnknownName, UsageError
from agentgym.rewards import match_score
from agentgym_envs.ledger.env import ENV_ID, LedgerEnv
from agentgym_envs.ledger.kinds import KINDS
from agentgym_trainers.config import load_config
from agentgym_trainers.context import ContextSettings
from agentgym_trainers.demonstrations import demonstrate
from agentgym_trainers.limits import RolloutLimits
from agentgym_trainers.policy import load_policy
from agentgym_trainers.renderer import Renderer

EXAMPLES = Path(__file__).parents[2] / "examples"
DEFAULT_GUESS = 0.02


def call(number: int) -> str:
    return f'<tool_call>\n{{"name": "page", "arguments": {{"n": {number}}}}}\n</tool_call>'


def finish(env: LedgerEnv, choose: Any, turns: int = 10_000) -> tuple[float, str, int]:
    """The last reward, the ending and the turns of the rest of an episode."""
    for turn in range(1, turns + 1):
        _, reward, _, _, info = env.step(choose())
        if info["ending"]:
            return reward, info["ending"], turn
    return 0.0, "", turns


def tasks_of(kind: str, count: int, **options: Any) -> list[Task]:
    return list(islice(LedgerEnv(kinds=kind, split="all", **options).load_tasks(), count))


def entries_in_order(task: Task) -> list[str]:
    return [entry for page in task.data["pages"] for entry in page]


def player(prompt: str, summary: str, shown: list[str]) -> str:
    """What follows from the prompt, a note and the pages shown since; nothing else is looked at."""
    facts, _, place = summary.partition("; next ")
    known = [fact for fact in facts.partition(" ")[2].split(", ") if fact]
    begin = re.search(r"(?:page|Pages) (\d+)(?: to (\d+))?", prompt)
    assert begin is not None
    place = place or begin[1]
    for page in shown:
        entries = page.split(", ")
        link = entries.pop() if begin[2] is None else f"next {int(place) + 1}"
        known += entries
        place = link.removeprefix("next ")
        if begin[2] is not None and int(place) > int(begin[2]):
            place = "end"
    return told(prompt, known, place) or call(int(place))


def told(prompt: str, known: list[str], place: str) -> str:
    """The answer, if what is known tells it."""
    if "twice" in prompt:
        return next((name for name, count in Counter(known).items() if count > 1), "")
    if wanted := re.search(r"add up to (\d+)", prompt):
        pairs = combinations([one.split() for one in known], 2)
        right = (f"{a} {b}" for (a, x), (b, y) in pairs if int(x) + int(y) == int(wanted[1]))
        return next(right, "")
    if place != "end":
        return ""
    if "numbers" in prompt:
        return str(sum(map(int, known)))
    if "different" in prompt:
        return str(len(set(known)))
    return ", ".join(one for one in known if one.startswith("key "))


def test_gymnasiums_checker_has_nothing_to_say(recwarn: pytest.WarningsRecorder) -> None:
    check_env(gym.make(ENV_ID).unwrapped)
    assert [str(warning.message) for warning in recwarn.list] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("pages", "entries"), [(2, 2), (7, 1), (16, 4), (128, 3)])
def test_the_oracle_reads_each_page_once_at_most_and_is_right(
    kind: str, pages: int, entries: int
) -> None:
    env = LedgerEnv(kinds=kind, pages=pages, entries=entries, keys=2)
    for seed in range(3):
        env.reset(seed=seed)
        reward, ending, turns = finish(env, env.oracle)
        assert (reward, ending) == (1.0, Ending.SOLVED)
        assert turns == pages + 1 or (KINDS[kind].early and turns <= pages + 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_prompt_note_and_what_was_shown_since_are_enough(kind: str, every: int) -> None:
    """As SUPO does it: the newest page is dropped, then a note is asked for, and all else goes."""
    env = LedgerEnv(kinds=kind, pages=9, entries=3)
    for seed in range(4):
        _, info = env.reset(seed=seed)
        assert env.task is not None
        summary, taken, noted = "", 0, 0
        shown: list[str] = []
        while not info["ending"]:
            action = player(env.task.prompt, summary, shown)
            observation, reward, _, _, info = env.step(action)
            taken += 1
            shown.append(observation)
            if len(shown) > every:
                summary, shown, noted = env.oracle_summary(), [], noted + 1
        assert reward == 1.0, (env.task.prompt, summary, shown)
        assert noted > 0 or taken <= every


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_goes_on_from_its_own_note_as_the_player_does(kind: str) -> None:
    env = LedgerEnv(kinds=kind, pages=6, entries=2, keys=2)
    rng = np.random.default_rng(0)
    for seed in range(12):
        _, info = env.reset(seed=seed)
        assert env.task is not None
        summary = ""
        shown: list[str] = []
        for turn in range(20):
            assert env.oracle() == player(env.task.prompt, summary, shown)
            observation, _, _, _, info = env.step(env.oracle())
            if info["ending"]:
                break
            shown.append(observation)
            if turn % 3 == 2:
                novice = rng.random() < 0.5 and kind in ("total", "chain")
                summary = env.novice_summary(rng) if novice else env.oracle_summary()
                shown = []


def test_asking_twice_for_a_note_gives_it_twice() -> None:
    env = LedgerEnv(pages=5)
    for seed in range(10):
        env.reset(seed=seed)
        for _ in range(3):
            env.step(env.oracle())
        assert env.oracle_summary() == env.oracle_summary()


def test_a_careless_note_is_often_not_the_perfect_one_and_sometimes_is() -> None:
    rng = np.random.default_rng(0)
    env = LedgerEnv(kinds=["total", "chain"], pages=6, entries=2, keys=6)

    def noted(seed: int, note: Callable[[], str]) -> str:
        env.reset(seed=seed)
        for _ in range(4):
            env.step(env.oracle())
        return note()

    careless = [noted(seed, lambda: env.novice_summary(rng)) for seed in range(100)]
    perfect = [noted(seed, env.oracle_summary) for seed in range(100)]
    assert 0.15 < np.mean([a == b for a, b in zip(careless, perfect, strict=True)]) < 0.6


@pytest.mark.parametrize(("kind", "most"), [("total", 20), ("chain", 80), ("pair", 1_100)])
def test_a_note_does_not_grow_with_the_list(kind: str, most: int) -> None:
    env = LedgerEnv(kinds=kind, pages=128, entries=4)
    for seed in range(2):
        _, info = env.reset(seed=seed)
        while not info["ending"]:
            info = env.step(env.oracle())[4]
            assert len(env._memory.text(env._kind, env._order)) <= most


@pytest.mark.parametrize("kind", KINDS)
def test_no_guess_is_right_more_often_than_two_in_a_hundred(kind: str) -> None:
    """The best single answer is chosen on the same tasks, which favours the guess a little."""
    tasks = tasks_of(kind, 800)
    answers = Counter(task.data["answers"][0] for task in tasks)
    noise = 3 * np.sqrt(DEFAULT_GUESS * (1 - DEFAULT_GUESS) / len(tasks))
    assert answers.most_common(1)[0][1] / len(tasks) < DEFAULT_GUESS + noise


@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_tells_nothing_of_the_answer(kind: str) -> None:
    told_by_prompt = [
        match_score(word, task.data["answers"])
        for task in tasks_of(kind, 300)
        for word in re.findall(r"\w+", task.prompt)
    ]
    assert np.mean(told_by_prompt) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_what_a_plain_count_over_all_entries_gives(kind: str) -> None:
    for task in tasks_of(kind, 60, pages=5, entries=3, keys=3):
        entries, answers = entries_in_order(task), task.data["answers"]
        assert told(task.prompt, entries, "end") == answers[0]
        if kind == "pair":
            numbers = [int(entry.split()[1]) for entry in entries]
            sums = [x + y for x, y in combinations(numbers, 2)]
            assert sums.count(task.data["target"]) == 1
        if kind == "repeat":
            assert len(set(entries)) == len(entries) - 1
        if kind == "chain":
            assert sum(entry.startswith("key ") for entry in entries) == 3
            assert any(entry.startswith("key ") for entry in entries[-3:])


@pytest.mark.parametrize("kind", KINDS)
def test_doing_nothing_or_reading_without_an_answer_scores_nothing(kind: str) -> None:
    env = LedgerEnv(kinds=kind, pages=3, entries=2, keys=2)
    env.reset(seed=0)
    assert finish(env, lambda: "") == (0.0, Ending.GAVE_UP, 1)
    env.reset(seed=0)
    reward, ending, turns = finish(env, lambda: call(1))
    assert (reward, ending, turns) == (0.0, Ending.TURN_LIMIT, 2 * 3 + 8)


def test_a_wrong_answer_ends_the_episode() -> None:
    env = LedgerEnv()
    env.reset(seed=0)
    assert finish(env, lambda: "no idea") == (0.0, Ending.FAILED, 1)


def test_one_page_a_message_and_only_pages_that_there_are() -> None:
    env = LedgerEnv(kinds="total", pages=3, entries=2)
    env.reset(seed=0)
    observation = env.step(call(1) + call(2))[0]
    assert "one page a message" in observation
    assert finish(env, lambda: call(4), turns=1) == (0.0, "", 1)
    assert "there is no page 4" in env.transcript[-1].text
    assert env.oracle() == call(2)


def test_pages_read_again_or_out_of_order_are_shown_and_not_counted() -> None:
    env = LedgerEnv(kinds="total", pages=4, entries=2)
    env.reset(seed=0)
    read = [env.step(call(number))[4]["rewards"]["read"] for number in (1, 3, 1, 2)]
    assert read == [0.25, 0.0, 0.0, 0.25]
    assert env.oracle() == call(3)


def said(kind: str, change: Callable[[str], str]) -> str:
    """How an episode ends whose answer is the right one, changed."""
    env = LedgerEnv(kinds=kind, pages=3)
    env.reset(seed=0)
    assert env.task is not None
    answer = change(env.task.data["answers"][0])
    return finish(env, lambda: answer)[1]


def test_a_pair_is_right_in_either_order_and_keys_in_theirs_alone_with_the_word_or_without() -> (
    None
):
    assert said("pair", lambda right: " ".join(right.split()[::-1])) == Ending.SOLVED
    assert said("chain", lambda right: right.replace("key ", "")) == Ending.SOLVED
    assert said("chain", lambda right: ", ".join(right.split(", ")[::-1])) == Ending.FAILED


def test_length_kinds_and_size_of_pages_are_as_asked() -> None:
    env = LedgerEnv(kinds=["total", "chain"], pages=12, fewest=5, entries=3, keys=2, split="all")
    tasks = list(islice(env.load_tasks(), 200))
    assert {len(task.data["pages"]) for task in tasks} == set(range(5, 13))
    assert {task.category for task in tasks} == {"total", "chain"}
    assert {len(page) for task in tasks for page in task.data["pages"]} == {3}
    assert len({task.key for task in tasks}) == 200


def test_wrong_arguments_are_the_users_mistakes() -> None:
    with pytest.raises(UnknownName, match="did you mean 'chain'"):
        LedgerEnv(kinds=["chian"])
    out_of_range: list[dict[str, Any]] = [{"pages": 1}, {"pages": 2_000}, {"pages": 4, "fewest": 5}]
    for wrong in out_of_range:
        with pytest.raises(UsageError, match=r"pages must be in 2\.\.1024"):
            LedgerEnv(**wrong)
    for entries in (0, 4_000):
        with pytest.raises(UsageError, match="entries must be positive"):
            LedgerEnv(entries=entries)
    too_few_or_many: list[dict[str, Any]] = [{"keys": 0}, {"keys": 62}, {"largest": 3}]
    for wrong in too_few_or_many:
        with pytest.raises(UsageError, match="keys must be positive"):
            LedgerEnv(**wrong)
    with pytest.raises(UsageError, match="kinds must name"):
        LedgerEnv(kinds=[])
    for words in (1, 5_000):
        with pytest.raises(UsageError, match=r"words must be in 2\.\.4900, got"):
            LedgerEnv(words=words)


def test_a_chain_of_few_words_says_them_again_and_no_others() -> None:
    tasks = tasks_of("chain", 40, pages=12, entries=3, keys=2, words=8)
    entries = [entry for task in tasks for entry in entries_in_order(task)]
    keys = {entry for entry in entries if entry.startswith("key ")}
    assert len(keys) == 8
    assert len({*entries} - keys) == 8
    assert all(len(set(entries_in_order(task))) < 36 for task in tasks)
    assert [task.data for task in tasks_of("chain", 9)] == [
        task.data for task in tasks_of("chain", 9, words=4_900)
    ]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(max_size=30) | st.integers().map(call), min_size=1, max_size=5))
def test_no_message_raises(messages: list[str]) -> None:
    env = LedgerEnv(pages=3, entries=2, keys=2)
    env.reset(seed=0)
    for message in messages:
        env.oracle_summary()
        if env.step(message)[4]["ending"]:
            break


@pytest.mark.parametrize("kind", ["total", "chain"])
async def test_the_oracle_wins_through_as_many_summaries_as_it_takes(kind: str) -> None:
    tokenizer = load_policy("search-tiny", device="cpu").tokenizer
    env = LedgerEnv(kinds=kind, pages=10, entries=1, keys=3)
    renderer = Renderer(tokenizer, env.tools(), env.action_format)
    context = ContextSettings(kind="summarize", max_summaries=30, summary_tokens=40)
    limits = RolloutLimits(turn_tokens=40, context_tokens=360)
    for task in tasks_of(kind, 2, pages=10, entries=1, keys=3):
        episode = await demonstrate(
            env, renderer, task, mistake_rate=0.0, seed=0, limits=limits, context=context
        )
        assert episode.ending is Ending.SOLVED
        assert sum(turn.kind == "summary" for turn in episode.turns) > 1
        assert episode.peak_context <= 360


def test_the_recipes_agree_on_what_a_summary_is() -> None:
    sft, grpo = (load_config(EXAMPLES / f"ledger_{name}.yaml") for name in ("sft", "grpo"))
    assert sft.rollout.context == grpo.rollout.context
    assert sft.rollout.context_tokens == grpo.rollout.context_tokens
    assert sft.rollout.turn_tokens == grpo.rollout.turn_tokens
    assert grpo.env.kwargs["kinds"] == sft.env.kwargs["kinds"] == ["chain"]
    assert grpo.model == "runs/ledger_sft-seed0/policy"
