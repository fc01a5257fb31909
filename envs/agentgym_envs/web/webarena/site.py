"""Tasks of a WebArena file, on sites that run on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from aiohttp import web

from agentgym import Ending, Task, TaskSet
from agentgym_envs.web.moves import Move, answer, goto
from agentgym_envs.web.site import Verdict
from agentgym_envs.web.webarena.forwarder import Forwarder
from agentgym_envs.web.webarena.judging import FuzzyJudge, is_done
from agentgym_envs.web.webarena.origins import Origins
from agentgym_envs.web.webarena.task_file import Entry, placed, read_task_file
from agentgym_tools.browser.view import View

if TYPE_CHECKING:
    from playwright.async_api import Page

ENV_ID = "agentgym/Web-v0"


class TaskFileSite:
    """Task files in WebArena's JSON format (arXiv:2307.13854), on any local site.

    A task is judged when the policy answers, by every check that it names: the answer
    (``string_match``), the address (``url_match``), the contents of pages (``program_html``).
    What an episode changes on a site stays changed: sites are not reset, and nobody is logged in
    (``storage_state``, ``require_login`` and ``require_reset`` are ignored).

    Args:
        path: The file.
        origins: Where the sites are, as ``{"__SHOPPING__": "http://127.0.0.1:7770"}``. A start
            address on this machine needs none. Everything else is refused.
        judge: For ``fuzzy_match``; without one such tasks are refused.
        skip_unsupported: Leave out tasks that ask for what is not here, instead.
    """

    reward_weights: ClassVar[Mapping[str, float]] = {"success": 1.0}

    def __init__(
        self,
        *,
        path: str | Path,
        origins: Mapping[str, str] | None = None,
        judge: FuzzyJudge | None = None,
        skip_unsupported: bool = False,
    ) -> None:
        self._path = Path(path)
        self._origins = Origins(origins or {})
        self._judge = judge
        self._skip = skip_unsupported

    def missing(self) -> str | None:
        """Nothing."""
        return None

    def load_tasks(self) -> TaskSet:
        """Read the file.

        Raises:
            DataError: It is malformed; names file and entry.
        """
        return TaskSet(self._tasks())

    async def visit(self, task: Task, rng: np.random.Generator) -> WebArenaVisit:
        """Begin an episode."""
        entry = Entry.model_validate(task.data["entry"])
        origins = self._origins.with_local(entry.start_url)
        return WebArenaVisit(placed(entry, origins), origins, self._judge)

    async def aclose(self) -> None:
        """Visits share nothing."""

    def _tasks(self) -> Iterator[Task]:
        judged = self._judge is not None
        for entry in read_task_file(self._path, self._origins, judged=judged, skip=self._skip):
            data = {"entry": entry.model_dump(mode="json")}
            yield Task.create(ENV_ID, entry.intent, data, category=" ".join(entry.sites))


class WebArenaVisit:
    """One task of the file."""

    def __init__(self, entry: Entry, origins: Origins, judge: FuzzyJudge | None) -> None:
        self.start_url = entry.start_url
        self._entry = entry
        self._judge = judge
        self._forwarder = Forwarder(origins)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """What the site answers."""
        return await self._forwarder.answer(request)

    async def opened(self, page: Page) -> None:
        """See that the site was there.

        Raises:
            EnvError: It cannot be reached.
        """
        self._forwarder.check()

    async def judge(self, page: Page, answer: str | None) -> Verdict:
        """Judge the answer, once there is one.

        Raises:
            EnvError: A site cannot be reached.
        """
        self._forwarder.check()
        if answer is None:
            return Verdict()
        done = await is_done(self._entry, page, answer, self._judge)
        self._forwarder.check()
        return Verdict({"success": float(done)}, Ending.SOLVED if done else Ending.FAILED)

    def oracle(self, view: View) -> Move:
        """The reference address, then the reference answer.

        Raises:
            NotImplementedError: The task is to change a page, and nobody says how.
        """
        asked = self._entry.eval
        if "program_html" in asked.eval_types:
            raise NotImplementedError("a task file does not say how its pages are to be changed")
        if "url_match" in asked.eval_types and view.url != asked.urls[0]:
            return goto(asked.urls[0])
        return answer(_reference(self._entry))

    def novice(self, view: View, rng: np.random.Generator) -> Move:
        """Answer with something that is to be read on the page."""
        names = [one.name for one in view.elements if one.name]
        return answer(str(rng.choice(names)) if names else "N/A")

    async def aclose(self) -> None:
        """Close the way to the sites."""
        await self._forwarder.aclose()


def _reference(entry: Entry) -> str:
    wanted = entry.eval.reference_answers
    if wanted is None:
        return "done"
    phrases = wanted.must_include or wanted.fuzzy_match
    return wanted.exact_match or (phrases if isinstance(phrases, str) else ", ".join(phrases))
