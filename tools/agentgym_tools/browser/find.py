"""Which Chromium there is on this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from agentgym import PluginMissing
from agentgym.requirement import missing_package

_ON_PATH = (
    "chromium-headless-shell",  # without a user interface: a third of the memory and the time
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
_OF_PLAYWRIGHT = (
    "chromium_headless_shell-*/chrome-*/*headless*shell",
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
)
_ADVICE = (
    "no Chromium: apt-get install chromium-headless-shell (or chromium), or playwright install "
    "chromium, or set CHROMIUM_PATH"
)


def find_chromium(environ: Mapping[str, str] = os.environ) -> Path:
    """The Chromium to run: ``CHROMIUM_PATH``, the system's, or one that Playwright fetched.

    Raises:
        PluginMissing: There is none, or none at ``CHROMIUM_PATH``; says how to get one.
    """
    named = environ.get("CHROMIUM_PATH")
    if named:
        path = shutil.which(named)
        if path is None:
            raise PluginMissing(f"CHROMIUM_PATH is {named!r}, where there is no program")
        return Path(path)
    for name in _ON_PATH:
        path = shutil.which(name, path=environ.get("PATH"))
        if path is not None:
            return _behind(Path(path))
    return _newest_of_playwright(environ)


def _behind(path: Path) -> Path:
    """The program itself, where Debian's script would stay between it and who started it."""
    program = Path("/usr/lib/chromium/chromium-headless-shell")
    return program if path == Path("/usr/bin") / program.name and program.is_file() else path


def missing_browser() -> str | None:
    """What must be installed before a browser can run; ``None`` if it is there."""
    missing = missing_package("playwright", "web")
    if missing is not None:
        return missing
    try:
        find_chromium()
    except PluginMissing as error:
        return str(error)
    return None


def _newest_of_playwright(environ: Mapping[str, str]) -> Path:
    folder = environ.get("PLAYWRIGHT_BROWSERS_PATH")
    home = Path(environ.get("HOME", "/nonexistent"))
    caches = [Path(folder)] if folder else [home / ".cache/ms-playwright"]
    caches += [] if folder else [home / "Library/Caches/ms-playwright"]
    for pattern in _OF_PLAYWRIGHT:
        found = [path for cache in caches for path in cache.glob(pattern) if path.is_file()]
        if found:
            return max(found, key=_revision)
    raise PluginMissing(_ADVICE)


def _revision(path: Path) -> int:
    return max((int(number) for number in re.findall(r"-(\d+)/", str(path))), default=0)
