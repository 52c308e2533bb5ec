"""The framing of chunked bodies: our guard, and the codec with it, against readers so simple that they are right.

The readers here see a whole body at once and go through it from the front, without a regular expression and without
a state; the guard sees it in pieces. What they say of any body, legal or damaged, in whatever pieces, must be the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trio_pool import Request
from trio_pool._wire.chunks import ChunkGuard
from trio_pool._wire.events import End, Head, Violation
from trio_pool._wire.h11_codec import H11Codec

MAX_LINE = 40

HEXADECIMAL = b"0123456789abcdefABCDEF"
BLANK = b" \t"
LEGAL_IN_EXTENSIONS = frozenset(
    [0x09, *range(0x20, 0x7F), *range(0x80, 0x100)]
)  # RFC 9112 section 7.1.1, with obs-text


# ---- the readers ----


def size_of(line: bytes, takes_blanks: bool = True) -> int | None:
    """The size in a whole size line, or None: it is illegal.

    :param takes_blanks: whether it may have blanks before its extensions: our guard takes them, h11 does not.
    """
    if not line.endswith(b"\r\n"):
        return None
    line = line[:-2]
    digits = 0
    while digits < len(line) and line[digits] in HEXADECIMAL:
        digits += 1
    rest = line[digits:]
    if not 1 <= digits <= 16 or not all(byte in LEGAL_IN_EXTENSIONS for byte in rest):
        return None
    if rest.strip(BLANK) and not rest.lstrip(BLANK).startswith(b";"):
        return None
    if rest.lstrip(BLANK).startswith(b";") and not (takes_blanks or rest.startswith(b";")):
        return None
    return int(line[:digits], 16) if ends_outside_quotes(rest) else None


def ends_outside_quotes(extensions: bytes) -> bool:
    """Whether every quoted string in them ends (RFC 9110 section 5.6.4)."""
    is_inside, is_escaped = False, False
    for byte in extensions:
        if is_escaped:
            is_escaped = False
        elif byte == ord("\\"):
            is_escaped = is_inside
        elif byte == ord('"'):
            is_inside = not is_inside
    return not is_inside


@attrs.frozen
class Reading:
    """What a body says.

    :ivar content: the data of its chunks, as far as they go.
    :ivar illegal: where the size line begins that is none, or None.
    :ivar broken: whether a chunk's data has no line end behind it.
    :ivar over: where the last chunk's line ends, or None.
    """

    content: bytes
    illegal: int | None = None
    broken: bool = False
    over: int | None = None


def read(data: bytes, max_line: float = MAX_LINE, takes_blanks: bool = True) -> Reading:
    """Go through a body."""
    at, content = 0, b""
    while at < len(data):
        end = data.find(b"\n", at) + 1
        line = data[at : end or len(data)]
        if len(line) > max_line:
            return Reading(content, illegal=at)
        if not end:
            break
        size = size_of(line, takes_blanks)
        if size is None:
            return Reading(content, illegal=at)
        if size == 0:
            return Reading(content, over=end)
        content += data[end : end + size]
        at = end + size + 2
        if not b"\r\n".startswith(data[end + size : at]):
            return Reading(content, broken=True)
    return Reading(content)


def guard_line_ends(data: bytes, max_line: float = MAX_LINE) -> Reading:
    """As `read`, for what the guard alone looks at: the line ends behind chunks are h11's to check."""
    at = 0
    while at < len(data):
        reading = read(data[at:], max_line)
        if not reading.broken:
            return attrs.evolve(
                reading,
                illegal=None if reading.illegal is None else reading.illegal + at,
                over=None if reading.over is None else reading.over + at,
            )
        at = _behind_the_broken_chunk(data, at)
    return Reading(b"")


def _behind_the_broken_chunk(data: bytes, at: int) -> int:
    while True:
        end = data.find(b"\n", at) + 1
        size = size_of(data[at:end])
        assert size is not None
        at = end + size + 2
        if data[at - 2 : at] != b"\r\n":
            return at


# ---- bodies ----

EXTENSIONS = st.sampled_from([b"", b"", b"", b";", b";a", b";a=b", b'; a="b c"', b";\xfc", b";\tx \t", b"  ", b"\t"])
SIZES = st.sampled_from([b"%x", b"%X", b"%04x", b"%016X"])
CHUNKS = st.builds(
    lambda content, size, extension: (size % len(content)) + extension + b"\r\n" + content + b"\r\n",
    st.binary(min_size=1, max_size=20) | st.sampled_from([b"0\r\n\r\n", b"\r\n", b"5;\r\n", b"\n" * 3, b"a" * 17]),
    SIZES,
    EXTENSIONS,
)
LASTS = st.builds(
    lambda size, extension: size + extension + b"\r\n", st.sampled_from([b"0", b"000", b"0" * 16]), EXTENSIONS
)
TRAILERS = st.sampled_from([b"\r\n", b"\r\n", b"A: b\r\n\r\n", b"A: b\r\nC:d\r\n\r\n"])
BODIES = st.builds(lambda chunks, last: b"".join(chunks) + last, st.lists(CHUNKS, max_size=4), LASTS)

