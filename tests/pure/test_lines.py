"""Lines, in every split, against the whole text read a character at a time."""

from __future__ import annotations

import encodings.aliases
import math
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trio_pool._wire.lines import LineDecoder, known_charset
from trio_pool.errors import LimitExceeded

PLACES = st.lists(st.integers(0, 10_000), max_size=6)
CHARSETS = [
    "utf-8",
    "utf-16",
    "utf-16-be",
    "utf-32",
    "iso-8859-1",
    "shift_jis",
    "gb18030",
    "iso-2022-jp",
    "cp437",
]
PYTHONS_OWN = ["idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf-7", "charmap"]


def expected(text: str) -> list[str]:
    """Lines that end with LF, CR or CRLF; the last may have no end."""
    lines, line, position = [], "", 0
    while position < len(text):
        if text[position] in "\r\n":
            lines.append(line)
            line = ""
            position += text[position : position + 2] == "\r\n"
        else:
            line += text[position]
        position += 1
    return [*lines, line] if line else lines


def decoded(chunks: list[bytes], charset: str | None = None, limit: float = math.inf) -> list[str]:
    decoder = LineDecoder(charset, max_line_bytes=limit)
    return [line for chunk in chunks for line in decoder.feed(chunk)] + decoder.flush()


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


def one_by_one(raw: bytes) -> list[bytes]:
    return [raw[i : i + 1] for i in range(len(raw))]


PARTS = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"a", b"{}", "é".encode(), "\u2028\x85\x0b\x1c".encode(), b"\xff", b"\xe2"]
)


@settings(deadline=None)
@given(st.lists(PARTS, max_size=30).map(b"".join), PLACES)
@example(b"a\r\nb", [2])
def test_every_split_gives_the_same_lines(raw: bytes, places: list[int]) -> None:
    wanted = expected(raw.decode("utf-8", "replace"))
    assert decoded([raw]) == wanted
    assert decoded(cut(raw, places)) == wanted
    assert decoded(one_by_one(raw)) == wanted


@settings(deadline=None)
@given(st.sampled_from(CHARSETS), st.text("aé語Ж\r\n", max_size=30), PLACES)
def test_every_charset_in_every_split_gives_the_same_lines(charset: str, text: str, places: list[int]) -> None:
    raw = text.encode(charset, "ignore")
    wanted = expected(raw.decode(charset))
    assert decoded(cut(raw, places), charset) == wanted
    assert decoded(one_by_one(raw), charset) == wanted


@settings(deadline=None)
@given(st.sampled_from(["utf-16", "utf-32"]), st.text("aé語\n", max_size=10), PLACES)
def test_utf_16_and_utf_32_without_a_bom_are_little_endian(charset: str, text: str, places: list[int]) -> None:
    raw = text.encode(f"{charset}-le")
    assert decoded(cut(raw, places), charset) == expected(text)
    assert decoded(one_by_one(raw), charset) == expected(text)


def test_only_lf_cr_and_crlf_end_a_line() -> None:
    exotic = "a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i"
    assert decoded([f"{exotic}\n1\r2\r\n3\n\r4".encode()]) == [exotic, "1", "2", "3", "", "4"]


def test_a_line_comes_with_its_carriage_return_without_waiting_for_a_line_feed() -> None:
    decoder = LineDecoder()
    assert decoder.feed(b"a\r") == ["a"]
    assert decoder.feed(b"\nb\r") == ["b"]
    assert decoder.flush() == []


def test_flush_gives_the_last_line_once_and_no_empty_one() -> None:
    decoder = LineDecoder()
    assert decoder.feed(b"a\n\nb") == ["a", ""]
    assert decoder.flush() == ["b"]
    assert decoder.flush() == []


def test_a_character_cut_off_at_the_end_is_replaced() -> None:
    assert decoded([b"a\xe2\x82"]) == ["a\ufffd"]
    assert decoded([b"a\n\xe2"]) == ["a", "\ufffd"]


def test_lines_before_the_bound_come_first_and_the_decoder_stays_raised() -> None:
    decoder = LineDecoder(max_line_bytes=3)
    assert decoder.feed(b"abc\nabcd\nx\n") == ["abc"]
    for _ in range(2):
        with pytest.raises(LimitExceeded, match="a line of more than 3 bytes"):
            decoder.feed(b"a\n")
    with pytest.raises(LimitExceeded, match="a line of more than 3 bytes"):
        decoder.flush()


def test_a_replacement_at_the_end_counts_too() -> None:
    decoder = LineDecoder(max_line_bytes=3)
    assert decoder.feed(b"a\xe2") == []
    with pytest.raises(LimitExceeded, match="3 bytes"):
        decoder.flush()


@settings(deadline=None)
@given(st.lists(PARTS, max_size=20).map(b"".join), PLACES, st.integers(1, 8))
def test_every_split_ends_at_the_same_bound_after_the_same_lines(raw: bytes, places: list[int], limit: int) -> None:
    lines = expected(raw.decode("utf-8", "replace"))
    over = [len(line.encode()) > limit for line in lines]
    wanted = lines[: over.index(True)] if True in over else lines
    for chunks in [raw], cut(raw, places), one_by_one(raw):
        decoder = LineDecoder(max_line_bytes=limit)
        got: list[str] = []
        try:
            for chunk in chunks:
                got += decoder.feed(chunk)
            got += decoder.flush()
        except LimitExceeded:
            assert True in over
        else:
            assert True not in over
        assert got == wanted


@pytest.mark.parametrize(
    "name", [None, "", "x-unknown", "hex", "rot13", "zlib", "a\0b", "é", "u" * 500, *PYTHONS_OWN[:-1]]
)
def test_a_charset_that_is_unknown_or_not_for_text_is_taken_for_utf_8(name: str | None) -> None:
    assert known_charset(name) == "utf-8"
    assert decoded(["é\n".encode()], name) == ["é"]


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_charset_name_raises(name: str) -> None:
    assert LineDecoder(name).feed(b"a\n") in (["a"], ["\u0a61"], [])


@settings(deadline=None)
@given(
    st.sampled_from(sorted({*encodings.aliases.aliases.values(), *PYTHONS_OWN})),
    st.binary(max_size=40),
    PLACES,
)
def test_no_bytes_raise_in_any_codec_that_python_has(charset: str, raw: bytes, places: list[int]) -> None:
    assert all(isinstance(line, str) for line in decoded(cut(raw, places), charset))
