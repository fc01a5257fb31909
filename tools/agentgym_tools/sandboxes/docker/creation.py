"""Starting a container, and seeing that the engine does what it was asked for. Blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentgym.sandbox import Limits, SandboxDied, SandboxUnavailable
from agentgym_tools.sandboxes.docker import hardening, scripts
from agentgym_tools.sandboxes.docker.container import Container

_NO_INIT = ("docker-init", "catatonit", "init binary")


def create(
    api: Any, image: str, limits: Limits, cpus: float, labels: Mapping[str, str]
) -> Container:
    """A started container whose limits are in force.

    Raises:
        SandboxUnavailable: They are not, or the engine cannot make one.
    """
    try:
        return start_one(api, image, limits, cpus, labels, init=True)
    except SandboxUnavailable as error:
        if not any(name in str(error) for name in _NO_INIT):
            raise
        return start_one(api, image, limits, cpus, labels, init=False)


def start_one(
    api: Any, image: str, limits: Limits, cpus: float, labels: Mapping[str, str], *, init: bool
) -> Container:
    """As :func:`create`, with or without the engine's init as process 1."""
    options = hardening.container_options(limits, cpus, init)
    try:
        created = api.create_container(
            image,
            ["sh", "-c", hardening.KEEPER if init else hardening.LONE_KEEPER],
            entrypoint=[],
            user="0:0",
            working_dir="/work",
            labels=dict(labels),
            host_config=api.create_host_config(**options),
        )
    except Exception as error:  # of the client or of a library below it
        raise SandboxUnavailable(f"cannot make a container of {image!r}: {error}") from error
    container = Container(api, created["Id"], image, limits)
    try:
        _start(api, container, options)
    except BaseException as error:
        container.remove()
        if isinstance(error, SandboxDied):
            raise SandboxUnavailable(f"{image!r} does not start: {error}") from error
        raise
    return container


def _start(api: Any, container: Container, options: Mapping[str, Any]) -> None:
    try:
        api.start(container.id)
        inspect = api.inspect_container(container.id)
    except Exception as error:  # as above
        raise SandboxUnavailable(f"cannot start {container.image!r}: {error}") from error
    container.init_pid = inspect["State"]["Pid"]
    code, text = container.script(scripts.shell(hardening.INSPECTION))
    container.inside = hardening.parse_inspection(text.decode("utf-8", "replace"))
    problems = hardening.missing_limits(inspect, container.inside, options)
    if problems or code:
        found = "; ".join(problems) or f"the inspection ended with exit code {code}"
        raise SandboxUnavailable(
            f"this engine does not enforce what was asked of it: {found}; run the engine as "
            'root, or on cgroup version 2 with delegated controllers, or use "jail"'
        )
