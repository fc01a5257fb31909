"""Removing the containers of trainers that are dead."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from agentgym_tools.sandboxes.docker.hardening import OWNER_LABEL, owner


def reap(api: Any) -> list[str]:
    """Remove each container whose owner on this machine lives no more; gives their ids. Blocks.

    Owners on other machines that share the engine are left alone: nothing is known of them.
    """
    removed = []
    for container in api.containers(all=True, filters={"label": OWNER_LABEL}):
        if _is_dead(container["Labels"][OWNER_LABEL]):
            with suppress(Exception):  # another start may be reaping the same one
                api.remove_container(container["Id"], force=True, v=True)
                removed.append(container["Id"])
    return removed


def _is_dead(label: str) -> bool:
    host, _, rest = label.partition(":")
    pid = rest.partition(":")[0]
    if host != os.uname().nodename or not pid.isdigit():
        return False
    return owner(int(pid)) != label
