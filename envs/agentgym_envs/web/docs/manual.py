"""Where Debian keeps the documentation of Python."""

from __future__ import annotations

import re
from pathlib import Path

from agentgym.errors import UsageError

_DEBIAN = Path("/usr/share/doc")
ADVICE = "the documentation of Python is not installed: apt-get install python3-doc"


def manual_folder(folder: str | Path | None = None) -> Path:
    """The root of the HTML documentation: ``folder``, or the newest that Debian installed.

    Raises:
        UsageError: There is none, or ``folder`` is not one.
    """
    if folder is not None:
        if not _is_manual(Path(folder)):
            raise UsageError(
                f"{folder} is no HTML documentation of Python: it needs library/ and searchindex.js"
            )
        return Path(folder)
    found = [path for path in _DEBIAN.glob("python3.*/html") if _is_manual(path)]
    if not found:
        raise UsageError(ADVICE)
    return max(found, key=_version)


def missing_manual(folder: str | Path | None = None) -> str | None:
    """What to do about documentation that is not there; ``None`` if it is."""
    try:
        manual_folder(folder)
    except UsageError as error:
        return str(error)
    return None


def _is_manual(folder: Path) -> bool:
    return (folder / "searchindex.js").is_file() and (folder / "library").is_dir()


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", folder.parent.name))
