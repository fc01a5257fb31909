"""Running one cell of Python as the prompt does: echo, traceback, exit code.

Standard library only, Python 3.8 or later: it is sent by content into boxes that hold no agentgym.
"""

from __future__ import annotations
import __future__

import ast
import itertools
import linecache
import sys
import traceback
import types
from types import CodeType
from typing import Any

INTERRUPTED = 130
"""Exit code of a cell that ended by KeyboardInterrupt, as shells report it."""

_numbers = itertools.count(1)
_FUTURES = 0
for _name in __future__.all_feature_names:
    _FUTURES |= getattr(__future__, _name).compiler_flag


def main_namespace() -> dict[str, Any]:
    """The namespace of a new, empty ``__main__``, which pickle and dataclasses then find."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    return module.__dict__


def run_cell(source: str, namespace: dict[str, Any], *, echo: bool) -> int:
    """Run ``source`` in ``namespace`` and return its exit code. Raises nothing.

    Both streams are flushed. Tracebacks, on ``sys.stderr``, show the cell's own frames with their
    source lines, for functions of earlier cells too.

    Args:
        source: Python code.
        namespace: Its globals; names live on in it.
        echo: Whether the value of a last expression is printed, as at the prompt.

    Returns:
        0, the code of a SystemExit, 130 after KeyboardInterrupt, 1 after another exception.
    """
    namespace["__name__"] = "__main__"
    filename = f"<cell {next(_numbers)}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)  # no mtime: never dropped
    try:
        try:
            for code in _compile(source, filename, echo):
                exec(code, namespace)
            exit_code = 0
        except SystemExit as stop:
            exit_code = _exit_code(stop)
        except KeyboardInterrupt as error:
            _show(error, filename)
            exit_code = INTERRUPTED
        except BaseException as error:
            _show(error, filename)
            exit_code = 1
        _flush()
    except KeyboardInterrupt:  # it came while the handlers above ran
        exit_code = INTERRUPTED
    return exit_code


def _compile(source: str, filename: str, echo: bool) -> list[CodeType]:
    if not echo:
        return [compile(source, filename, "exec", dont_inherit=True)]
    tree = ast.parse(source, filename)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    body = compile(tree, filename, "exec", dont_inherit=True)
    if last is None:
        return [body]
    # Code of mode "single" hands its value to sys.displayhook; it must share __future__ imports.
    futures = body.co_flags & _FUTURES
    shown = compile(ast.Interactive([last]), filename, "single", futures, dont_inherit=True)
    return [body, shown]


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    _write(f"{stop.code}\n")
    return 1


def _show(error: BaseException, filename: str) -> None:
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename != filename:
        tb = tb.tb_next  # our own frames; all of them if the cell did not compile
    try:
        text = "".join(traceback.format_exception(type(error), error, tb))
    except Exception:  # the exception's own methods failed
        text = f"{type(error).__name__}\n"
    _write(text)


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
    except Exception:  # the cell closed or replaced the stream; its exit code still tells
        return


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # as above
            continue