NASTY = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b";",
        b"+",
        b"-",
        b"0",
        b"0x",
        b"_",
        b"g",
        b"\x85",
        b"\x7f",
        b"\r\n",
        b"1",
        b"a" * MAX_LINE,
    ]
) | st.binary(min_size=1, max_size=2)


@st.composite
def damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes] = BODIES) -> bytes:
    """A body with something inserted, removed, replaced or doubled; sometimes more than once."""
    data = draw(bodies)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 3))
        put = draw(NASTY | st.just(b"") | st.just(data[at : at + 4] * 2))
        data = data[:at] + put + data[at + size :]
    return data


def pieces_of(data: bytes, cuts: Iterable[int] | None) -> list[bytes]:
    """The data, cut at these places; None: everywhere."""
    if cuts is None:
        return [data[at : at + 1] for at in range(len(data))]
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in zip(places, places[1:], strict=False) if start < end]


CUTS = st.lists(st.integers(0, 200), max_size=8) | st.none()


# ---- the guard ----


def guarded(pieces: Sequence[bytes], max_line: float = MAX_LINE) -> tuple[int | None, bool]:
    """What the guard says: where the body is illegal, or None; and whether the last chunk has begun."""
    guard, before = ChunkGuard(max_line), 0
    for piece in pieces:
        found = guard.check(piece)
        if found is not None:
            assert 0 <= found <= len(piece)
            return before + found, guard.is_over
        before += len(piece)
    return None, guard.is_over


@settings(deadline=None, max_examples=200)
@given(body=BODIES, rest=TRAILERS, cuts=CUTS)
def test_a_legal_body_passes_in_whatever_pieces(body: bytes, rest: bytes, cuts: list[int] | None) -> None:
    assert guarded(pieces_of(body, cuts)) == (None, True)
    assert guarded(pieces_of(body + rest, cuts)) == (None, True)
    assert guarded(pieces_of(body[:-1], cuts)) == (None, False)


@settings(deadline=None, max_examples=400)
@given(data=damaged() | st.binary(max_size=60), cuts=CUTS)
@example(data=b"1;\r2\r\na\r\n0\r\n", cuts=[])
@example(data=b"1;" + b"a" * MAX_LINE, cuts=[])
def test_the_guard_finds_what_the_reader_finds(data: bytes, cuts: list[int] | None) -> None:
    expected = guard_line_ends(data)
    found, is_over = guarded(pieces_of(data, cuts))
    if expected.illegal is None:
        assert found is None
        assert is_over == (expected.over is not None)
    else:
        assert found is not None
        end = data.find(b"\n", expected.illegal) + 1 or len(data)
        assert expected.illegal <= found <= end  # in the line that is illegal: nothing before it is held back
        assert not is_over


LEGAL = [
    b"5",
    b"00005",
    b"a",
    b"A",
    b"fFfF",
    b"f" * 16,
    b"0" * 16,
    b"5;",
    b"5;a",
    b"5 ;a",
    b"5\t ;\ta = b \t",
    b"5 ",
    b"5;\xff\x80",
]
LEGAL += [b'5;a="b;c"', b'5;a="b\\"c;" ', b"5;a=\\", b"5;;;", b"5;a=\xe2\x82\xac"]
ILLEGAL = [
    b"",
    b" 5",
    b"\t5",
    b"+5",
    b"-5",
    b"0x5",
    b"5_0",
    b"5 5",
    b"5,",
    b"5.0",
    b"g",
    b"5g",
    b"5\0",
    b"5;\0",
    b"5;\x0b",
    b"5;\x7f",
]
ILLEGAL += [
    b"5\r",
    b"5;a\rb",
    b"5;\r",
    b"\r5",
    b"5;a\r\r",
    b"f" * 17,
    b"0" * 17,
    b";a",
    b"\xd9\xa5",
    b"5\x0c",
    b'"5"',
    b"5\xa0",
    b"\xef\xbb\xbf5",
]


@pytest.mark.parametrize("line", LEGAL)
def test_a_legal_size_line_is_taken(line: bytes) -> None:
    assert guarded([line + b"\r\n"]) == (None, int(line[:16].rstrip(b" \t;").split(b";")[0].strip(), 16) == 0)


