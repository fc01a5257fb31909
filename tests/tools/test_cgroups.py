"""Where control groups can be made: version 1, version 2, both, none. The trees are made up of the
files the kernel shows; the limits themselves are attacked in test_jail_attacks.py."""

from pathlib import Path

import pytest

from agentgym_tools.sandboxes.jail.cgroups import SlotGroup, hierarchies


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("memory/own", "pids/own", "unified/user.slice/app.scope"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_version_1_gives_a_folder_for_each_controller(tree: Path) -> None:
    mounts = f"cgroup {tree}/memory cgroup rw,memory 0 0\ncgroup {tree}/pids cgroup rw,pids 0 0\n"
    found = hierarchies("4:memory:/own\n8:pids:/own\n1:cpu:/\n", mounts)
    assert [(one.parent, one.version, set(one.controllers)) for one in found] == [
        (tree / "memory" / "own", 1, {"memory"}),
        (tree / "pids" / "own", 1, {"pids"}),
    ]


def test_version_2_makes_groups_beside_us_and_not_below(tree: Path) -> None:
    (tree / "unified/user.slice/cgroup.controllers").write_text("cpu memory pids\n")
    mounts = f"cgroup2 {tree}/unified cgroup2 rw 0 0\n"
    (found,) = hierarchies("0::/user.slice/app.scope\n", mounts)
    assert found.parent == tree / "unified/user.slice"
    assert found.version == 2
    assert found.controllers == {"memory", "pids"}


def test_a_hybrid_uses_whichever_has_the_controller(tree: Path) -> None:
    (tree / "unified/user.slice/cgroup.controllers").write_text("pids\n")
    mounts = f"cgroup {tree}/memory cgroup rw,memory 0 0\ncgroup2 {tree}/unified cgroup2 rw 0 0\n"
    found = hierarchies("4:memory:/own\n0::/user.slice/app.scope\n", mounts)
    assert [(one.version, set(one.controllers)) for one in found] == [
        (1, {"memory"}),
        (2, {"pids"}),
    ]


def test_nothing_mounted_is_nothing_found() -> None:
    assert hierarchies("0::/\n", "proc /proc proc rw 0 0\n") == []


def test_a_path_of_another_view_falls_back_to_the_mounts_root(tree: Path) -> None:
    mounts = f"cgroup {tree}/memory cgroup rw,memory 0 0\n"
    (found,) = hierarchies("4:memory:/docker/abc\n", mounts)
    assert found.parent == tree / "memory"


def test_limits_are_written_in_the_words_of_each_version(tree: Path) -> None:
    (tree / "unified/user.slice/cgroup.controllers").write_text("memory pids\n")
    mounts = f"cgroup2 {tree}/unified cgroup2 rw 0 0\n"
    (second,) = hierarchies("0::/user.slice/app.scope\n", mounts)
    folder = tree / "slot"
    folder.mkdir()
    (folder / "memory.swap.max").write_text("max")
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n")
    group = SlotGroup([(folder, second)])
    group.limit(100, 7)
    assert (folder / "memory.max").read_text() == str(100 << 20)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "pids.max").read_text() == "7"
    assert group.oom_kills() == 2
