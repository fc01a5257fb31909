"""Where the package ``miniwob`` keeps its pages. It is never imported: that would want selenium."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from agentgym.requirement import missing_package, require_package


def missing_pages() -> str | None:
    """How to install the pages; ``None`` if they are there."""
    return missing_package("miniwob", "miniwob")


@lru_cache
def html_folder() -> Path:
    """The folder that the pages' relative addresses are relative to.

    Raises:
        PluginMissing: The package is not installed.
    """
    require_package("miniwob", "miniwob")
    spec = importlib.util.find_spec("miniwob")
    assert spec is not None  # require_package saw to it
    return Path(next(iter(spec.submodule_search_locations or ()))) / "html"


@lru_cache
def page_names() -> tuple[str, ...]:
    """All pages of the package, sorted: ``ascending-numbers``, ``bisect-angle``, …

    Raises:
        PluginMissing: The package is not installed.
    """
    return tuple(sorted(path.stem for path in (html_folder() / "miniwob").glob("*.html")))
