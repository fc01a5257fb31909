"""Starting a program with resource limits, in a session of its own."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from agentgym.sandbox import Limits
from agentgym_tools.sandboxes.process_tree import descendants, kill_all, marked

CALL_MARK = "AGENTGYM_CALL"
"""Environment variable by which the processes of one call are found again."""
BOX_MARK = "AGENTGYM_BOX"
"""As above, for all of a sandbox's."""

# A program and not preexec_fn, which may deadlock after a fork of a trainer with threads.
# Python ignores two signals that the program must find at their default.
_LAUNCH = """
import json, os, resource, signal, sys
for name, (soft, hard) in json.loads(sys.argv[1]).items():
    try:
        resource.setrlimit(getattr(resource, name), (soft, hard))
    except (ValueError, OSError):
        pass
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
try:
    os.chdir(sys.argv[2])
    os.execvp(sys.argv[3], sys.argv[3:])
except (OSError, ValueError) as error:
    print("cannot run %r: %s" % (sys.argv[3], error), file=sys.stderr)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
"""


def start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, limits: Limits, *, session: bool = False
) -> subprocess.Popen[bytes]:
    """Start a program with three pipes, as the leader of a new process group.

    A ``session`` lives through many calls, so its processor time is not limited.
    """
    rlimits = {
        "RLIMIT_AS": [limits.memory_mb << 20] * 2,
        "RLIMIT_NOFILE": [int(limits.nofile)] * 2,
        "RLIMIT_FSIZE": [limits.file_mb << 20] * 2,
        "RLIMIT_CORE": [0, 0],
    }
    if not session:
        seconds = math.ceil(limits.cpu_s)
        rlimits["RLIMIT_CPU"] = [seconds, seconds + 1]
    command = [sys.executable, "-I", "-S", "-c", _LAUNCH, json.dumps(rlimits), str(cwd), *argv]
    return subprocess.Popen(
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        cwd="/",
        start_new_session=True,
    )


def kill_tree(pid: int, mark: str) -> None:
    """Kill a process group, and what left it as far as it can be found. ``pid`` is not reaped."""
    strays = descendants(pid)
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    for stray in strays:
        with suppress(OSError):
            os.kill(stray, signal.SIGKILL)
    kill_marked(CALL_MARK, mark)


def kill_marked(variable: str, mark: str) -> None:
    """Kill every process that started with this mark in its environment."""
    entry = f"{variable}={mark}".encode()
    kill_all(lambda: marked(entry))
