"""``agentgym/Docs-v0``: questions over Python's documentation, read in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym_envs.web.env import WebEnv
from agentgym_tools.browser.find import missing_browser

if TYPE_CHECKING:
    from agentgym_envs.web.site import Site


class DocsEnv(WebEnv):
    """Questions over Python's documentation, answered by finding the page and reading it.

    Args:
        site: Another site, if it is not to be the installed documentation.
        **options: As in :class:`~agentgym_envs.web.env.WebEnv`.
    """

    def __init__(self, *, site: str | Path | Site = "docs", **options: Any) -> None:
        super().__init__(site=site, **options)

    @classmethod
    def missing(cls) -> str | None:
        """Playwright, a Chromium, or the documentation."""
        problem = missing_browser()
        if problem is not None:
            return problem
        from agentgym_envs.web.docs.site import DocsSite  # it needs playwright

        return DocsSite().missing()
