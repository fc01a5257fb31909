"""Runs in the sandbox: ``find`` names by glob, ``grep`` lines by regular expression.

Here because a pattern may be made to run for years, and a tree to be endless: the sandbox's time
limit ends both. Symbolic links are not followed, ``.git`` is skipped, and only regular files are
opened.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import stat
import sys
from typing import Any, Dict, Iterator, NoReturn, Pattern, Tuple  # noqa: UP035 - Python 3.8

_CHUNK = 8192
_LONGEST_LINE = 1 << 20
_SHOWN = 300


def main() -> None:
    """Read the request, print what was found."""
    request: Dict[str, Any] = json.load(sys.stdin)  # noqa: UP006
    top = resolve(request["path"])
    wanted = glob_regex(request["glob"])
    if request["mode"] == "find":
        find(top, wanted, request["most"])
    else:
        try:
            pattern = re.compile(request["pattern"])
        except (re.error, OverflowError, RecursionError) as error:
            refuse("invalid_regex", f"{request['pattern']!r} is no Python regex: {error}")
        grep(top, wanted, pattern, request["most"])
    sys.stdout.flush()


def refuse(code: str, message: str) -> NoReturn:
    """End, telling the model why."""
    sys.stderr.write(f"{code}\n{ascii(message)[1:-1]}\n")
    sys.stderr.flush()
    os._exit(3)


def resolve(path: str) -> str:
    """A path of the model's, relative to the work folder; never outside it."""
    if "\0" in path:
        refuse("invalid_path", f"{path!r} holds a null character")
    root = os.path.realpath(".")
    if path == "/work" or path.startswith("/work/"):
        path = path[5:].strip("/")
    real = os.path.realpath(os.path.join(root, path))
    if real != root and not real.startswith(root.rstrip("/") + "/"):
        refuse("outside_work", f"{path!r} leads out of /work; give a path in it")
    if not os.path.exists(real):
        refuse("not_found", f"there is no {path!r}; give a folder or file in /work")
    return os.path.relpath(real, root)


def glob_regex(glob: str) -> Pattern[str]:
    """``*`` and ``?`` stay within a folder, ``**`` does not; without ``/`` it is about the name."""
    parts = []
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^\]/]+\])", glob.strip("/")):
        if part == "**/":
            parts.append("(?:.*/)?")
        elif part == "**":
            parts.append(".*")
        elif part == "*":
            parts.append("[^/]*")
        elif part == "?":
            parts.append("[^/]")
        elif part.startswith("[") and part.endswith("]"):
            parts.append(fnmatch.translate(part).partition("(?s:")[2].rpartition(")")[0])
        else:
            parts.append(re.escape(part))
    anywhere = "" if "/" in glob else "(?:.*/)?"
    try:
        return re.compile(f"(?s:{anywhere}{''.join(parts)})\\Z")
    except re.error as error:
        refuse("invalid_glob", f"{glob!r} is no glob: {error}")


def walk(top: str) -> Iterator[Tuple[str, str, bool]]:  # noqa: UP006
    """Path from /work, path from ``top``, and whether it is a folder; sorted in each folder."""
    if not os.path.isdir(top):
        yield top, os.path.basename(top), False
        return
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        below = []
        for entry in entries:
            path, is_folder = os.path.normpath(entry.path), entry.is_dir(follow_symlinks=False)
            if is_folder and entry.name == ".git":
                continue
            yield path, os.path.relpath(path, top), is_folder
            if is_folder:
                below.append(path)
        waiting += reversed(below)


def find(top: str, wanted: Pattern[str], most: int) -> None:
    """Print the paths whose name fits."""
    count = 0
    for path, relative, is_folder in walk(top):
        if wanted.match(relative):
            count += 1
            if count <= most:
                say(path + "/" * is_folder)
    if count > most:
        say(f"[{count - most} more; narrow the pattern or the path]")
    if not count:
        say("No file found.")


def grep(top: str, wanted: Pattern[str], pattern: Pattern[str], most: int) -> None:
    """Print the lines that match, with path and line number."""
    count = skipped = 0
    for path, relative, is_folder in walk(top):
        if is_folder or not wanted.match(relative):
            continue
        try:
            for number, line in text_lines(path):
                found = pattern.search(line)
                if found:
                    count += 1
                    if count <= most:
                        say(f"{path}:{number}: {excerpt(line, found.start())}")
        except ValueError:
            skipped += 1
        except OSError:
            continue
    if count > most:
        say(f"[{count - most} more matching lines; narrow the pattern, the path or the glob]")
    if not count:
        say("No line found.")
    if skipped:
        say(f"[{skipped} binary files skipped]")


def text_lines(path: str) -> Iterator[Tuple[int, str]]:  # noqa: UP006
    """Numbered lines of a text file. Raises ValueError if it is binary, OSError if no file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("not a regular file")
        if b"\0" in file.read(_CHUNK):
            raise ValueError("binary")
        file.seek(0)
        number = 0
        while True:
            line = file.readline(_LONGEST_LINE)
            if not line:
                return
            number += 1
            while not line.endswith(b"\n") and file.readline(_LONGEST_LINE)[-1:] not in (
                b"\n",
                b"",
            ):
                continue  # the rest of a line that is too long is not looked at
            yield number, line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def excerpt(line: str, start: int) -> str:
    """The part of a long line where the match is."""
    if len(line) <= _SHOWN:
        return line
    first = max(0, min(start - _SHOWN // 3, len(line) - _SHOWN))
    last = first + _SHOWN
    return "…" * (first > 0) + line[first:last] + "…" * (last < len(line))


def say(line: str) -> None:
    """One line; a name with a newline stays on it."""
    sys.stdout.buffer.write(os.fsencode(line.replace("\n", "\\n")) + b"\n")


if __name__ == "__main__":
    main()
