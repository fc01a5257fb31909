"""Sites by name, imported when they are first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym import UnknownName, UsageError

if TYPE_CHECKING:
    from agentgym_envs.web.site import Site

SITES: Mapping[str, str] = {
    "shop": "agentgym_envs.web.shop.site:ShopSite",
    "miniwob": "agentgym_envs.web.miniwob.site:MiniWobSite",
    "docs": "agentgym_envs.web.docs.site:DocsSite",
}
"""``module:Class`` of each bundled site."""

_TASK_FILES = "agentgym_envs.web.webarena.site:TaskFileSite"


def open_site(site: str | Path | Site, options: Mapping[str, Any]) -> Site:
    """A site by its name, or the tasks of a WebArena-style file, or the site that was given.

    Args:
        site: A name in :data:`SITES`, ``module:Class``, a path that ends in ``.json`` or
            ``.jsonl``, or a site.
        options: For its constructor.

    Raises:
        UnknownName: No such site.
        UsageError: The site has no such option.
    """
    if not isinstance(site, str | Path):
        return site
    name = str(site)
    if name.endswith((".json", ".jsonl")):
        return _made(_TASK_FILES, {"path": Path(name), **options})
    if ":" in name:
        return _made(name, options)
    if name not in SITES:
        raise UnknownName("site", name, SITES, "or the path of a task file")
    return _made(SITES[name], options)


def _made(entry: str, options: Mapping[str, Any]) -> Site:
    module, _, attribute = entry.partition(":")
    try:
        made: Site = getattr(importlib.import_module(module), attribute)(**options)
    except TypeError as error:
        raise UsageError(f"site {entry!r}: {error}") from error
    return made
