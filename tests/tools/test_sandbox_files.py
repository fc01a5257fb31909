"""The file API on a plain folder, with the kernel's help and without."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentgym_tools.sandboxes import files as files_module
from agentgym_tools.sandboxes.files import Files, open_following_nothing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inner = tmp_path / "box"
    inner.mkdir()
    (tmp_path / "outside").write_text("secret")
    (inner / "d").mkdir()
    (inner / "d" / "f").write_text("in")
    (inner / "up").symlink_to("../outside")
    (inner / "absolute").symlink_to(tmp_path / "outside")
    (inner / "folder").symlink_to(tmp_path)
    (inner / "loop").symlink_to("loop")
    (inner / "near").symlink_to("d/f")
    os.mkfifo(inner / "fifo")
    return inner


@pytest.fixture
def files(root: Path) -> Iterator[Files]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield Files(fd)
    os.close(fd)


ESCAPES = [
    "up",
    "absolute",
    "folder/outside",
    "../outside",
    "d/../../outside",
    "/etc/passwd",
    "loop",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_nothing_outside_is_read_or_written(files: Files, root: Path, path: str) -> None:
    with pytest.raises(OSError, match=r"."):
        files.read(path)
    try:
        files.write(path, b"changed")
    except OSError:
        pass
    else:
        assert path in ("up", "absolute", "loop"), "only the link itself may be replaced"
    assert (root.parent / "outside").read_text() == "secret"


@pytest.mark.parametrize("path", [*ESCAPES, "near", "fifo/x", "d/f/x", "nothing"])
def test_the_walk_for_old_kernels_follows_no_link(root: Path, path: str) -> None:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(OSError, match=r"."):
        open_following_nothing(fd, path.lstrip("/"), os.O_RDONLY | os.O_NONBLOCK)
    inside = open_following_nothing(fd, "d/./f", os.O_RDONLY)
    assert os.read(inside, 9) == b"in"
    os.close(inside)
    os.close(fd)


def test_links_that_stay_inside_are_followed(files: Files) -> None:
    assert files_module._openat2_works
    assert files.read("near") == b"in"
    assert files.read("/work/d/f") == b"in"


def test_a_write_is_whole_or_not_at_all(files: Files, root: Path) -> None:
    (root / "d" / "f").chmod(0o755)
    files.write("d/f", b"new")
    assert (root / "d" / "f").read_bytes() == b"new"
    assert (root / "d" / "f").stat().st_mode & 0o777 == 0o755
    files.write("a/b/c", b"deep")
    assert sorted(entry.name for entry in files.list("a/b")) == ["c"]
    for path, error in (("d", IsADirectoryError), ("d/f/x", NotADirectoryError), (".", OSError)):
        with pytest.raises(error):
            files.write(path, b"x")
    assert sorted(os.listdir(root / "d")) == ["f"], "no temporary file is left"


def test_what_is_no_regular_file_is_refused_without_waiting(files: Files) -> None:
    for path in ("fifo", "d"):
        with pytest.raises(OSError, match=r"."):
            files.read(path)
    with pytest.raises(ValueError, match="null"):
        files.read("a\0b")


def test_odd_names_are_listed(files: Files, root: Path) -> None:
    (root / os.fsdecode(b"\xff\n")).write_text("x")
    kinds = {entry.name: entry.kind for entry in files.list()}
    assert kinds["\udcff\n"] == "file"
    assert (kinds["fifo"], kinds["up"], kinds["d"]) == ("other", "link", "folder")
    assert files.read("\udcff\n") == b"x"
