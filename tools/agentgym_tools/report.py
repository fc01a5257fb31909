"""What the model reads about a call in the sandbox: output, then one line on how it ended."""

from __future__ import annotations

import signal

from agentgym.sandbox import ExecResult, ExecStatus, Limits
from agentgym_tools.safe_text import cut_text, safe_text
from agentgym_tools.sandboxes.output import KILL_FACTOR

MAX_CHARS = 16_000
"""Characters of output that a tool shows: some 4,000 tokens."""


def report(
    result: ExecResult, limits: Limits, *, session: str = "session", max_chars: int = MAX_CHARS
) -> str:
    """Text for the model. The last line is always ours, whatever the program printed.

    Args:
        result: What the call did.
        limits: Of its sandbox, to name the one that was hit.
        session: What keeps the state, for example ``"shell"``.
        max_chars: Characters of both streams together; of more, head and tail are shown.
    """
    stdout_size, stderr_size = len(safe_text(result.stdout)), len(safe_text(result.stderr))
    half = max_chars // 2
    stdout_room = max(half, max_chars - stderr_size)
    stderr_room = max(half, max_chars - stdout_size)
    parts = []
    if result.stdout:
        parts.append(_lines(cut_text(result.stdout, stdout_room, total=result.stdout_total)))
    if result.stderr:
        shown = cut_text(result.stderr, stderr_room, total=result.stderr_total)
        parts.append("stderr:\n" + _lines(shown))
    if not parts:
        parts.append("(no output)\n")
    return "".join(parts) + f"[{ending(result, limits)}{_state(result, session)}]"


def ending(result: ExecResult, limits: Limits) -> str:
    """How a call ended, in a few words, with the limit that it hit."""
    match result.status:
        case ExecStatus.OK | ExecStatus.NONZERO:
            return f"exit code {result.exit_code}"
        case ExecStatus.SIGNAL:
            return f"killed by signal {_signal_name(result.signal)}"
        case ExecStatus.TIMEOUT:
            return f"timed out after {result.wall_s:.3g} s"
        case ExecStatus.OOM:
            return f"killed: out of memory, the limit is {limits.memory_mb} MiB"
        case ExecStatus.OUTPUT_LIMIT:
            return f"killed: it wrote more than {KILL_FACTOR * limits.output_kb} KiB"
        case ExecStatus.DISK_FULL:
            disk = f"the limits are {limits.disk_mb} MiB and {limits.inodes} files"
            return f"disk full, {disk}{_after(result)}"
        case ExecStatus.KILLED:
            return "killed"


def _after(result: ExecResult) -> str:
    return "" if result.exit_code is None else f"; exit code {result.exit_code}"


def _state(result: ExecResult, session: str) -> str:
    if result.state_kept is False:
        return f"; the {session} ended: its state is lost, the next call starts a new one"
    if result.state_kept and result.status not in (ExecStatus.OK, ExecStatus.NONZERO):
        return f"; the {session} lives on: its state is kept"
    return ""


def _signal_name(number: int | None) -> str:
    try:
        return f"{number} ({signal.Signals(number or 0).name})"
    except ValueError:
        return str(number)


def _lines(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"
