"""``agentgym/Ledger-v0``: read a long list page by page, then answer one question about it.

An environment that needs memory, in the manner of the function-calling tasks with which SUPO
(arXiv:2510.06727) trains summaries: what is asked can be said in a line, and what must be read for
it does not fit the context.

How long is long: a page costs its text and the call that asks for it. With ``p`` tokens for both
and a prompt of ``q``, a window of ``q + k * p`` tokens holds ``k`` pages, and a task of ``pages = r
* k`` is one of ``r`` windows. With four pages to a window, 1 to 32 windows are 4 to 128 pages. The
tokens depend on the tokenizer; a page of four entries is about 60 of Qwen's.

A guess without reading: ``total`` at best ``1 / (0.72 * largest * sqrt(entries in all))``, 0.17 %
as made by default; ``distinct`` one in seven eighths of all entries, 1.8 %; ``repeat`` 1 / 4,900;
``pair`` and ``chain`` less than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from agentgym import (
    Action,
    Ending,
    EpisodeLimits,
    Message,
    StepResult,
    Task,
    TaskSet,
    TextEnv,
    Tool,
    ToolCall,
    ToolError,
    UnknownName,
    UsageError,
    tool,
)
from agentgym.rewards import match_score
from agentgym_envs.ledger.kinds import KEY, KINDS, NAMES, Kind, Size
from agentgym_envs.ledger.memory import NEXT, Memory
from agentgym_envs.ledger.slips import slip_in_answer, slip_in_entries

ENV_ID = "agentgym/Ledger-v0"
SYSTEM_PROMPT = "Read page by page, then reply with the answer alone."
MOST_PAGES = 1_024
CHAIN_NUMBERS = 99
END = "end"


class LedgerEnv(TextEnv):
    """One page a message, through the tool ``page``; a message without calls is the answer.

    Reward: ``success``, 1 for the right answer, which ends the episode as a wrong one does.
    Reported only: ``read``, the share of pages read in their order.

    Pages are numbered from 1; those of a ``chain`` bear any numbers up to 99 (or to ``pages``, if
    there are more), whatever its length. They may be read in any order and again, until the turns
    are used up. Tasks are endless; each follows from its index.

    Args:
        kinds: What may be asked, of ``total``, ``distinct``, ``repeat``, ``pair`` and ``chain``;
            a list, or one name.
        pages: Pages of a task: what makes it long (see this module's text).
        fewest: Tasks have any number of pages from this one to ``pages``; ``None``: all ``pages``.
        entries: Entries on a page.
        keys: Keys to collect in a ``chain``.
        largest: Largest number of ``total`` and ``pair``.
        words: How many different names, and keys, there are in a ``chain``; a name comes again
            where that is fewer than entries. Few make it easier to read, and not shorter.
        limits: As in :class:`agentgym.TextEnv`; twice as many turns as pages and eight more, unless
            it says otherwise.
        **options: As in :class:`agentgym.TextEnv`.

    Raises:
        UnknownName: No such kind.
        UsageError: A number is out of range.
    """

    reward_weights: ClassVar[Mapping[str, float]] = {"success": 1.0, "read": 0.0}

    def __init__(
        self,
        *,
        kinds: Sequence[str] | str = tuple(KINDS),
        pages: int = 16,
        fewest: int | None = None,
        entries: int = 4,
        keys: int = 4,
        largest: int = 99,
        words: int = len(NAMES),
        limits: EpisodeLimits | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        fewest = pages if fewest is None else fewest
        for kind in self._kinds:
            if kind not in KINDS:
                raise UnknownName("kind of ledger", str(kind), KINDS)
        if not self._kinds:
            raise UsageError(f"kinds must name one at least of {', '.join(KINDS)}")
        if not 2 <= fewest <= pages <= MOST_PAGES:
            raise UsageError(
                f"pages must be in 2..{MOST_PAGES} and fewest in 2..pages, got {pages} and {fewest}"
            )
        if not (entries >= 1 and pages * entries <= len(NAMES)):
            raise UsageError(
                f"entries must be positive and pages * entries at most {len(NAMES)}, "
                f"got {entries} on each of {pages} pages"
            )
        if not 1 <= keys <= fewest * entries - entries + 1 or largest < 9:
            raise UsageError(
                "keys must be positive and fit the entries, with one on the last page, and largest "
                f"at least 9, got {keys} and {largest}"
            )
        if not 2 <= words <= len(NAMES):
            raise UsageError(f"words must be in 2..{len(NAMES)}, got {words}")
        if not isinstance(limits, EpisodeLimits):
            limits = {"turns": 2 * pages + 8, **(limits or {})}
        super().__init__(limits=limits, **options)
        self._range = (fewest, pages)
        self._entries = entries
        self._keys, self._largest, self._words = keys, largest, words
        self._done = 0
        self._opened = False
        self._memory = self._before = Memory()

    def load_tasks(self) -> TaskSet:
        """As many tasks as there are indices."""
        return TaskSet.from_generator(self._task_of)

    def toolset(self) -> Sequence[Tool]:
        """``page``."""

        async def page(n: int) -> str:
            """Read page n."""
            return self._open(n)

        return [tool(page)]

    async def areset(self, task: Task, rng: np.random.Generator) -> StepResult:
        """Ask the question."""
        self._done = 0
        self._memory = self._before = Memory()
        return StepResult((Message("system", SYSTEM_PROMPT), Message("user", task.prompt)))

    async def astep(self, action: Action) -> StepResult:
        """Show a page, or grade the answer."""
        self._before = self._memory
        if action.tool_calls:
            before, self._opened = self._done, False
            result = await self.call_tools(action)
            read = (self._done - before) / len(self._order)
            return StepResult(result.messages, {"read": read})
        if not action.text:
            return StepResult(ending=Ending.GAVE_UP)
        right = bool(match_score(action.text, self._data["answers"]))
        ending = Ending.SOLVED if right else Ending.FAILED
        return StepResult(rewards={"success": float(right)}, ending=ending)

    def oracle(self) -> str:
        """The next page, as far as what was shown or noted tells; the answer once that tells it."""
        return self._answer() or self._call(self._order[self._memory.place])

    def novice(self, rng: np.random.Generator) -> str:
        """Lose the place and read some other page; answer with a slip, now and then too early."""
        if answer := self._answer():
            return slip_in_answer(answer, rng)
        if rng.random() < 0.03:
            so_far = self._kind.answer(self._memory.known, self._data["target"])
            return so_far or str(rng.choice(NAMES))
        return self._call(self._order[int(rng.integers(len(self._order)))])

    def oracle_summary(self) -> str:
        """What a perfect note-taker would write now: enough, with the prompt, to finish.

        It leaves out what the newest turn showed, and so sends one to that page again: where a
        summary is asked for because the context is full, that turn is gone from it already
        (arXiv:2510.06727). From here on the oracle knows what the summary says and what is shown
        after it, and nothing else.
        """
        self._memory = self._before
        return self._memory.text(self._kind, self._order)

    def novice_summary(self, rng: np.random.Generator) -> str:
        """One in four is the oracle's; others are stale, lost the place, or have a slip.

        The oracle then acts on what this says, as anyone must who reads no more than that.
        """
        memory = self._before
        match int(rng.integers(4)):
            case 0:
                memory = replace(memory, known=memory.known[: -self._entries])
            case 1:
                self._memory = self._before = Memory()
                return self._kind.note(memory.known)
            case 2:
                memory = replace(memory, known=slip_in_entries(memory.known, rng))
        self._memory = self._before = memory
        return memory.text(self._kind, self._order)

    def _open(self, number: int) -> str:
        if self._opened:
            raise ToolError("one page a message", "one_page")
        if number not in self._order:
            raise ToolError(f"there is no page {number}", "unknown_page")
        self._opened = True
        entries = self._data["pages"][self._order.index(number)]
        self._done += self._order[self._done : self._done + 1] == [number]
        self._memory = self._memory.after(self._order, number, entries)
        return ", ".join([*entries, *self._link(number)])

    def _link(self, number: int) -> list[str]:
        """Where a chain goes on from this page."""
        if self._data["kind"] != "chain":
            return []
        place = self._order.index(number) + 1
        return [END if place == len(self._order) else f"{NEXT}{self._order[place]}"]

    def _answer(self) -> str:
        """The answer, where what is remembered tells it; else empty."""
        if self._memory.place < len(self._order) and not self._kind.early:
            return ""
        return self._kind.answer(self._memory.known, self._data["target"])

    def _call(self, number: int) -> str:
        call = ToolCall("call_0", "page", "", {"n": number})
        return self.action_format.render([call], tools=self.tools())

    @property
    def _data(self) -> Mapping[str, Any]:
        if self.task is None:
            raise RuntimeError("no task before reset")
        return self.task.data

    @property
    def _order(self) -> list[int]:
        order: list[int] = self._data["order"]
        return order

    @property
    def _kind(self) -> Kind:
        return KINDS[self._data["kind"]]

    def _task_of(self, index: int) -> Task:
        rng = np.random.default_rng(index)
        name = self._kinds[int(rng.integers(len(self._kinds)))]
        kind, count = KINDS[name], int(rng.integers(*self._range, endpoint=True))
        last = (count - 1) * self._entries
        size = Size(count * self._entries, last, self._keys, self._largest, self._words)
        entries, target = kind.write(rng, size)
        order = list(range(1, count + 1))
        if name == "chain":  # numbers that say nothing of how long it is
            order = [int(n) + 1 for n in rng.permutation(max(count, CHAIN_NUMBERS))[:count]]
        starts = range(0, len(entries), self._entries)
        pages = [entries[start : start + self._entries] for start in starts]
        answer = kind.answer(entries, target)
        data = {
            "kind": name,
            "pages": pages,
            "order": order,
            "target": target,
            "answers": [answer, *_also_right(name, answer)],
        }
        start = f"Begin at page {order[0]}." if name == "chain" else f"Pages 1 to {count}."
        prompt = f"{start} {kind.question.format(target=target)}"
        return Task.create(ENV_ID, prompt, data, difficulty=count, category=name)


def _also_right(kind: str, answer: str) -> list[str]:
    """A pair the other way round, and keys without the word."""
    if kind == "pair":
        return [" ".join(answer.split()[::-1])]
    return [answer.replace(KEY, "")] if kind == "chain" else []
