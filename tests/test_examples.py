"""Examples are run, and print what they should."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_oracle_example_wins_every_episode(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "oracle.py")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "the oracle's mean reward: 1.00\n", done.stderr
