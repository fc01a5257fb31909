"""The jail's suites once more, as an ordinary user: with user namespaces, and without any."""

import os
import subprocess
import sys
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
def test_the_suites_hold_for_an_ordinary_user(form: str, tmp_path: Path) -> None:
    interpreter = interpreter_for_everybody()
    if os.getuid() != 0 and form == "user":
        pytest.skip("the whole run is an ordinary user's already")
    if interpreter is None:
        pytest.skip("no interpreter of this version that an ordinary user can start")
    sites = [path for path in sys.path if path.endswith("-packages")]
    paths = [ROOT, ROOT / "tools", ROOT / "envs", ROOT / "trainers", ROOT / "tests"]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TMPDIR": "/tmp",
        "PYTHONPATH": ":".join(map(str, [*paths, *sites])),
        "PYTHONDONTWRITEBYTECODE": "1",
        FORM_VARIABLE: form,
    }
    command = [interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += [str(ROOT / "tests" / "tools" / name) for name in SUITES]
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300,
        check=False, **as_nobody,
    )  # type: ignore[call-overload]  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    print(done.stdout.strip().splitlines()[-1])
