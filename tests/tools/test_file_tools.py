"""The file tools: what the model sees, what its mistakes say, and that no path leads out."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from tools.quick_jail import quick_jail, refused, said

from agentgym import Limits, Sandbox, Tool
from agentgym_tools.files import file_tools
from agentgym_tools.search_files import grep_tool
from agentgym_tools.view import LARGEST

TOOLS = ("view", "edit", "write", "find", "grep")


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with quick_jail(Limits(wall_s=10, file_mb=16, disk_mb=32)) as box:
        yield box


@pytest.fixture
def tools(box: Sandbox) -> dict[str, Tool]:
    return {tool.spec.name: tool for tool in file_tools(lambda: box)}


async def test_the_tools_have_the_names_that_models_know(tools: dict[str, Tool]) -> None:
    assert tuple(tools) == TOOLS
    for tool in tools.values():
        properties = tool.spec.parameters["properties"]
        assert all(properties[name].get("description") for name in properties)


async def test_view_numbers_the_lines(box: Sandbox, tools: dict[str, Tool]) -> None:
    await box.write_file("a.txt", b"one\ntwo\n\xff\x1b[31m\nfour")
    text = await said(tools["view"], path="a.txt")
    assert text == "     1\tone\n     2\ttwo\n     3\t\\xff\\x1b[31m\n     4\tfour"
    text = await said(tools["view"], path="/work/a.txt", start_line=2, end_line=3)
    assert text.splitlines()[0] == "     2\ttwo"
    assert text.endswith("[lines 2 to 3 of the 4 lines; view from start_line=4 for more]")
    await box.write_file("empty", b"")
    assert await said(tools["view"], path="empty") == "(empty file)"


async def test_view_of_a_long_file_says_how_to_go_on(box: Sandbox, tools: dict[str, Tool]) -> None:
    await box.write_file("long", b"".join(b"line %d\n" % n for n in range(1, 10_001)))
    text = await said(tools["view"], path="long")
    assert text.endswith("[lines 1 to 500 of the 10000 lines; view from start_line=501 for more]")
    text = await said(tools["view"], path="long", start_line=9_999)
    assert text.startswith("  9999\tline 9999\n 10000\tline 10000\n")
    await box.write_file("wide", b"x" * 100_000 + b"\nend\n")
    text = await said(tools["view"], path="wide")
    assert "[... 99000 bytes left out ...]" in text
    assert text.endswith("     2\tend")


@pytest.mark.parametrize(("start", "end"), [(0, None), (-1, None), (4, None), (3, 2)])
async def test_lines_that_are_not_there(
    box: Sandbox, tools: dict[str, Tool], start: int, end: int | None
) -> None:
    await box.write_file("three", b"1\n2\n3\n")
    code, text = await refused(tools["view"], path="three", start_line=start, end_line=end)
    assert code == "out_of_range"
    assert "the file has 3 lines" in text


async def test_view_lists_folders(box: Sandbox, tools: dict[str, Tool]) -> None:
    assert await said(tools["view"]) == "(empty folder)"
    program = (
        "import os\nos.mkdir('sub'); open('f', 'w').write('123'); os.symlink('/etc', 'out')\n"
        "os.mkfifo('pipe'); open(b'bad\\xff\\n\\x1b', 'w').close()"
    )
    assert (await box.run_python(program)).ok
    assert (await said(tools["view"])).splitlines() == [
        r"bad\xff\n\x1b  0 bytes",
        "f  3 bytes",
        "out  (symbolic link)",
        "pipe  (not a regular file)",
        "sub/",
    ]
    assert (await box.run_python("for n in range(500): open(f'sub/{n}', 'w').close()")).ok
    assert (await said(tools["view"], path="sub")).endswith("[300 more; use find]")


async def test_a_binary_file_is_a_size_and_its_first_bytes(
    box: Sandbox, tools: dict[str, Tool]
) -> None:
    await box.write_file("b.png", b"\x89PNG\r\n\x1a\n\0\0" + b"\x07" * 5000)
    lines = (await said(tools["view"], path="b.png")).splitlines()
    assert lines[0] == "[binary file, 5010 bytes; its first bytes:]"
    assert lines[1].startswith("00000000  89 50 4e 47 0d 0a 1a 0a 00 00 07")
    assert lines[1].endswith(".PNG............")
    assert len(lines) == 17


async def test_a_huge_file_is_read_only_in_part(box: Sandbox, tools: dict[str, Tool]) -> None:
    assert (await box.run_python("open('huge', 'w').write('x\\n' * (6 << 20))")).ok
    text = await said(tools["view"], path="huge")
    assert f"of the first {LARGEST // 2} lines, {LARGEST} bytes" in text
    code, text = await refused(tools["edit"], path="huge", old="x", new="y")
    assert (code, text) == ("too_large", "Error: the file has more than 4 MiB")
    code, text = await refused(tools["write"], path="w", content="x" * (17 << 20))
    assert code == "too_large"
    assert "a file may have 16 MiB" in text


async def test_edit_replaces_exactly_one_place(box: Sandbox, tools: dict[str, Tool]) -> None:
    await box.write_file("a.py", b"def f():\n    return 1\n\n\ndef g():\n    return 2\n")
    text = await said(tools["edit"], path="a.py", old="return 2", new="return 3\n    # \\1 {x}")
    assert await box.read_file("a.py") == (
        b"def f():\n    return 1\n\n\ndef g():\n    return 3\n    # \\1 {x}\n"
    )
    assert text.startswith("Edited a.py:\n     4\t\n     5\tdef g():\n     6\t    return 3\n")


async def test_edit_keeps_bytes_that_are_not_utf8_and_line_ends(
    box: Sandbox, tools: dict[str, Tool]
) -> None:
    await box.write_file("dos", b"a\xff\r\nb\r\nc\r\n")
    await said(tools["edit"], path="dos", old="b\nc", new="x\ny\nz")
    assert await box.read_file("dos") == b"a\xff\r\nx\r\ny\r\nz\r\n"
    assert (await said(tools["view"], path="dos")).endswith("[lines end in \\r\\n]")


async def test_edit_names_the_lines_of_several_matches(
    box: Sandbox, tools: dict[str, Tool]
) -> None:
    await box.write_file("a", b"x = 1\ny = 2\nx = 1\n")
    code, text = await refused(tools["edit"], path="a", old="x = 1", new="x = 2")
    assert code == "several_matches"
    assert "occurs 2 times in a, at lines 1, 3; add lines" in text
    await box.write_file("b", b"aaa" + b"\nq" * 100)
    assert "occurs 2 times" in (await refused(tools["edit"], path="b", old="aa", new="b"))[1]
    assert "more than 20 times" in (await refused(tools["edit"], path="b", old="q", new="b"))[1]


async def test_edit_points_out_whitespace(box: Sandbox, tools: dict[str, Tool]) -> None:
    await box.write_file("a.py", b"if x:\n\treturn  1\nelse:\n\treturn 2\n")
    old = "if x:\n    return 1\nelse:"
    code, text = await refused(tools["edit"], path="a.py", old=old, new="y")
    assert code == "no_match"
    assert "Lines 1 to 3 differ from it in whitespace only" in text
    assert r"     2	'\treturn  1'" in text


async def test_edit_shows_the_closest_lines(box: Sandbox, tools: dict[str, Tool]) -> None:
    await box.write_file("a.py", b"import os\n\ndef compute(total, count):\n    return 1\n")
    old = "def compute(totals, counts):\n    return 1"
    code, text = await refused(tools["edit"], path="a.py", old=old, new="y")
    assert code == "no_match"
    assert text.endswith(
        "The closest lines are:\n     3\tdef compute(total, count):\n     4\t    return 1"
    )
    _, text = await refused(tools["edit"], path="a.py", old="zzz qqq www", new="y")
    assert text.endswith("No line of the file is like it; view the file first.")


async def test_a_file_made_to_be_slow_to_compare_is_compared_in_part(
    box: Sandbox, tools: dict[str, Tool]
) -> None:
    lines = b"".join(b"ab" * 79 + b"%d\n" % n for n in range(20_000))
    await box.write_file("slow", lines)
    code, _ = await refused(tools["edit"], path="slow", old="ba" * 80, new="y")
    assert code == "no_match"


@pytest.mark.parametrize(("old", "new"), [("", "x"), ("x", "x")])
async def test_edits_that_make_no_sense(
    box: Sandbox, tools: dict[str, Tool], old: str, new: str
) -> None:
    await box.write_file("a", b"x")
    assert (await refused(tools["edit"], path="a", old=old, new=new))[0] == "invalid_arguments"


async def test_write_makes_folders_and_replaces(box: Sandbox, tools: dict[str, Tool]) -> None:
    text = await said(tools["write"], path="a/b/c.txt", content="é\ntwo")
    assert text == "Wrote a/b/c.txt: 6 bytes, 2 lines."
    await said(tools["write"], path="a/b/c.txt", content="")
    assert await box.read_file("a/b/c.txt") == b""


async def trap(box: Sandbox) -> None:
    program = (
        "import os\nos.symlink('/etc/passwd', 'abs'); os.symlink('../../etc', 'rel')\n"
        "os.symlink('/proc/self/root/etc', 'magic'); os.symlink('loop', 'loop')\n"
        "os.mkfifo('fifo'); os.mkdir('dir'); open('file', 'w').write('text')\n"
        "os.symlink('file', 'inside')"
    )
    assert (await box.run_python(program)).ok


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("abs", "outside_work"),
        ("rel/passwd", "outside_work"),
        ("magic/passwd", "outside_work"),
        ("/etc/passwd", "outside_work"),
        ("../etc/passwd", "outside_work"),
        ("/work/../etc/passwd", "outside_work"),
        ("/proc/self/environ", "outside_work"),
        ("loop", "link_loop"),
        ("fifo", "not_a_file"),
        ("file/x", "not_folder"),
        ("nope", "not_found"),
        ("a\0b", "invalid_path"),
        ("x" * 300, "invalid_path"),
        ("/dev/null", "outside_work"),
    ],
)
async def test_no_path_leads_out_or_hangs(
    box: Sandbox, tools: dict[str, Tool], path: str, expected: str
) -> None:
    await trap(box)
    for call in (
        partial(refused, tools["view"], path=path),
        partial(refused, tools["edit"], path=path, old="root", new="toor"),
    ):
        code, text = await call()
        if path.startswith("magic"):
            assert code in ("outside_work", "link_loop")  # the kernel refuses magic links as loops
        else:
            assert code == expected, text
        assert "root:" not in text
        assert len(text) < 500


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("rel/new", "outside_work"),
        ("/etc/new", "outside_work"),
        ("../new", "outside_work"),
        ("file/x", "not_folder"),
        ("dir", "is_folder"),
        ("", "is_folder"),
        ("a\0b", "invalid_path"),
        ("x" * 300, "invalid_path"),
    ],
)
async def test_nothing_is_written_outside(
    box: Sandbox, tools: dict[str, Tool], path: str, expected: str
) -> None:
    await trap(box)
    assert (await refused(tools["write"], path=path, content="x"))[0] == expected


async def test_writing_to_a_link_replaces_the_link(box: Sandbox, tools: dict[str, Tool]) -> None:
    await trap(box)
    for path in ("abs", "fifo", "inside"):
        await said(tools["write"], path=path, content="mine")
        assert await box.read_file(path) == b"mine"
    assert await box.read_file("file") == b"text"


async def test_a_full_disk_is_the_models_problem(box: Sandbox, tools: dict[str, Tool]) -> None:
    for name in ("1", "2", "3"):
        await box.run_python(f"open('{name}', 'wb').write(bytes(15 << 20))")
    code, text = await refused(tools["write"], path="new", content="x" * (10 << 20))
    assert code == "disk_full"
    assert "delete files first" in text


@pytest.fixture
async def tree(box: Sandbox) -> Sandbox:
    for path in ("a.py", "src/b.py", "src/deep/c.py", "src/deep/c.txt", ".git/hidden.py"):
        await box.write_file(path, f"# in {path}\nimport os\n".encode())
    await box.write_file("src/bin.py", b"import os\0\n")
    return box


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("*.py", ".", "a.py src/b.py src/bin.py src/deep/c.py"),
        ("*.py", "src/deep", "src/deep/c.py"),
        ("src/*.py", ".", "src/b.py src/bin.py"),
        ("**/c.*", "/work/src", "src/deep/c.py src/deep/c.txt"),
        ("deep", ".", "src/deep/"),
        ("[!ac].py", ".", "src/b.py"),
        ("?.txt", ".", "src/deep/c.txt"),
        ("a.py", "a.py", "a.py"),
        ("*.rs", ".", "No file found."),
    ],
)
async def test_find(
    tree: Sandbox, tools: dict[str, Tool], pattern: str, path: str, found: str
) -> None:
    text = await said(tools["find"], pattern=pattern, path=path)
    assert " ".join(text.splitlines()) == found


async def test_find_is_bounded_and_follows_no_links(box: Sandbox, tools: dict[str, Tool]) -> None:
    program = (
        "import os\nos.mkdir('d')\nfor n in range(1000): open(f'd/{n:04}', 'w').close()\n"
        "os.symlink('/usr', 'd/usr'); os.symlink('.', 'd/self'); open(b'd/\\xff\\nx', 'w').close()"
    )
    assert (await box.run_python(program)).ok
    lines = (await said(tools["find"], pattern="*", path="d")).splitlines()
    assert len(lines) == 201
    assert lines[-1] == "[803 more; narrow the pattern or the path]"
    assert await said(tools["find"], pattern="*x") == "d/\\xff\\nx\n"
    assert await said(tools["find"], pattern="usr") == "d/usr\n"
    deep = "import os\nfor _ in range(1500): os.mkdir('n'); os.chdir('n')\nopen('end', 'w').close()"
    assert (await box.run_python(deep)).ok
    assert (await said(tools["find"], pattern="end")).count("n/") == 1500


async def test_grep(tree: Sandbox, tools: dict[str, Tool]) -> None:
    text = await said(tools["grep"], pattern=r"^import \w+$", path="src", glob="*.py")
    assert text == ("src/b.py:2: import os\nsrc/deep/c.py:2: import os\n[1 binary files skipped]\n")
    assert await said(tools["grep"], pattern="txt", path="src/deep/c.txt") == (
        "src/deep/c.txt:1: # in src/deep/c.txt\n"
    )
    assert await said(tools["grep"], pattern="zzz", glob="*.txt") == "No line found.\n"


async def test_grep_is_bounded(box: Sandbox, tools: dict[str, Tool]) -> None:
    await box.write_file("many", b"hit\n" * 5000)
    await box.write_file(
        "wide", b"x" * 5000 + b"needle" + b"y" * 3_000_000 + b"\nneedle \x1b\xff\n"
    )
    text = await said(tools["grep"], pattern="hit")
    assert text.endswith("[4900 more matching lines; narrow the pattern, the path or the glob]\n")
    lines = (await said(tools["grep"], pattern="needle", path="wide")).splitlines()
    assert "needle" in lines[0]
    assert len(lines[0]) < 400
    assert lines[1] == r"wide:2: needle \x1b\xff"


async def test_a_catastrophic_regex_ends_at_the_time_limit(box: Sandbox) -> None:
    await box.write_file("a", b"a" * 60 + b"!\n")
    code, text = await refused(grep_tool(lambda: box, timeout_s=0.5), pattern="^(a+)+$")
    assert code == "timeout"
    assert "timed out after" in text
    assert "simplify the pattern" in text
    assert "a:1" in await said(grep_tool(lambda: box), pattern="!")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"pattern": "("}, "invalid_regex"),
        ({"pattern": "a{99999999999}"}, "invalid_regex"),
        ({"pattern": "x", "path": "/etc"}, "outside_work"),
        ({"pattern": "x", "path": "../etc"}, "outside_work"),
        ({"pattern": "x", "path": "rel"}, "outside_work"),
        ({"pattern": "x", "path": "nope"}, "not_found"),
        ({"pattern": "x", "path": "a\0b"}, "invalid_path"),
        ({"pattern": "x", "glob": "[z-a]"}, None),
    ],
)
async def test_searches_that_cannot_be(
    box: Sandbox, tools: dict[str, Tool], arguments: dict[str, str], expected: str | None
) -> None:
    await trap(box)
    if expected is None:
        await said(tools["grep"], **arguments)
        return
    code, text = await refused(tools["grep"], **arguments)
    assert code == expected
    assert text.count("\n") == 0


async def test_grep_does_not_wait_for_a_fifo(box: Sandbox, tools: dict[str, Tool]) -> None:
    await trap(box)
    assert await said(tools["grep"], pattern="text|root") == "file:1: text\n"


async def test_a_module_of_the_models_does_not_stand_in_for_ours(
    tree: Sandbox, tools: dict[str, Tool]
) -> None:
    for name in ("fnmatch", "json", "re"):
        await tree.write_file(f"{name}.py", b"raise SystemExit('mine')")
    assert "a.py:2" in await said(tools["grep"], pattern="import", path="a.py")
