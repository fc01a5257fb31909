"""How a message is written as JSON and read again; bytes travel as base64."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from agentgym.errors import UsageError


def _from_base64(value: object) -> object:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


Blob = Annotated[bytes, BeforeValidator(_from_base64), PlainSerializer(_to_base64)]
Key = Annotated[str, Field(min_length=16, max_length=64)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class WireMessage(BaseModel):
    """Base of all messages: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def make(cls, **values: Any) -> Self:
        """Build a message from what a caller gave.

        Raises:
            UsageError: A value has the wrong type or is out of range.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise UsageError(one_line(error)) from error

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message. Raises UsageError, in one line."""
        try:
            return cls.model_validate(json.loads(data or b"{}"))
        except ValidationError as error:
            raise UsageError(f"{cls.__name__}: {one_line(error)}") from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{cls.__name__}: not JSON: {error}") from error

    def encode(self) -> bytes:
        """The message as JSON. Python's encoder, for it escapes lone surrogates in file names."""
        return json.dumps(self.model_dump()).encode("ascii")


def one_line(error: ValidationError) -> str:
    """The first mistake that pydantic found, and how many more there are."""
    mistakes = error.errors(include_url=False, include_context=False)
    first = mistakes[0]
    where = ".".join(str(part) for part in first["loc"]) or "message"
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return " ".join(f"{where}: {first['msg']}{more}".split())
