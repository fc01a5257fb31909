"""Reads task files in WebArena's format: a JSON list of tasks, or one task (arXiv:2307.13854)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agentgym import DataError, UsageError
from agentgym_envs.web.webarena.checks import OR, Contents
from agentgym_envs.web.webarena.origins import Origins

Kind = Literal["string_match", "url_match", "program_html"]


class Unsupported(ValueError):
    """A task that is well formed and asks for something that is not here."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ReferenceAnswers(_Part):
    """What an answer must be (``exact_match``), hold, or mean to a judge (``fuzzy_match``)."""

    exact_match: str | None = None
    must_include: tuple[str, ...] = ()
    fuzzy_match: tuple[str, ...] | Literal["N/A"] = ()

    @model_validator(mode="after")
    def _not_empty(self) -> ReferenceAnswers:
        if self.exact_match is None and not self.must_include and not self.fuzzy_match:
            raise ValueError("needs exact_match, must_include or fuzzy_match")
        return self


class Target(_Part):
    """A page and what it must hold: ``last`` is the one that the policy ended on."""

    url: str
    locator: str = ""
    prep_actions: tuple[str, ...] = ()
    required_contents: dict[str, Any]

    @field_validator("url", "locator")
    @classmethod
    def _no_function(cls, value: str) -> str:
        if value.startswith("func"):
            raise Unsupported(f"{value.split('(')[0]!r} is a program of WebArena's own sites")
        return value

    @field_validator("locator")
    @classmethod
    def _from_document(cls, value: str) -> str:
        if value.strip() and not value.startswith(("document.", "[...document.")):
            raise ValueError("must be empty or start with 'document.' or '[...document.'")
        return value

    @field_validator("required_contents")
    @classmethod
    def _readable(cls, value: dict[str, Any]) -> dict[str, Any]:
        _contents(value)
        return value

    @property
    def contents(self) -> Contents:
        """What must be found there."""
        return _contents(self.required_contents)


class Evaluation(_Part):
    """How an episode is judged: every kind named in ``eval_types`` must hold."""

    eval_types: tuple[Kind, ...] = Field(min_length=1)
    reference_answers: ReferenceAnswers | None = None
    reference_url: str | None = None
    url_note: Literal["GOLD in PRED"] = "GOLD in PRED"
    program_html: tuple[Target, ...] = ()
    string_note: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Evaluation:
        for kind, given in (
            ("string_match", self.reference_answers),
            ("url_match", self.reference_url),
            ("program_html", self.program_html),
        ):
            if kind in self.eval_types and not given:
                raise ValueError(f"{kind} needs {_NEEDED[kind]}")
        return self

    @property
    def urls(self) -> list[str]:
        """The addresses of which one must be reached."""
        return (self.reference_url or "").split(OR)


class Entry(_Part):
    """One task of a file; other fields of the format are ignored."""

    intent: str = Field(min_length=1)
    start_url: str = Field(min_length=1)
    sites: tuple[str, ...] = ()
    task_id: int | str | None = None
    eval: Evaluation


_NEEDED = {
    "string_match": "reference_answers",
    "url_match": "reference_url",
    "program_html": "program_html",
}


def read_task_file(
    path: Path, origins: Origins, *, judged: bool = False, skip: bool = False
) -> list[Entry]:
    """The tasks of a file.

    Args:
        path: A JSON file.
        origins: Where the sites are.
        judged: Whether there is a judge for ``fuzzy_match``.
        skip: Leave out tasks that ask for what is not here; malformed ones never.

    Raises:
        DataError: The file or an entry is bad, or asks for what is not here; names file and entry.
    """
    entries = []
    for number, raw in enumerate(_read(path), start=1):
        try:
            entries.append(_entry(raw, origins, judged))
        except Unsupported as error:
            if not skip:
                raise DataError(f"{path}: entry {number}: {error}") from error
        except UsageError as error:
            raise DataError(f"{path}: entry {number}: {error}") from error
    if not entries:
        raise DataError(f"{path}: there is no task in it that can be played")
    return entries


def placed(entry: Entry, origins: Origins) -> Entry:
    """The task with its sites' addresses as they are called inside.

    Raises:
        UsageError: It names a site whose address is not known.
    """
    inside = Entry.model_validate_json(origins.inside(entry.model_dump_json()))
    if origins.outside(inside.start_url) is None:
        raise UsageError(
            f"start_url {entry.start_url!r} is of no known site: give "
            "origins={'__NAME__': 'http://…'} with its address"
        )
    return inside


def _read(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 JSON ({error})") from error
    return found if isinstance(found, list) else [found]


def _entry(raw: Any, origins: Origins, judged: bool) -> Entry:
    try:
        entry = Entry.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, Unsupported):
            raise Unsupported(f"{place}: {cause}") from error
        raise UsageError(f"{place}: {first['msg']}".removeprefix(": ")) from error
    answers = entry.eval.reference_answers
    if "string_match" in entry.eval.eval_types and answers and answers.fuzzy_match and not judged:
        raise Unsupported("eval.reference_answers: fuzzy_match needs a judge: give judge=…")
    placed(entry, origins.with_local(entry.start_url))
    return entry


def _contents(required: dict[str, Any]) -> Contents:
    exact, include = required.get("exact_match"), required.get("must_include")
    if isinstance(exact, str):
        return Contents(exact=exact)
    if isinstance(include, list) and include and all(isinstance(one, str) for one in include):
        return Contents(include=tuple(include))
    raise ValueError("needs exact_match, a text, or must_include, a list of texts")
