"""Getting images onto the engine. Everything here blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.sandbox import SandboxUnavailable


def is_there(api: Any, name: str) -> bool:
    """Whether the engine has an image."""
    try:
        api.inspect_image(name)
    except Exception as error:
        if getattr(getattr(error, "response", None), "status_code", None) == 404:
            return False
        raise SandboxUnavailable(f"the engine cannot look up image {name!r}: {error}") from error
    return True


def ensure_image(api: Any, name: str) -> None:
    """Pull an image unless it is there.

    Raises:
        SandboxUnavailable: It cannot be had.
    """
    if not is_there(api, name):
        pull(api, name)


def pull(api: Any, name: str) -> None:
    """Get an image from its registry.

    Raises:
        SandboxUnavailable: The registry does not answer, or has no such image.
    """
    repository, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
    try:
        api.pull(repository, tag=tag or "latest")
    except Exception as error:
        raise SandboxUnavailable(
            f"no image {name!r} on this engine, and it cannot be pulled ({error}); build it "
            "(images.build), or load it from a tarball (images.import_tarball)"
        ) from error


def build(api: Any, folder: Path, name: str) -> None:
    """Build an image from a folder with a Dockerfile.

    Raises:
        UsageError: There is no Dockerfile.
        SandboxUnavailable: The build failed; the message has its last lines.
    """
    if not (folder / "Dockerfile").is_file():
        raise UsageError(f"no Dockerfile in {str(folder)!r}; write one, or use import_tarball")
    lines: list[str] = []
    for event in api.build(path=str(folder), tag=name, rm=True, decode=True):
        lines.append(str(event.get("stream") or event.get("error") or "").rstrip())
        if "error" in event:
            last = "\n".join(filter(None, lines[-10:]))
            raise SandboxUnavailable(f"image {name!r} cannot be built from {folder}:\n{last}")


def import_tarball(api: Any, path: Path, name: str) -> None:
    """Make an image of a root file system in a tar archive; needs no network.

    Raises:
        UsageError: There is no such file.
        SandboxUnavailable: The engine refuses it.
    """
    if not path.is_file():
        raise UsageError(f"no tarball {str(path)!r}; give a tar archive of a root file system")
    repository, _, tag = name.rpartition(":") if ":" in name else (name, "", "latest")
    answer = api.import_image_from_file(str(path), repository=repository, tag=tag)
    if not is_there(api, name):
        raise SandboxUnavailable(f"the engine did not import {path}: {answer[-500:]}")
