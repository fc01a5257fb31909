"""Runs in the sandbox: one SQL statement on an SQLite file, its rows as a table.

Here because a database file or a query may attack SQLite itself, or never end. Other files cannot
be attached, settings cannot be changed and no extension is loaded.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import sys
import time
import urllib.parse
from typing import Any, Dict, List, NoReturn, Optional, Tuple  # noqa: UP035 - Python 3.8

_LONGEST_VALUE = 16 << 20
_CELL = 200
_TABLE_CHARS = 14_000
_READ_PRAGMAS = {
    "database_list",
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
}


def main() -> None:
    """Read the request, print the table."""
    request: Dict[str, Any] = json.load(sys.stdin)  # noqa: UP006
    deadline = time.monotonic() + request["timeout_s"]
    connection = connect(request["database"], request["writable"])
    connection.set_authorizer(authorize)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
    try:
        cursor = connection.execute(request["query"])
        text = describe(cursor, request["max_rows"], deadline)
        connection.commit()
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        if time.monotonic() > deadline:
            refuse("timeout", f"the query took more than {request['timeout_s']:g} s; simplify it")
        refuse("sql_error", f"{error}{advice(str(error), request['writable'])}")
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def refuse(code: str, message: str) -> NoReturn:
    """End, telling the model why."""
    sys.stderr.write(f"{code}\n{printable(message[:1000])}\n")
    sys.stderr.flush()
    os._exit(3)


def advice(error: str, writable: bool) -> str:
    """What to do next, where the error of SQLite does not say it."""
    if "readonly" in error and not writable:
        return "; the database is read-only, use SELECT"
    if "one statement" in error:
        return " Send one statement in each call"
    if any(word in error for word in ("not authorized", "denied", "prohibited", "unsafe use")):
        return "; ATTACH, load_extension and PRAGMAs that change settings are not allowed here"
    if "no such table" in error:
        return "; list tables with SELECT name, sql FROM sqlite_master"
    return ""


def connect(database: str, writable: bool) -> sqlite3.Connection:
    """The database with its limits, opened read-only by SQLite itself unless it is writable."""
    path = "." + database[5:] if database.startswith("/work/") else database
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            refuse("not_a_file", f"the database {database!r} is not a regular file")
    except OSError as error:
        if not writable or not isinstance(error, FileNotFoundError):
            refuse("not_found", f"the database {database!r} cannot be opened: {error.strerror}")
    uri = f"file:{urllib.parse.quote(path)}?mode={'rwc' if writable else 'ro'}"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=1.0)
        connection.execute("PRAGMA trusted_schema=OFF")
        if not writable:
            connection.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        refuse("sql_error", f"the database {database!r} cannot be opened: {error}")
    connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    if hasattr(connection, "setlimit"):  # Python 3.11
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    return connection


def authorize(
    action: int,
    first: str | None,
    second: str | None,
    *_where: Optional[str],  # noqa: UP045
) -> int:
    """Whether SQLite may do this: no other files, no changed settings, no extensions."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in _READ_PRAGMAS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def describe(cursor: sqlite3.Cursor, max_rows: int, deadline: float) -> str:
    """The first rows as a table, and how many there are."""
    if cursor.description is None:
        changed = max(cursor.rowcount, 0)
        return f"Done; {changed} row{'s' * (changed != 1)} changed."
    header = [cell(column[0]) for column in cursor.description]
    rows: List[List[str]] = []  # noqa: UP006
    room = _TABLE_CHARS
    for row in cursor:
        cells = [cell(value) for value in row]
        room -= sum(map(len, cells)) + 3 * len(cells)
        if len(rows) == max_rows or (room < 0 and rows):
            more, complete = count_more(cursor, deadline)
            least = "" if complete else "at least "
            return f"{table(header, rows)}\n({len(rows)} rows, {least}{more} more rows not shown)"
        rows.append(cells)
    return f"{table(header, rows)}\n({len(rows)} row{'s' * (len(rows) != 1)})"


def count_more(cursor: sqlite3.Cursor, deadline: float) -> Tuple[int, bool]:  # noqa: UP006
    """Rows left, the one just fetched included, and whether time sufficed to count them."""
    count = 1
    try:
        for _ in cursor:
            count += 1
    except sqlite3.Error:
        if time.monotonic() <= deadline:
            raise
        return count, False
    return count, True


def table(header: List[str], rows: List[List[str]]) -> str:  # noqa: UP006
    """Aligned columns."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]  # noqa: B905 - Python 3.8
    lines = [header, ["-" * width for width in widths], *rows]
    aligned = [[text.ljust(widths[at]) for at, text in enumerate(line)] for line in lines]
    return "\n".join(" | ".join(line).rstrip() for line in aligned)


def cell(value: object) -> str:
    """One value: NULL, x'..' for a blob, and text on one line."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        shown = value[: _CELL // 4].hex()
        cut = len(value) > _CELL // 4
        return f"x'{shown}" + (f"… ({len(value)} bytes)" if cut else "'")
    text = str(value)
    if len(text) <= _CELL:
        return printable(text)
    return f"{printable(text[:_CELL])}… ({len(text)} characters)"


def printable(text: str) -> str:
    """Text on one line, with what cannot be seen escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


if __name__ == "__main__":
    main()
