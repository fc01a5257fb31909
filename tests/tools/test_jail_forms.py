"""The jail's suites once more, as an ordinary user: with user namespaces, and without any."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tools.jails import FORM_VARIABLE, interpreter_for_everybody

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534
SUITES = (
    "test_jail.py",
    "test_jail_findings.py",
    "test_jail_attacks.py",
    "test_honest_programs.py",
)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["user", "landlock"])
def test_the_suites_hold_for_an_ordinary_user(form: str) -> None:
    interpreter = interpreter_for_everybody()
    if os.getuid() != 0 and form == "user":
        pytest.skip("the whole run is an ordinary user's already")
    if interpreter is None:
        pytest.skip("no interpreter of this version that an ordinary user can start")
    with tempfile.TemporaryDirectory(prefix="agentgym-test-", dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        done = run_suites(interpreter, form, folder)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    print(done.stdout.strip().splitlines()[-1])


def run_suites(interpreter: str, form: str, folder: str) -> "subprocess.CompletedProcess[str]":
    """The suites in a process of their own, of the user nobody if we are root."""
    sites = [path for path in sys.path if path.endswith("-packages")]
    paths = [ROOT, ROOT / "tools", ROOT / "envs", ROOT / "trainers", ROOT / "tests"]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": folder,
        "TMPDIR": "/tmp",
        "PYTHONPATH": ":".join(map(str, [*paths, *sites])),
        "PYTHONDONTWRITEBYTECODE": "1",
        FORM_VARIABLE: form,
    }
    command = [interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"]
    command += ["--basetemp", f"{folder}/tmp"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += [str(ROOT / "tests" / "tools" / name) for name in SUITES]
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600,
        check=False, **as_nobody,
    )  # type: ignore[call-overload]  # fmt: skip
    return done
