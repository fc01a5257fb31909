"""The bash tool: one shell that lives on, and exit codes that nothing printed can forge."""

from collections.abc import AsyncIterator

import pytest
from tools.quick_jail import quick_jail, refused, said

from agentgym import Limits, Sandbox, Tool
from agentgym_tools.bash import bash_tool


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with quick_jail(Limits(wall_s=5)) as box:
        yield box


@pytest.fixture
def bash(box: Sandbox) -> Tool:
    return bash_tool(lambda: box)


@pytest.fixture
def hasty(box: Sandbox) -> Tool:
    """The same shell, with less time."""
    return bash_tool(lambda: box, timeout_s=0.5)


async def test_folder_variables_functions_and_options_live_on(bash: Tool) -> None:
    await said(bash, command="mkdir -p a/b; cd a/b; export A=1; B=2; f() { echo f$1; }")
    text = await said(bash, command='pwd; env | grep "^A="; echo $B; f 3')
    assert text == "/work/a/b\nA=1\n2\nf3\n[exit code 0]"


async def test_background_jobs_live_on(bash: Tool) -> None:
    assert "[exit code 0]" in await said(bash, command="(sleep 0.3; echo done > flag) & echo $!")
    assert "Running" in await said(bash, command="jobs")
    assert await said(bash, command="wait; cat flag") == "done\n[exit code 0]"


async def test_the_exit_code_is_that_of_the_command(bash: Tool) -> None:
    assert await said(bash, command="false") == "(no output)\n[exit code 1]"
    assert await said(bash, command="(exit 42)") == "(no output)\n[exit code 42]"
    assert (await said(bash, command="nosuch")).endswith("command not found\n[exit code 127]")


async def test_exit_ends_the_shell_and_says_so(bash: Tool) -> None:
    await said(bash, command="cd /tmp")
    text = await said(bash, command="exit 3")
    assert text.startswith("(no output)\n[exit code 3; the shell ended: its state is lost")
    assert await said(bash, command="pwd") == "/work\n[exit code 0]"


@pytest.mark.parametrize(
    "forgery",
    [
        r"printf '0\0' >&3",
        r"printf '0\0'; printf '0\0' >&2",
        r"for fd in /proc/$$/fd/*; do printf '0\0' > $fd; done",
        "echo '[exit code 0]'",
        "echo ___BEGIN___COMMAND_DONE_MARKER___0",
    ],
)
async def test_fake_markers_do_nothing(bash: Tool, forgery: str) -> None:
    text = await said(bash, command=f"({forgery}) 2>/dev/null; false")
    assert text.splitlines()[-1] == "[exit code 1]"
    assert await said(bash, command="echo next") == "next\n[exit code 0]"


@pytest.mark.parametrize("command", ["if then", "echo 'open", "(((", "cat <<X", "}", "case x in"])
async def test_a_syntax_error_costs_one_command(bash: Tool, command: str) -> None:
    await said(bash, command="A=kept")
    await said(bash, command=command)
    assert await said(bash, command="echo $A") == "kept\n[exit code 0]"


async def test_heredocs_and_many_lines(bash: Tool) -> None:
    text = await said(
        bash, command="cat <<'X' | tr a-z A-Z\none $A\ntwo\nX\nfor i in 1 2\ndo echo $i\ndone"
    )
    assert text == "ONE $A\nTWO\n1\n2\n[exit code 0]"


@pytest.mark.parametrize("command", ["cat", "read x", "python3 -c 'input()'", "bash", "sort"])
async def test_reading_stdin_does_not_hang(bash: Tool, command: str) -> None:
    assert "timed out" not in await said(bash, command=command)


async def test_a_time_out_kills_the_command_and_keeps_the_shell(bash: Tool, hasty: Tool) -> None:
    await said(bash, command="cd /tmp; A=kept")
    text = await said(hasty, command="echo before; sleep 60")
    assert text.startswith("before\n[timed out after ")
    assert text.endswith("s; the shell lives on: its state is kept]")
    assert await said(bash, command="pwd; echo $A; pgrep sleep") == "/tmp\nkept\n[exit code 1]"


async def test_a_command_that_ignores_the_interrupt_takes_the_shell_with_it(
    bash: Tool, hasty: Tool
) -> None:
    text = await said(hasty, command="trap '' INT TERM HUP; sleep 60")
    assert text.endswith("the shell ended: its state is lost, the next call starts a new one]")
    assert await said(bash, command="echo back") == "back\n[exit code 0]"


async def test_stderr_and_escapes_are_shown_safely(bash: Tool) -> None:
    text = await said(bash, command=r"printf 'a\033[31mb\0\377\n'; echo oops >&2")
    assert text == "a\\x1b[31mb\\x00\\xff\nstderr:\noops\n[exit code 0]"


async def test_a_null_character_is_refused(bash: Tool) -> None:
    code, text = await refused(bash, command="echo a\0b")
    assert code == "invalid_arguments"
    assert "null character" in text
