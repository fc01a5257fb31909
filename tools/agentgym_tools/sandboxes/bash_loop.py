"""The shell program that runs a session's commands one after another.

Standard library only, Python 3.8 or later: it is sent by content into boxes that hold no agentgym.
"""

from __future__ import annotations

# Commands come over descriptor 3, ended by a null byte. The exit status goes over descriptor 4,
# never over stdout, where a program could forge it, and after the number of its call: an interrupt
# that comes too late makes the loop report twice. `continue 999` leaves every loop that SIGINT
# found running. The outer loop outlives a `break` in a command. The function gives back the last
# command's status, so that `echo $?` means in the next call what it means at a prompt. `builtin`,
# since a command may define functions of any name.
BASH_LOOP = r"""
trap '__agentgym_status=130; continue 999' INT
__agentgym_last() { return "$__agentgym_status"; }
__agentgym_call=0
__agentgym_status=0
while :; do
  while :; do
    builtin printf '%s %s\0' "$__agentgym_call" "$__agentgym_status" >&4
    IFS= builtin read -r -d '' -u 3 __agentgym_command || builtin exit
    __agentgym_call=$((__agentgym_call + 1))
    __agentgym_last
    builtin eval "$__agentgym_command" 3<&- 4>&-
    __agentgym_status=$?
  done
  __agentgym_status=$?
done
"""


def encode_command(command: str) -> bytes:
    """A command as the loop reads it. Null bytes, which bash leaves out of its input, are gone."""
    return command.encode("utf-8", "surrogateescape").replace(b"\0", b"") + b"\0"


def decode_reports(received: bytes) -> tuple[list[tuple[int, int]], bytes]:
    """All (call, exit status) that have come whole, and the rest."""
    *reports, rest = received.split(b"\0")
    found = []
    for report in reports:
        call, _, status = report.partition(b" ")
        if call.isdigit() and status.isdigit() and len(report) < 32:
            found.append((int(call), int(status)))
    return found, rest
