"""What the model reads about a call: every byte visible, the end always said, never too long."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym import ExecResult, ExecStatus, Limits
from agentgym_tools.report import report
from agentgym_tools.safe_text import cut_text, safe_text

LIMITS = Limits()


def result(status: ExecStatus = ExecStatus.OK, **values: object) -> ExecResult:
    fields: dict[str, object] = {"exit_code": 0} | values
    for stream in ("stdout", "stderr"):
        data = fields.get(stream, b"")
        assert isinstance(data, bytes)
        fields.setdefault(f"{stream}_total", len(data))
    return ExecResult(status, **fields)  # type: ignore[arg-type]  # of ExecResult's own types


def test_stderr_is_labelled_only_when_there_is_any() -> None:
    assert report(result(stdout=b"42\n"), LIMITS) == "42\n[exit code 0]"
    both = result(ExecStatus.NONZERO, exit_code=1, stdout=b"out", stderr=b"err")
    assert report(both, LIMITS) == "out\nstderr:\nerr\n[exit code 1]"
    assert report(result(), LIMITS) == "(no output)\n[exit code 0]"


@pytest.mark.parametrize(
    ("status", "values", "last"),
    [
        (ExecStatus.NONZERO, {"exit_code": 3}, "[exit code 3]"),
        (ExecStatus.SIGNAL, {"signal": 11}, "[killed by signal 11 (SIGSEGV)]"),
        (ExecStatus.SIGNAL, {"signal": 63}, "[killed by signal 63]"),
        (ExecStatus.TIMEOUT, {"wall_s": 10.003}, "[timed out after 10 s]"),
        (ExecStatus.OOM, {}, "[killed: out of memory, the limit is 512 MiB]"),
        (ExecStatus.OUTPUT_LIMIT, {}, "[killed: it wrote more than 512 KiB]"),
        (
            ExecStatus.DISK_FULL,
            {"exit_code": 1},
            "[disk full, the limits are 64 MiB and 4096 files; exit code 1]",
        ),
        (ExecStatus.KILLED, {}, "[killed]"),
    ],
)
def test_the_last_line_says_how_it_ended(
    status: ExecStatus, values: dict[str, object], last: str
) -> None:
    assert report(result(status, **values), LIMITS).splitlines()[-1] == last


def test_it_says_whether_the_state_survived() -> None:
    kept = report(result(ExecStatus.TIMEOUT, wall_s=1, state_kept=True), LIMITS, session="shell")
    lost = report(result(ExecStatus.TIMEOUT, wall_s=1, state_kept=False), LIMITS, session="shell")
    assert kept.endswith("[timed out after 1 s; the shell lives on: its state is kept]")
    assert lost.endswith("the shell ended: its state is lost, the next call starts a new one]")
    assert report(result(state_kept=True), LIMITS).endswith("[exit code 0]")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[2Jgone", r"\x1b[2Jgone"),
        (b"a\0b\x08c\x7f", r"a\x00b\x08c\x7f"),
        (b"10%\r20%\r\n", "10%\\r20%\n"),
        (b"\xff\xfeok\x80", r"\xff\xfeok\x80"),
        ("é → 日本 \u3000 😀\t|".encode(), "é → 日本 \u3000 😀\t|"),
        ("a\u202eb\u200bc\u2028d\x85e".encode(), r"a\u202eb\u200bc\u2028d\u0085e"),
        ("x\U000e0041\U000e0042".encode(), r"x\U000e0041\U000e0042"),
    ],
)
def test_nothing_is_hidden(data: bytes, shown: str) -> None:
    assert safe_text(data) == shown


def test_every_control_and_format_character_is_escaped() -> None:
    hidden = [chr(code) for code in range(sys.maxunicode + 1)]
    hidden = [c for c in hidden if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t"]
    assert len(hidden) > 200
    assert [c for c in hidden if not safe_text(c).startswith("\\")] == []


@given(st.binary(max_size=300), st.integers(2, 80))
def test_no_bytes_give_a_control_or_format_character(data: bytes, size: int) -> None:
    for text in (safe_text(data), cut_text(data, size)):
        text.encode()
        assert not [c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf")]


def test_long_output_keeps_its_ends_and_counts_the_rest() -> None:
    text = cut_text(b"a" * 100 + b"b" * 1000 + b"c" * 100, 200)
    assert text == "a" * 100 + "\n[... 1000 bytes left out ...]\n" + "c" * 100


def test_the_count_includes_what_the_sandbox_left_out() -> None:
    marker = b"\n[... 9000 bytes left out ...]\n"
    data = b"a" * 500 + marker + b"b" * 500
    text = cut_text(data, 200, total=10_000)
    assert text == "a" * 100 + "\n[... 9800 bytes left out ...]\n" + "b" * 100


def test_escapes_count_as_they_are_shown() -> None:
    text = report(result(stdout=b"\0" * 100_000, stderr=b"\xff" * 100_000), LIMITS, max_chars=1000)
    assert len(text) < 1200
    assert text.count(r"\x00") == text.count(r"\xff") == 2 * (250 // 4)
    assert text.count(f"[... {100_000 - 2 * 62} bytes left out ...]") == 2


def test_a_short_stream_leaves_its_room_to_the_long_one() -> None:
    text = report(result(stdout=b"o" * 5000, stderr=b"e" * 100), LIMITS, max_chars=1000)
    assert text.count("o") >= 900
    assert text.count("e" * 100) == 1
