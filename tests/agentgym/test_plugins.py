"""Plugins: missing is not broken, and nothing is imported before it is asked for."""

import pickle
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

import agentgym
from agentgym import UnknownName
from agentgym.plugins import load_plugin

CODE = """
import sys, json, agentgym
from agentgym.registry import why_unusable
imported = 'strange_plugin' in sys.modules
print(json.dumps([agentgym.env_ids(), imported, why_unusable(sys.argv[1])]))
"""


def install(site: Path, module: str, extra: str = "") -> None:
    """A stranger's package, as pip would lay it out."""
    (site / "strange_plugin.py").write_text(module)
    info = site / "strange_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: strange-plugin\nVersion: 1.0\n{extra}"
    )
    (info / "entry_points.txt").write_text(
        "[agentgym.envs]\nstrange/Thing-v0 = strange_plugin:Thing\n"
    )


def ask(site: Path, env_id: str = "strange/Thing-v0") -> tuple[list[str], bool, str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, env_id],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ids, imported, problem = __import__("json").loads(done.stdout)
    return ids, imported, problem


def test_a_strangers_environment_is_listed_and_not_imported(tmp_path: Path) -> None:
    install(tmp_path, "class Thing: pass")
    ids, imported, problem = ask(tmp_path)
    assert "strange/Thing-v0" in ids
    assert not imported
    assert problem is None


def test_a_broken_plugin_names_itself_and_the_cause(tmp_path: Path) -> None:
    install(tmp_path, "1 / 0")
    assert ask(tmp_path)[2] == (
        "strange/Thing-v0 (from strange-plugin) is installed, and failed to import: "
        "ZeroDivisionError: division by zero"
    )


def test_a_plugin_without_its_dependency_says_how_to_install_it(tmp_path: Path) -> None:
    extra = 'Provides-Extra: web\nRequires-Dist: no_such_dependency>=1; extra == "web"\n'
    install(tmp_path, "import no_such_dependency", extra)
    assert ask(tmp_path)[2] == (
        "strange/Thing-v0 needs 'no_such_dependency', which is not installed: "
        "pip install 'strange-plugin[web]'"
    )


def test_a_broken_plugin_fails_in_gym_make_and_spares_the_others(tmp_path: Path) -> None:
    install(tmp_path, "1 / 0")
    code = (
        "import gymnasium as gym, agentgym\n"
        "try: gym.make('strange/Thing-v0')\n"
        "except agentgym.PluginBroken as e: print(e)\n"
        "print(gym.make('agentgym/Search-v0').spec.id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "failed to import" in done.stdout, done.stderr
    assert done.stdout.endswith("agentgym/Search-v0\n")


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        agentgym.make("agentgym/Serch-v0")
    assert str(caught.value) == (
        "no environment 'agentgym/Serch-v0'; did you mean 'agentgym/Search-v0'? "
        "(agentgym list shows all)"
    )
    with pytest.raises(gym.error.NameNotFound):
        gym.make("agentgym/Serch-v0")


def test_an_unknown_plugin_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no engine 'hff'; did you mean 'hf'"):
        load_plugin("agentgym.engines", "hff")


def test_specs_can_be_pickled_and_written_as_json() -> None:
    spec = gym.make("agentgym/Search-v0", top_k=2).spec
    assert spec is not None
    for again in (
        pickle.loads(pickle.dumps(spec)),
        gym.envs.registration.EnvSpec.from_json(spec.to_json()),
    ):
        assert again.kwargs == {"top_k": 2}
        assert again.make().spec == spec


def test_importing_is_light() -> None:
    heavy = "{'torch', 'transformers', 'bm25s', 'typer'}"
    code = f"import sys, agentgym; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_all_public_names_exist() -> None:
    assert sorted(agentgym.__all__) == agentgym.__all__
    assert all(hasattr(agentgym, name) for name in agentgym.__all__)
