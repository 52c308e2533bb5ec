"""Reading traces: what they are, where a bad one is bad, and an hour of a real one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import UsageError
from trio_pool.simulate.traffic.traces import Row, Trace, parse, read

from .azure import conversations

__all__ = ["conversations"]

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
FIRST = "2023-11-16 18:15:46.6805900,374,44"


def lines(*rows: str, header: str = HEADER) -> Iterator[str]:
    return iter(f"{line}\r\n" for line in (header, *rows))


def test_a_trace_counts_from_its_first_request() -> None:
    trace = parse(lines(FIRST, "2023-11-16 18:15:50.9951690,396,109", "2023-11-17 18:15:50.9951690,0,0"))
    assert [row.at for row in trace.rows] == pytest.approx([0, 4.314579, 86404.314579], abs=1e-9)
    assert [row[1:] for row in trace.rows] == [(374, 44), (396, 109), (0, 0)]
    assert trace.seconds == pytest.approx(86404.314579)
    assert repr(trace) == "Trace(rows=<3 values>)"


def test_columns_may_stand_in_any_order_and_others_beside_them() -> None:
    trace = parse(
        lines("7,x,2024-05-10 00:00:00.009930+00:00,5", "", header="GeneratedTokens,Note,TIMESTAMP,ContextTokens")
    )
    assert trace.rows == (Row(0.0, 5, 7),)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("\ufeff" + "".join(lines(FIRST)), encoding="utf-8")
    assert read(file).rows == (Row(0.0, 374, 44),)


BAD: dict[str, tuple[str, ...]] = {
    "line 2, column TIMESTAMP: 'noon' is no time as in the lines before": ("noon,1,2",),
    "line 3, column TIMESTAMP: '2023-11-16T18:15:47Z' is no time as in the lines before": (
        FIRST,
        "2023-11-16T18:15:47Z,1,2",
    ),
    "line 4, column TIMESTAMP: '2023-11-16 18:15:47' is earlier than the line before": (
        FIRST,
        "2023-11-16 18:15:48,1,1",
        "2023-11-16 18:15:47,1,1",
    ),
    "line 2, column ContextTokens: '-1' is no number of tokens": ("2023-11-16 18:15:47,-1,2",),
    "line 2, column ContextTokens: the line ends after 1 columns": ("2023-11-16 18:15:47",),
    "line 3, column GeneratedTokens: '1.5' is no number of tokens": (FIRST, "2023-11-16 18:15:47,1,1.5"),
    "line 3, column GeneratedTokens: '²' is no number of tokens": (FIRST, "2023-11-16 18:15:47,1,²"),
    "line 3, column GeneratedTokens: the line ends after 2 columns": (FIRST, "2023-11-16 18:15:47,1"),
}


@pytest.mark.parametrize("sentence", BAD)
def test_a_bad_line_is_named_with_its_column(sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(lines(*BAD[sentence]), name="t.csv")
    assert str(caught.value) == f"t.csv, {sentence}."


FILES: dict[str, bytes] = {
    "line 1: it is no text in UTF-8, as a CSV file should be": f"{HEADER}\n{FIRST}\n".encode("utf-16"),
    "line 3: it is no text in UTF-8, as a CSV file should be": f"{HEADER}\n{FIRST}\n".encode() + b"2023,\xff,1\n",
    "line 2: it is no CSV (field larger than field limit (131072))": f"{HEADER}\n{'1' * 140_000}\n".encode(),
    f"line 2, column ContextTokens: '{'1' * 199}… is no number of tokens": (
        f"{HEADER}\n{FIRST}".replace("374", "1" * 5000).encode()
    ),
    "line 1, column TIMESTAMP: there is no such column among ['\\x00\\x01']": b"\0\1",
}


@pytest.mark.parametrize("sentence", FILES)
def test_a_file_of_something_else_is_refused_with_its_line(sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(FILES[sentence])
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value) == f"{path}, {sentence}."


def test_what_is_no_trace_at_all_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"line 1, column GeneratedTokens: there is no such column among \['TIMESTAMP', 'Con"
    ):
        parse(lines(header="TIMESTAMP,ContextTokens"))
    with pytest.raises(UsageError, match="line 0, column TIMESTAMP: there is no such column"):
        parse([])
    with pytest.raises(UsageError, match="the trace has no request below its first line"):
        parse(lines())
    with pytest.raises(UsageError, match="at least one row"):
        Trace([])


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.lists(st.floats(0.1, 99.9), max_size=3))
def test_windows_share_out_the_requests(moments: list[float], cuts: list[float]) -> None:
    rows = [Row(at, place, 1) for place, at in enumerate(sorted(moments))]
    found = []
    for start, end in itertools.pairwise([0.0, *sorted(cuts), 101.0]):
        try:
            window = Trace(rows).window(start, end)
        except UsageError as error:
            assert "no request" in str(error)
            continue
        assert all(0 <= row.at < end - start for row in window.rows)
        found += [row.input_tokens for row in window.rows]
    assert found == list(range(len(rows)))


@given(st.lists(st.floats(0, 100), min_size=2, max_size=40), st.floats(0.5, 30))
def test_halves_are_every_other_window_moved_together(moments: list[float], width: float) -> None:
    rows = [Row(at, place, 1) for place, at in enumerate(sorted(moments))]
    numbers = [int(row.at // width) for row in rows]
    if len({number % 2 for number in numbers}) < 2:
        with pytest.raises(UsageError, match="at least one row"):
            Trace(rows).halves(width)
        return
    for parity, half in enumerate(Trace(rows).halves(width)):
        whole = [(row, number) for row, number in zip(rows, numbers, strict=True) if number % 2 == parity]
        assert [row.input_tokens for row in half.rows] == [row.input_tokens for row, _ in whole]
        for moved, (row, number) in zip(half.rows, whole, strict=True):
            assert moved.at - number // 2 * width == pytest.approx(row.at - number * width, abs=1e-9)


def test_halves_have_a_width() -> None:
    with pytest.raises(UsageError, match="width must be a positive number, not 0"):
        Trace([Row(0, 1, 1)]).halves(0)


# ---- an hour of conversations ----


def test_the_hour_of_conversations_is_read(conversations: Trace) -> None:
    assert len(conversations.rows) == 19_366
    assert conversations.seconds == pytest.approx(3501.722, abs=0.001)
    outputs = sorted(row.output_tokens for row in conversations.rows)
    assert (outputs[9_683], outputs[19_172]) == (129, 601)
    gaps = [after.at - before.at for before, after in itertools.pairwise(conversations.rows)]
    assert pstdev(gaps) / fmean(gaps) == pytest.approx(1.09, abs=0.005)
