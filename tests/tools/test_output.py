"""What is kept of a stream: never more than the cap, always its two ends, and the true count."""

from hypothesis import given
from hypothesis import strategies as st

from agentgym_tools.sandboxes.output import KILL_FACTOR, HeadTail


@given(st.lists(st.binary(max_size=300), max_size=40), st.integers(16, 200))
def test_head_tail_and_count_are_exact(chunks: list[bytes], cap: int) -> None:
    stream, whole = HeadTail(cap), b"".join(chunks)
    for chunk in chunks:
        stream.feed(chunk)
    kept = stream.data()
    assert stream.total == len(whole)
    assert stream.overflown == (len(whole) > KILL_FACTOR * cap)
    if len(whole) <= cap:
        assert kept == whole
        return
    half = cap // 2
    assert kept.startswith(whole[:half])
    assert kept.endswith(whole[-half:])
    assert b"%d bytes left out" % (len(whole) - 2 * half) in kept


def test_memory_is_bounded() -> None:
    stream = HeadTail(1000)
    for _ in range(1000):
        stream.feed(bytes(5000))
    assert len(stream._tail) + len(stream._head) < 10_000
