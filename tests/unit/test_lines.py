"""Lines of a stream in pieces: the same wherever it was cut, and of a line without an end no more than a limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.dataplane.kubernetes.lines import CUT, Lines


def shown(line: bytes, limit: int | None) -> bytes:
    return line if limit is None or len(line) <= limit else line[:limit] + CUT


@given(pieces=st.lists(st.text("ab\n", max_size=6).map(str.encode)), limit=st.none() | st.integers(1, 4))
def test_lines_do_not_depend_on_where_the_stream_is_cut(pieces: list[bytes], limit: int | None) -> None:
    lines = Lines(limit)
    found = [line for piece in pieces for line in lines.feed(piece)] + [lines.rest()]
    expected = [shown(line, limit) for line in b"".join(pieces).split(b"\n")]
    assert [line for line in found if line] == [line for line in expected if line]


def test_a_line_without_an_end_holds_no_more_than_the_limit() -> None:
    lines, piece = Lines(16), b"x" * (16 << 10)
    for _ in range(10_000):  # 160 MB: joined again and again, it would take the better part of an hour
        assert lines.feed(piece) == []
    assert lines.feed(b"\nnext\n") == [b"x" * 16 + CUT, b"next"]
