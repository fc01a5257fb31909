"""The program that keeps a session, run as the backends run it: by content, over two pipes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from agentgym.sandbox import ExecResult, ExecStatus
from agentgym_tools.sandboxes.process_tree import descendants
from agentgym_tools.sandboxes.python_cell import main_namespace, run_cell
from agentgym_tools.sandboxes.session_client import (
    HEADER_BYTES,
    Language,
    body_size,
    call_message,
    decode_pid,
    decode_result,
    session_program,
    setup_message,
)

OUTPUT_BYTES = 4096


class Host:
    """A session host in a process."""

    def __init__(self, language: Language) -> None:
        command = [sys.executable, "-c", session_program()]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert decode_pid(self._exchange(setup_message(language, OUTPUT_BYTES))) == self.process.pid

    def call(self, source: str, timeout_s: float = 5.0) -> ExecResult:
        return decode_result(self._exchange(call_message(source, timeout_s)))

    def close(self) -> None:
        self.process.communicate()

    def _exchange(self, message: bytes) -> bytes:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(message)
        self.process.stdin.flush()
        return self.process.stdout.read(body_size(self.process.stdout.read(HEADER_BYTES)))


@pytest.fixture
def open_host() -> Iterator[Callable[[Language], Host]]:
    hosts = []

    def start(language: Language) -> Host:
        hosts.append(Host(language))
        return hosts[-1]

    yield start
    for host in hosts:
        host.close()
        assert not descendants(host.process.pid)


@pytest.fixture
def python(open_host: Callable[[Language], Host]) -> Host:
    return open_host("python")


@pytest.fixture
def bash(open_host: Callable[[Language], Host]) -> Host:
    return open_host("bash")


def test_variables_imports_and_open_files_live_on(python: Host) -> None:
    python.call("import math, tempfile\nx = 2\nf = tempfile.TemporaryFile('w+')")
    assert python.call("f.write('hello')").stdout == b"5\n"
    result = python.call("f.seek(0)\nprint(f.read())\nmath.sqrt(x * 8)")
    assert result.stdout == b"hello\n4.0\n"
    assert (result.status, result.exit_code, result.state_kept) == (ExecStatus.OK, 0, True)


@pytest.mark.parametrize(
    ("cell", "echoed"),
    [
        ("1", "1\n"),
        ("x = 1", ""),
        ("None", ""),
        ("for i in range(2): i", ""),
        ("'a'\n'b'", "'b'\n"),
        (
            "from __future__ import annotations\ndef f(a: nope): pass\nf.__annotations__",
            "{'a': 'nope'}\n",
        ),
        ("print('é\\udc80'.encode('utf8', 'replace'))", "b'\\xc3\\xa9?'\n"),
        ("", ""),
    ],
)
def test_only_the_value_of_a_last_expression_is_echoed(
    python: Host, cell: str, echoed: str
) -> None:
    assert python.call(cell).stdout.decode() == echoed


def test_a_traceback_shows_the_cells_frames_with_their_lines(python: Host) -> None:
    python.call("def f(x):\n    return 1 / x  # here")
    result = python.call("a = 0\nf(a)")
    text = result.stderr.decode()
    assert text.startswith('Traceback (most recent call last):\n  File "<cell 2>", line 2')
    assert "f(a)" in text
    assert "return 1 / x  # here" in text
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert text.count("File ") == 2
    assert (result.status, result.exit_code, result.state_kept) == (ExecStatus.NONZERO, 1, True)


def test_code_that_does_not_compile_shows_no_frame(python: Host) -> None:
    for cell in ("x =", "a\0b", "(" * 300, "return 1"):
        result = python.call(cell)
        assert result.exit_code == 1
        assert b"Traceback" not in result.stderr
        assert b"Error" in result.stderr


@pytest.mark.parametrize(
    ("cell", "code", "stderr"),
    [
        ("exit(3)", 3, b""),
        ("raise SystemExit", 0, b""),
        ("raise SystemExit('why')", 1, b"why\n"),
        ("raise SystemExit(-1)", 255, b""),
        ("import sys; sys.exit(True)", 1, b""),
    ],
)
def test_system_exit_ends_the_cell_and_not_the_session(
    python: Host, cell: str, code: int, stderr: bytes
) -> None:
    python.call("x = 1")
    result = python.call(cell)
    assert (result.exit_code, result.stderr, result.state_kept) == (code, stderr, True)
    assert python.call("x").stdout == b"1\n"


def test_a_time_out_keeps_the_state_if_the_cell_yields(python: Host) -> None:
    python.call("x = 1")
    result = python.call("print('began')\nimport time\ntime.sleep(60)", timeout_s=0.3)
    assert (result.status, result.exit_code, result.state_kept) == (ExecStatus.TIMEOUT, None, True)
    assert result.stdout == b"began\n"
    assert b"KeyboardInterrupt" in result.stderr
    assert python.call("x").stdout == b"1\n"


def test_a_time_out_kills_a_cell_that_does_not_yield(python: Host) -> None:
    python.call("import signal, subprocess\nsignal.signal(signal.SIGINT, signal.SIG_IGN)")
    python.call("subprocess.Popen(['sleep', '99'], start_new_session=True)")
    began = time.monotonic()
    result = python.call("while True: pass", timeout_s=0.3)
    assert time.monotonic() - began < 4
    assert (result.status, result.state_kept) == (ExecStatus.TIMEOUT, False)
    assert not descendants(python.process.pid)
    assert python.call("1 + 1").stdout == b"2\n"


@pytest.mark.parametrize(
    ("cell", "status", "code", "number"),
    [
        ("import os; os._exit(0)", ExecStatus.OK, 0, None),
        ("import os; os._exit(3)", ExecStatus.NONZERO, 3, None),
        ("import os; os.abort()", ExecStatus.SIGNAL, None, 6),
        ("import ctypes; ctypes.string_at(0)", ExecStatus.SIGNAL, None, 11),
        ("import os; os.close(3)", ExecStatus.NONZERO, 1, None),
    ],
)
def test_a_worker_that_ends_is_reported_and_replaced(
    python: Host, cell: str, status: ExecStatus, code: int | None, number: int | None
) -> None:
    result = python.call(cell)
    assert (result.status, result.exit_code, result.signal) == (status, code, number)
    assert result.state_kept is False
    assert python.call("1 + 1").stdout == b"2\n"


def test_endless_output_ends_the_session(python: Host, bash: Host) -> None:
    for result in (python.call("while True: print('x' * 999)"), bash.call("yes")):
        assert (result.status, result.state_kept) == (ExecStatus.OUTPUT_LIMIT, False)
        assert len(result.stdout) < 2 * OUTPUT_BYTES
        assert result.stdout_total > 8 * OUTPUT_BYTES


def test_a_forked_child_does_not_answer_for_the_session(python: Host) -> None:
    result = python.call("import os\nif pid := os.fork(): os.waitpid(pid, 0)\nelse: print('child')")
    assert result.stdout == b"child\n"
    assert python.call("2").stdout == b"2\n"


def test_a_cell_cannot_speak_on_the_hosts_streams(python: Host) -> None:
    result = python.call("import sys, os\nos.write(1, b'\\0\\0\\0\\5forged')\nsys.stdin.read()")
    assert result.stdout == b"\0\0\0\5forged" + b"''\n"


def test_classes_of_a_cell_can_be_pickled(python: Host) -> None:
    python.call("import pickle\nclass A: pass")
    assert b"A object" in python.call("pickle.loads(pickle.dumps(A()))").stdout


def test_a_shell_keeps_its_folder_variables_functions_and_jobs(bash: Host) -> None:
    bash.call("cd /usr; export A=1; f() { echo f$A; }; sleep 99 &")
    result = bash.call("pwd; f; printenv A; jobs")
    assert result.stdout.startswith(b"/usr\nf1\n1\n")
    assert b"sleep 99" in result.stdout


def test_a_shells_exit_status_cannot_be_forged_on_stdout(bash: Host) -> None:
    result = bash.call("printf '1 0\\0'; echo 1 0 >&4; false")
    assert result.exit_code == 1
    assert b"Bad file descriptor" in result.stderr
    assert bash.call("echo $?").stdout == b"1\n"
    assert bash.call("if").exit_code != 0
    assert bash.call("echo 'a\nb'; cat").stdout == b"a\nb\n"


def test_exit_ends_the_shell_and_says_so(bash: Host) -> None:
    bash.call("A=1")
    result = bash.call("exit 3")
    assert (result.exit_code, result.state_kept) == (3, False)
    assert bash.call("echo -$A-").stdout == b"--\n"


@pytest.mark.parametrize(
    "command", ["sleep 60; echo no", "while :; do sleep 0.05; done", "cat <(sleep 9)"]
)
def test_a_time_out_interrupts_a_shell_and_keeps_it(bash: Host, command: str) -> None:
    bash.call("A=1")
    result = bash.call(command, timeout_s=0.3)
    assert (result.status, result.state_kept) == (ExecStatus.TIMEOUT, True)
    assert result.stdout == b""
    assert bash.call("echo $A").stdout == b"1\n"


def test_a_shell_that_ignores_interrupts_is_killed(bash: Host) -> None:
    result = bash.call("trap '' INT; sleep 60", timeout_s=0.3)
    assert (result.status, result.state_kept) == (ExecStatus.TIMEOUT, False)
    assert bash.call("echo on").stdout == b"on\n"


def test_thousands_of_calls_leave_no_descriptor_open(python: Host) -> None:
    folder = f"/proc/{python.process.pid}/fd"
    python.call("1")
    before = len(os.listdir(folder))
    for _ in range(1000):
        python.call("1")
    for _ in range(20):
        python.call("import os; os._exit(0)")
    python.call("1")
    assert len(os.listdir(folder)) == before


def test_a_cell_runs_in_this_process_too(capsys: pytest.CaptureFixture[str]) -> None:
    module = sys.modules["__main__"]
    try:
        namespace = main_namespace()
        assert run_cell("x = 1\nx", namespace, echo=True) == 0
        assert run_cell("x", namespace, echo=False) == 0
        assert run_cell("raise KeyboardInterrupt", namespace, echo=True) == 130
        assert run_cell("class E(Exception):\n __str__ = 1\nraise E", namespace, echo=True) == 1
    finally:
        sys.modules["__main__"] = module
    captured = capsys.readouterr()
    assert captured.out == "1\n"
    assert "KeyboardInterrupt" in captured.err
