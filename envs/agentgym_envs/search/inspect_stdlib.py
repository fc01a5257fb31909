"""Print what ``inspect`` knows of the standard library, one JSON object a line.

Run as a script in a fresh interpreter with an empty environment: it imports hundreds of modules,
and some of them have ``os.environ`` as a default value. Imports nothing but the standard library.

Each line: ``kind`` (module, class, function or method), ``name``, ``module`` (where it is defined),
``owner`` (of a method), ``bases`` (of a class), ``signature``, ``defaults`` (parameter to value, as
written in the signature) and ``doc`` (the docstring).
"""

import contextlib
import importlib
import inspect
import io
import json
import pkgutil
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

# Opening a browser, printing poems, test suites, and shims that other packages replace.
_SKIPPED = {"antigravity", "this", "idlelib", "test", "tests", "turtledemo", "lib2to3"}
_SKIPPED |= {"__main__", "ensurepip", "idle_test", "pip", "distutils", "encodings"}


# Paths of this machine; they are no facts about the library.
_PLACES = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable}


def module_names() -> Iterator[str]:
    """Public modules of the standard library that import here, parents first."""

    def walk(name: str) -> Iterator[str]:
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit):  # other platforms' modules fail in many ways
            return
        yield name
        for child in pkgutil.iter_modules(getattr(module, "__path__", [])):
            if not child.name.startswith("_") and child.name not in _SKIPPED:
                yield from walk(f"{name}.{child.name}")

    for name in sorted(sys.stdlib_module_names):
        if not name.startswith("_") and name not in _SKIPPED:
            yield from walk(name)


def signature_of(value: Any) -> tuple[str, dict[str, str]]:
    """The signature as text and its defaults; empty where there is none or it is not stable."""
    try:
        signature = inspect.signature(value)
        text = str(signature)
    except (ValueError, TypeError):
        return "", {}
    unstable = " at 0x" in text or "<object" in text  # addresses change from run to run
    if unstable or any(place in text for place in _PLACES) or len(text) > 400:
        return "", {}
    defaults = {
        name: repr(parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.default is not parameter.empty
    }
    return text, defaults


def describe(kind: str, name: str, module: str, value: Any, **more: Any) -> dict[str, Any]:
    """One line of the output."""
    signature, defaults = ("", {}) if kind == "module" else signature_of(value)
    doc = inspect.getdoc(value) or ""
    line = {"kind": kind, "name": name, "module": module, "owner": "", "bases": []}
    return {**line, "signature": signature, "defaults": defaults, "doc": doc, **more}


def describe_class(name: str, module: str, value: type) -> Iterator[dict[str, Any]]:
    """The class and the public methods that it defines itself."""
    bases = [f"{base.__module__}:{base.__qualname__}" for base in value.__bases__]
    yield describe("class", name, module, value, bases=bases)
    for method, member in sorted(vars(value).items()):
        function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if isinstance(function, types.FunctionType) and not method.startswith("_"):
            yield describe("method", method, module, function, owner=name)


def describe_all() -> Iterator[dict[str, Any]]:
    """Every public module, class, function and method, each where it is defined."""
    for module_name in module_names():
        module = sys.modules[module_name]
        yield describe("module", module_name, module_name, module)
        for name, value in sorted(vars(module).items()):
            if name.startswith("_") or getattr(value, "__module__", None) != module_name:
                continue
            if inspect.isclass(value) and value.__qualname__ == name:
                yield from describe_class(name, module_name, value)
            elif inspect.isroutine(value) and getattr(value, "__name__", "") == name:
                yield describe("function", name, module_name, value)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        lines = list(describe_all())
    for fact in lines:
        print(json.dumps(fact))
