"""When the strong form cannot run, the message says which switch would let it."""

from pathlib import Path

import pytest

from agentgym import Promise
from agentgym_tools.sandboxes.jail.advice import advice, known_gaps


@pytest.mark.parametrize(
    ("switch", "closed", "remedy"),
    [
        (
            "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            "proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            "proc/sys/user/max_user_namespaces",
            "0",
            "sudo sysctl -w user.max_user_namespaces=15000",
        ),
    ],
)
def test_a_closed_switch_is_named(tmp_path: Path, switch: str, closed: str, remedy: str) -> None:
    path = tmp_path / switch
    path.parent.mkdir(parents=True)
    path.write_text(closed + "\n")
    assert remedy in advice(tmp_path)
    path.write_text("1\n" if closed == "0" else "0\n")
    assert remedy not in advice(tmp_path)


def test_in_a_container_its_flags_are_named(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    assert "--cap-add SYS_ADMIN" in advice(tmp_path)


def test_only_the_form_without_namespaces_has_gaps_by_nature() -> None:
    assert known_gaps("root") == known_gaps("user") == {}
    assert Promise.DISK in known_gaps("landlock")
