"""Whether an episode did what a task of a WebArena file asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from agentgym_envs.web.webarena.checks import answer_includes, clean, url_matches
from agentgym_envs.web.webarena.task_file import Entry, ReferenceAnswers, Target

if TYPE_CHECKING:
    from playwright.async_api import Page

FuzzyJudge = Callable[[str, str, str], Awaitable[bool]]
"""Whether an answer means the same as a reference: intent, reference, answer."""


async def is_done(entry: Entry, page: Page, answer: str, judge: FuzzyJudge | None) -> bool:
    """Whether every kind of check that the task names holds at its end.

    Args:
        entry: The task.
        page: The page that the policy ended on.
        answer: What it answered.
        judge: For ``fuzzy_match``.
    """
    kinds, asked = entry.eval.eval_types, entry.eval
    if "url_match" in kinds and not url_matches(page.url, asked.urls):
        return False
    if "string_match" in kinds and not await _answered(entry, answer, judge):
        return False
    targets = asked.program_html if "program_html" in kinds else ()
    return all([await _holds(target, page) for target in targets])


async def _answered(entry: Entry, answer: str, judge: FuzzyJudge | None) -> bool:
    wanted = entry.eval.reference_answers
    assert wanted is not None  # reading the file saw to it
    if wanted.exact_match is not None and clean(answer) != clean(wanted.exact_match):
        return False
    if not answer_includes(answer, wanted.must_include):
        return False
    return await _means(entry, wanted, answer, judge)


async def _means(
    entry: Entry, wanted: ReferenceAnswers, answer: str, judge: FuzzyJudge | None
) -> bool:
    """``N/A`` stands for a task that cannot be done; the judge is told why it cannot."""
    references: tuple[str, ...] = ()
    if wanted.fuzzy_match == "N/A":
        if clean(answer) != clean("N/A"):
            references = (entry.eval.string_note or "N/A",)
    else:
        references = wanted.fuzzy_match
    for reference in references:
        assert judge is not None  # reading the file saw to it
        if not answer or not await judge(entry.intent, reference, answer):
            return False
    return True


async def _holds(target: Target, page: Page) -> bool:
    """Another page than the last is opened beside it, so that the policy's stays as it is."""
    if target.url == "last":
        return target.contents.fit(await _selected(target, page))
    beside = await page.context.new_page()
    try:
        await beside.goto(target.url)
        return target.contents.fit(await _selected(target, beside))
    finally:
        await beside.close()


async def _selected(target: Target, page: Page) -> str:
    """The whole page, or what the locator finds; nothing where it fails, as the page is wrong."""
    from playwright.async_api import Error

    if not target.locator.strip():
        return await page.content()
    try:
        for action in target.prep_actions:
            await page.evaluate(f"() => {{ {action} }}")
        return str(await page.evaluate(f"() => {target.locator}") or "")
    except Error:
        return ""