@pytest.mark.parametrize("line", ILLEGAL)
@pytest.mark.parametrize("behind", [b"", b"5\r\nhello\r\n"])
def test_an_illegal_size_line_is_refused_where_it_begins(line: bytes, behind: bytes) -> None:
    data = behind + line + b"\r\nhello\r\n0\r\n\r\n"
    assert guarded([data])[0] == len(behind)
    found, _ = guarded(pieces_of(data, None))
    assert found is not None
    assert len(behind) <= found <= len(behind) + len(line) + 1


@pytest.mark.parametrize("line", LEGAL)
def test_a_line_that_ends_in_a_line_feed_alone_is_refused(line: bytes) -> None:
    assert guarded([line + b"\n"])[0] == 0


def test_a_line_may_be_as_long_as_its_bound_and_no_longer() -> None:
    longest = b"1;" + b"a" * (MAX_LINE - 4) + b"\r\n"
    assert len(longest) == MAX_LINE
    assert guarded([longest]) == (None, False)
    assert guarded([longest[:-2] + b"a\r\n"])[0] == 0
    assert guarded([b"1;" + b"a" * (MAX_LINE - 2)]) == (None, False)
    assert guarded([b"1;" + b"a" * (MAX_LINE - 1)])[0] == 0  # without waiting for its end
    assert guarded([b"1;" + b"a" * 100_000 + b"\r\n"], math.inf) == (None, False)


def test_behind_the_last_chunk_nothing_is_its_business() -> None:
    guard = ChunkGuard(MAX_LINE)
    assert guard.check(b"0\r\nnonsense: \0\r\r\n") is None
    assert guard.is_over
    assert guard.check(b"\r\r\r" * 100) is None


# ---- the codec ----

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@attrs.define
class Told:
    """What the codec said of a response.

    :ivar trailers: once it had ended.
    :ivar keeps: whether the connection may go on, as far as was to be seen at its end.
    :ivar left: bytes that had not been handed to the codec by then.
    """

    content: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] | None = None
    keeps: bool = False
    fault: str = ""
    left: int = 0


def told(pieces: Sequence[bytes]) -> Told:
    codec, result = H11Codec(), Told()
    codec.encode(Request("GET", "http://h/"))
    for number, piece in enumerate(pieces):
        for event in codec.feed(piece):
            if isinstance(event, bytes):
                result.content += event
            elif isinstance(event, End):
                result.trailers, result.keeps = event.trailers, event.keeps
                result.left = sum(map(len, pieces[number + 1 :]))
                return result
            elif isinstance(event, Violation):
                result.fault = event.what
                return result
            else:
                assert isinstance(event, Head)
    return result


@settings(deadline=None, max_examples=150)
@given(body=BODIES, rest=TRAILERS, surplus=st.sampled_from([b"", b"", b"H", b"\r\n"]), cuts=CUTS)
def test_a_legal_body_is_read_whole_and_what_is_behind_it_is_noticed(
    body: bytes, rest: bytes, surplus: bytes, cuts: list[int] | None
) -> None:
    result = told(pieces_of(HEAD + body + rest + surplus, cuts))
    assert result.fault == ""
    assert result.content == read(body, math.inf).content
    assert result.trailers is not None
    assert len(result.trailers) == rest.count(b":")
    assert result.keeps == (result.left == len(surplus))


@settings(deadline=None, max_examples=200)
@given(data=damaged(), cuts=CUTS)
def test_a_damaged_body_is_read_as_far_as_it_goes_and_no_further(data: bytes, cuts: list[int] | None) -> None:
    data += b"\r\n"
    expected = read(data, 4096, takes_blanks=False)
    result = told(pieces_of(HEAD + data, cuts))
    if expected.illegal is not None or expected.broken:
        assert result.trailers is None
        assert result.fault
    if expected.over is None:
        assert result.trailers is None
    elif data[expected.over :] == b"\r\n":
        assert result.trailers == ()
    assert expected.content.startswith(result.content)
    assert result.content == expected.content or (result.fault and cuts is not None)  # what comes with it may be lost


@settings(deadline=None, max_examples=200)
@given(data=damaged(), cuts=CUTS)
def test_what_a_damaged_body_says_does_not_depend_on_its_pieces(data: bytes, cuts: list[int] | None) -> None:
    whole, cut = told([HEAD + data]), told(pieces_of(HEAD + data, cuts))
    assert (whole.trailers, bool(whole.fault)) == (cut.trailers, bool(cut.fault))
    assert whole.content == cut.content or (whole.fault and cut.content.startswith(whole.content))
