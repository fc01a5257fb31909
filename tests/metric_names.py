"""Which metrics docs/metrics.md does not explain."""

import re
from collections.abc import Iterable
from pathlib import Path

_TEXT = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
_FAMILIES = ("reward/", "ending/", "env_error/", "test/components/", "test/endings/")


def undocumented(names: Iterable[str]) -> list[str]:
    """Those whose name is not in the document, nor of a family that is."""
    plain = {re.sub(r"(turn|lag)\d+", r"\1K", name) for name in names if name != "step"}
    return sorted(n for n in plain if f"`{n}`" not in _TEXT and not n.startswith(_FAMILIES))
