"""The shell scripts that run inside a container. They need sh, as busybox has it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from agentgym_tools.sandboxes.files import WORK

# Kills all processes but this one, those below the process numbers in $keep, and process 1 with
# its child, which are another user's. /proc/*/status escapes newlines in names, stat does not.
_SWEEP = r"""
sweep() {
  round=0
  while [ $round -lt 20 ]; do
    round=$((round + 1)) killed=
    for folder in /proc/[0-9]*; do
      pid=${folder#/proc/} above=${folder#/proc/} spared= zombie=
      while :; do
        case " $keep 1 $$ " in *" $above "*) [ "$above" = 1 ] || spared=1; break;; esac
        parent=
        while read -r key value _; do
          case $key in
            State:) [ "$above" = "$pid" ] && [ "$value" = Z ] && zombie=1;;
            PPid:) parent=$value; break;;
          esac
        done 2>/dev/null < /proc/$above/status
        above=$parent
        [ "${above:-0}" = 0 ] && break
      done 2>/dev/null
      [ -n "$spared$zombie" ] || [ "$pid" = 1 ] && continue
      kill -9 "$pid" 2>/dev/null && killed=1
    done
    [ -n "$killed" ] || return 0
  done
  return 1
}
"""

SWEEP = _SWEEP + 'keep="$*"\nsweep\n'
"""Arguments: process numbers of session hosts."""

# As one call: its time-out, its limit of processor time, its end without leftovers.
RUN = (
    _SWEEP
    + r"""
wall=$1 cpu=$2 keep=$3 folder=$(printf '%b_' "$4")
shift 4
cd "${folder%_}" || exit 127
if command -v timeout >/dev/null; then
  ( ulimit -t "$cpu"; exec timeout -s KILL "$wall" "$@" )
else
  ( ulimit -t "$cpu"; exec "$@" )
fi
code=$?
sweep
exit $code
"""
)
"""Arguments: seconds, seconds of processor time, session hosts, folder, command."""

# After a call that failed: was it memory, was it space?
POST_MORTEM = r"""
for file in /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events; do
  [ -r $file ] && while read -r key value; do
    [ "$key" = oom_kill ] && echo "oom_kill $value"
  done < $file
done
for folder in /work /tmp /dev/shm; do
  for what in -k -i; do
    df -P $what $folder | { read -r _; read -r _ _ _ free _; echo "free $free"; }
  done
done
"""

# Paths come as arguments of printf %b, so that bytes that are no UTF-8 survive the engine's JSON.
_PATH = r"""
path=$(printf '%b_' "$1"); path=${path%_}
inside() { real=$(readlink -f -- "$1" && echo _) || return 1; real=${real%??}
  case $real in /work|/work/*) return 0;; esac; exit 12; }
"""
READ = (
    _PATH
    + r"""
[ -e "$path" ] || [ -L "$path" ] || { parent=${path%/*}
  while [ ! -e "$parent" ]; do parent=${parent%/*}; done; [ -d "$parent" ] || exit 13; exit 10; }
inside "$path" || exit 10
[ -d "$real" ] && exit 11
[ -f "$real" ] || exit 14
[ -r "$real" ] || exit 17
exec head -c "$2" -- "$real"
"""
)
WRITE = (
    _PATH
    + r"""
[ -d "$path" ] && [ ! -L "$path" ] && exit 11
folder=${path%/*} above=$folder
while [ ! -e "$above" ] && [ ! -L "$above" ]; do above=${above%/*}; done
inside "$above" || exit 10
[ -d "$real" ] || exit 13
mkdir -p -- "$folder" || exit 15
mode=644
[ -f "$path" ] && [ ! -L "$path" ] && mode=$(stat -c %a -- "$path")
temporary=$(mktemp "$folder/.agentgym-XXXXXX") || exit 15
trap 'rm -f -- "$temporary"' EXIT
cat > "$temporary" || exit 16
[ "$(stat -c %s -- "$temporary")" = "$2" ] || exit 16
chmod "$mode" "$temporary"
[ -L "$path" ] && rm -f -- "$path"
mv -f -- "$temporary" "$path" || exit 15
trap - EXIT
"""
)
LIST = (
    _PATH
    + r"""
[ -e "$path" ] || [ -L "$path" ] || exit 10
inside "$path" || exit 10
[ -d "$real" ] || exit 13
cd "$real" || exit 17
find . -mindepth 1 -maxdepth 1 -print0
printf '\0'
find . -mindepth 1 -maxdepth 1 -exec stat -c '%f %s' {} +
"""
)

PACK = "exec tar -cf - ."
UNPACK = "exec tar -xpf -"
PACK_BY_PYTHON = "import sys, tarfile as t; t.open(fileobj=sys.stdout.buffer, mode='w|').add('.')"
# What it unpacks came from such a box, and goes nowhere else: links may point where they like.
UNPACK_BY_PYTHON = """
import sys, tarfile
trust = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
tarfile.open(fileobj=sys.stdin.buffer, mode="r|").extractall(**trust)
"""


def shell(script: str, *arguments: str) -> list[str]:
    """The command that runs a script."""
    return ["sh", "-c", script, "sh", *arguments]


def quoted_path(path: str) -> str:
    """A path as an absolute one below /work, for ``printf %b``.

    Raises:
        PermissionError: It leads out of /work.
        ValueError: It holds a null character.
    """
    if "\0" in path:
        raise ValueError("a path cannot hold a null character")
    absolute = posixpath.normpath(posixpath.join(WORK, path))
    if absolute != WORK and not absolute.startswith(WORK + "/"):
        raise PermissionError(13, f"lies outside {WORK}", path)
    data = absolute.encode("utf-8", "surrogateescape")
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    return "".join(chr(byte) if byte in plain else f"\\0{byte:03o}" for byte in data)


def kept(session_hosts: Sequence[int]) -> str:
    """Process numbers for ``$keep``."""
    return " ".join(map(str, session_hosts))
