"""Runs a command, and ends with whoever started this: ``keeper.py PARENT_PID COMMAND ...``.

vLLM's own processes outlive a parent that is killed, and leave files in the temporary folder. This
process looks after its parent; when the parent or the command is gone, or after SIGTERM, it kills
all that the command started and removes what they left. Started by its path: it imports nothing of
agentgym.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress

_LOOK_S = 0.5


def main() -> int:
    """Wait for either end; the command's exit status."""
    parent = int(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    folder = tempfile.mkdtemp(prefix="agentgym-vllm-")
    command = subprocess.Popen(
        sys.argv[2:], env={**os.environ, "TMPDIR": folder}, start_new_session=True
    )
    try:
        while os.getppid() == parent and command.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                command.wait(_LOOK_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        command.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return command.returncode


if __name__ == "__main__":
    sys.exit(main())
