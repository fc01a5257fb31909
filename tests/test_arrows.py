"""Imports between the four roots point one way only. Reads the sources; imports none of them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOTS: dict[str, tuple[Path, set[str]]] = {
    "agentgym": (ROOT / "agentgym", set()),
    "agentgym_tools": (ROOT / "tools" / "agentgym_tools", {"agentgym"}),
    "agentgym_envs": (ROOT / "envs" / "agentgym_envs", {"agentgym", "agentgym_tools"}),
    "agentgym_trainers": (ROOT / "trainers" / "agentgym_trainers", {"agentgym"}),
}
TORCH_FREE = ("agentgym", "agentgym_tools", "agentgym_envs")


def imported(path: Path) -> set[str]:
    """Top-level names of everything a file imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("name", list(ROOTS))
def test_a_root_imports_only_what_lies_below_it(name: str) -> None:
    folder, allowed = ROOTS[name]
    files = list(folder.rglob("*.py"))
    assert files
    for path in files:
        reached = imported(path) & set(ROOTS) - {name} - allowed
        assert not reached, f"{path.relative_to(ROOT)} imports {sorted(reached)}"


@pytest.mark.parametrize("name", TORCH_FREE)
def test_torch_stays_in_the_trainers(name: str) -> None:
    for path in ROOTS[name][0].rglob("*.py"):
        assert not imported(path) & {"torch", "transformers", "ray"}, path


def test_ray_stays_where_processes_are_started() -> None:
    folder = ROOTS["agentgym_trainers"][0]
    users = {path.parent.name for path in folder.rglob("*.py") if "ray" in imported(path)}
    assert users == {"distributed"}


def test_the_roots_of_the_other_packages_are_plain_folders() -> None:
    for folder in ("envs", "tools", "trainers"):
        assert not (ROOT / folder / "__init__.py").exists()
    for root, _ in ROOTS.values():
        assert (root / "py.typed").exists()
