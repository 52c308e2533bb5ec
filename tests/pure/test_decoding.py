"""Content decoding: what was encoded comes back in every split, and nothing else does."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool._wire import decoding
from trio_pool._wire.decoding import ACCEPT_ENCODING, MAX_CODINGS, PIECE, SUPPORTED, Decoder, decoder_for
from trio_pool.errors import DecodingError


def pack_gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def pack_raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def pack_with(module: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        packed: bytes = import_module(module).compress(data)
        return packed

    return pack


class Kind:
    """One format of one coding, undone by one library."""

    def __init__(self, name: str, pack: Callable[[bytes], bytes], coding: Any) -> None:
        self.name, self.pack, self.coding = name, pack, coding

    def decoder(self) -> Decoder:
        return Decoder([decoding._Layer(self.name, self.coding)])


def kinds() -> dict[str, Kind]:
    """Every one that the installed libraries can do."""
    builtin = {
        "gzip": Kind("gzip", pack_gzip, decoding._CODINGS["gzip"]),
        "deflate": Kind("deflate", zlib.compress, decoding._CODINGS["deflate"]),
        "bare deflate": Kind("deflate", pack_raw_deflate, decoding._CODINGS["deflate"]),
    }
    extra = {
        f"{name} by {module}": Kind(name, pack_with(module.replace("_zstd", "compression.zstd")), coding)
        for name, module, coding in decoding._OPTIONAL
        if decoding._is_installed(module) and not (module == "backports.zstd" and sys.version_info >= (3, 14))
    }
    return builtin | extra


KINDS = kinds()
PACKS = {kind.name: kind.pack for name, kind in KINDS.items() if name != "bare deflate"}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
any_kind = st.sampled_from(list(KINDS.values()))
PLACES = st.lists(st.integers(0, 100_000), max_size=6)
BODIES = st.builds(lambda part, times: part * times, st.binary(max_size=60), st.sampled_from([1, 2, 50, 9000]))


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


def one_by_one(raw: bytes) -> list[bytes]:
    return [raw[i : i + 1] for i in range(len(raw))]


def pieces_of(decoder: Decoder | None, chunks: list[bytes]) -> list[bytes]:
    assert decoder is not None
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    decoder.finish()
    return pieces


def decoded(decoder: Decoder | None, *chunks: bytes) -> bytes:
    return b"".join(pieces_of(decoder, list(chunks)))


def is_refused(decoder: Decoder, chunks: list[bytes]) -> bool:
    try:
        pieces_of(decoder, chunks)
    except DecodingError:
        return True
    return False


@settings(deadline=None)
@given(any_kind, BODIES, PLACES)
def test_what_was_encoded_comes_back_in_every_split(kind: Kind, body: bytes, places: list[int]) -> None:
    packed = kind.pack(body)
    assert decoded(kind.decoder(), *cut(packed, places)) == body
    assert decoded(kind.decoder(), *one_by_one(packed[:5000]), packed[5000:]) == body


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(PACKS)), min_size=1, max_size=MAX_CODINGS), BODIES, PLACES, st.data())
def test_stacked_codings_come_off_in_reverse_however_the_header_is_written(
    names: list[str], body: bytes, places: list[int], data: st.DataObject
) -> None:
    packed = body
    for name in names:
        packed = PACKS[name](packed)
    written = [data.draw(st.sampled_from([name, name.upper(), f" {name}\t", f"identity,{name},"])) for name in names]
    first = data.draw(st.integers(0, len(names)))
    lines = [",".join(written[:first]), ",".join(written[first:])]
    assert decoded(decoder_for(lines), *cut(packed, places)) == body


@every_kind
def test_a_body_cut_at_any_byte_is_an_error_and_an_empty_one_is_empty(kind: Kind) -> None:
    packed = kind.pack(b"What was cut must not pass for the whole. " * 3)
    assert decoded(kind.decoder(), b"") == b""
    for end in range(1, len(packed)):
        with pytest.raises(DecodingError, match=f"the {kind.name} body is truncated"):
            decoded(kind.decoder(), packed[:end])


@settings(deadline=None)
@given(any_kind, BODIES, st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1), PLACES)
def test_corruption_is_a_decoding_error_or_nothing_in_every_split(
    kind: Kind, body: bytes, flips: list[tuple[int, int]], places: list[int]
) -> None:
    packed = bytearray(kind.pack(body))
    for place, mask in flips:
        packed[place % len(packed)] ^= mask
    raw = bytes(packed)
    verdict = is_refused(kind.decoder(), [raw])
    verdicts = {
        is_refused(kind.decoder(), cut(raw, places)),
        is_refused(kind.decoder(), [*one_by_one(raw[:5000]), raw[5000:]]),
    }
    # libzstd compares a frame's length with its header only where it gets the frame at once.
    assert verdicts == {verdict} or kind.name == "zstd"


@settings(deadline=None)
@given(any_kind, st.binary(min_size=1, max_size=200))
def test_arbitrary_bytes_are_a_decoding_error_or_nothing(kind: Kind, raw: bytes) -> None:
    is_refused(kind.decoder(), [raw])
    is_refused(kind.decoder(), one_by_one(raw))


@every_kind
def test_a_body_that_goes_on_after_its_end_is_an_error(kind: Kind) -> None:
    packed = kind.pack(b"all of it")
    for surplus in b"x", b"\r\n", b"\x01" * 100, packed[:1]:
        assert is_refused(kind.decoder(), [packed + surplus])
        assert is_refused(kind.decoder(), [packed, surplus])
        assert is_refused(kind.decoder(), one_by_one(packed + surplus))


@every_kind
def test_streams_joined_are_one_body_where_the_format_says_so(kind: Kind) -> None:
    packed = kind.pack(b"one ") + kind.pack(b"") + kind.pack(b"two")
    if kind.coding.joined:
        assert decoded(kind.decoder(), packed) == b"one two"
        assert decoded(kind.decoder(), *one_by_one(packed)) == b"one two"
    else:
        assert is_refused(kind.decoder(), [packed])
        assert is_refused(kind.decoder(), one_by_one(packed))
    assert kind.coding.joined == (kind.name in ("gzip", "zstd"))


@every_kind
def test_zero_bytes_after_the_end_are_padding_in_gzip_alone(kind: Kind) -> None:
    packed = kind.pack(b"all of it")
    for chunks in [packed + bytes(600)], [packed, b"\0", b"\0\0"], one_by_one(packed + bytes(3)):
        assert is_refused(kind.decoder(), chunks) == (kind.name != "gzip")


@pytest.mark.parametrize("surplus", [b"\0x", b"\0\0" + pack_gzip(b"more")])
def test_only_zero_bytes_may_follow_padding(surplus: bytes) -> None:
    packed = pack_gzip(b"all of it")
    for chunks in [packed + surplus], [packed, surplus], one_by_one(packed + surplus):
        with pytest.raises(DecodingError, match="the gzip body goes on after its end"):
            decoded(KINDS["gzip"].decoder(), *chunks)


@pytest.mark.parametrize("place", [-8, -4], ids=["checksum", "length"])
def test_a_wrong_checksum_or_length_of_a_gzip_member_is_an_error(place: int) -> None:
    packed = bytearray(pack_gzip(b"all of it"))
    packed[place] ^= 1
    with pytest.raises(DecodingError, match="the gzip body is corrupt"):
        decoded(decoder_for(["gzip"]), bytes(packed))


def test_a_failed_decoder_stays_failed() -> None:
    decoder = KINDS["gzip"].decoder()
    for _ in range(2):
        with pytest.raises(DecodingError, match="the gzip body is corrupt"):
            list(decoder.feed(b"no gzip"))
    with pytest.raises(DecodingError, match="the gzip body is corrupt"):
        decoder.finish()


def test_what_precedes_corruption_is_delivered() -> None:
    decoder = KINDS["gzip"].decoder()
    pieces = decoder.feed(pack_gzip(b"good") + b"bad")
    assert next(pieces) == b"good"
    with pytest.raises(DecodingError):
        list(pieces)


def test_an_inner_coding_that_is_truncated_is_an_error() -> None:
    with pytest.raises(DecodingError, match="the deflate body is truncated"):
        decoded(decoder_for(["deflate, gzip"]), pack_gzip(zlib.compress(b"all of it")[:-1]))


@pytest.mark.parametrize("name", KINDS)
def test_a_bomb_is_delivered_in_bounded_pieces_and_memory(name: str) -> None:
    packed = KINDS[name].pack(bytes(16_000_000))
    decoder = KINDS[name].decoder()
    assert len(packed) <= 65_536
    tracemalloc.start()
    try:
        sizes = [len(piece) for piece in decoder.feed(packed)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    decoder.finish()
    assert sum(sizes) == 16_000_000
    assert max(sizes) <= PIECE == 262_144
    assert peak < 4 * PIECE


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].coding.joined])
def test_many_streams_with_nothing_in_them_give_the_caller_control_all_the_time(name: str) -> None:
    nothing = KINDS[name].pack(b"") * 500
    decoder = decoder_for([KINDS[name].name, "gzip"])
    pieces = pieces_of(decoder, [pack_gzip(nothing)])
    assert len(pieces) >= 500
    assert not any(pieces)


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
@every_kind
def test_a_body_of_about_one_piece_comes_back(kind: Kind, size: int) -> None:
    for body in b"a" * size, random.Random(size).randbytes(size):
        assert decoded(kind.decoder(), kind.pack(body)) == body


def test_bare_deflate_comes_back_wherever_its_output_meets_the_end_of_a_piece() -> None:
    for surplus in range(1, 260, 7):
        body = b"a" * (PIECE + surplus)
        assert decoded(KINDS["bare deflate"].decoder(), pack_raw_deflate(body)) == body


def test_bare_deflate_that_begins_nearly_as_zlib_does_is_understood() -> None:
    stored = b"\x08" + b"\x03\x00\xfc\xff" + b"abc"  # a stored block whose padding is not zero
    assert decoded(KINDS["bare deflate"].decoder(), stored + b"\x03\x00") == b"abc"


ZSTD = [kind for kind in KINDS.values() if kind.name == "zstd"]  # perhaps none
MAGIC = b"\x28\xb5\x2f\xfd"


def frame(*blocks: bytes, window: int = 13) -> bytes:
    """A zstd frame without content size or checksum; a window of 2**(10 + window) bytes."""
    return MAGIC + bytes([0, window << 3]) + b"".join(blocks)


def block(kind: int, size: int, content: bytes, *, last: bool = False) -> bytes:
    return (last | kind << 1 | size << 3).to_bytes(3, "little") + content


def skippable(content: bytes) -> bytes:
    return b"\x5a\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


def test_zstd_blocks_of_one_repeated_byte_are_bounded() -> None:
    raw = frame(*[block(1, 131_072, b"x")] * 300, block(0, 0, b"", last=True))
    for kind in ZSTD:
        sizes = [len(piece) for piece in pieces_of(kind.decoder(), [raw])]
        assert sum(sizes) == 300 * 131_072
        assert max(sizes) <= PIECE


def test_skippable_zstd_frames_are_skipped() -> None:
    raw = skippable(b"") + frame(block(0, 2, b"hi", last=True)) + skippable(b"note") + skippable(b"")
    for kind in ZSTD:
        assert decoded(kind.decoder(), raw) == b"hi"
        assert decoded(kind.decoder(), *one_by_one(raw)) == b"hi"
        assert is_refused(kind.decoder(), [raw[:-5]])


def test_a_zstd_window_over_8_mib_is_refused_and_one_of_8_mib_is_not() -> None:
    hello = block(0, 5, b"hello", last=True)
    for kind in ZSTD:
        assert decoded(kind.decoder(), frame(hello, window=13)) == b"hello"
        assert is_refused(kind.decoder(), [frame(hello, window=14)])


def test_a_brotli_that_cannot_bound_its_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Decompressor:
        """Without `can_accept_more_data`, which came with the bound in brotli 1.2."""

    monkeypatch.setitem(sys.modules, "brotli", SimpleNamespace(error=ValueError, Decompressor=Decompressor))
    with pytest.raises(DecodingError, match=r"older than 1\.2"):
        decoding._open_brotli()


def test_no_coding_needs_no_decoder() -> None:
    for values in [], [""], ["identity"], ["Identity, ,", " \t"]:
        assert decoder_for(values) is None


@pytest.mark.parametrize("value", ["compress", "gzip;q=1", "gzip deflate", "utf-8", "gzip, x", "*"])
def test_an_unknown_coding_is_an_error_that_names_it(value: str) -> None:
    with pytest.raises(DecodingError) as caught:
        decoder_for([value])
    assert repr(value.rpartition(" ")[2] if "," in value else value) in str(caught.value)


def test_a_coding_without_its_library_is_an_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "_is_installed", lambda module: False)
    monkeypatch.setattr(decoding, "_CODINGS", decoding._available())
    assert list(decoding._CODINGS) == ["gzip", "x-gzip", "deflate"]
    with pytest.raises(DecodingError, match=r"'br' is not supported\. Install trio_pool\[brotli\]"):
        decoder_for(["br"])
    with pytest.raises(DecodingError, match=r"'zstd' is not supported\. Install trio_pool\[zstd\]"):
        decoder_for(["zstd"])


def test_six_codings_are_an_error_and_five_are_not() -> None:
    assert decoder_for(["gzip"] * 5 + ["identity"] * 9) is not None
    with pytest.raises(DecodingError, match="6 content codings, more than 5"):
        decoder_for(["gzip, gzip, gzip", "gzip, gzip, gzip"])


def test_what_is_asked_for_can_be_undone() -> None:
    assert ACCEPT_ENCODING.startswith("gzip, deflate")
    assert set(ACCEPT_ENCODING.split(", ")) == set(SUPPORTED) - {"x-gzip"}
    assert decoded(decoder_for(["x-gzip"]), pack_gzip(b"all of it")) == b"all of it"


def test_a_module_in_a_missing_package_is_not_installed() -> None:
    assert not decoding._is_installed("no_such_package.module")
    assert not decoding._is_installed("no_such_package")


def test_libraries_are_imported_only_when_they_are_used() -> None:
    libraries = "{'brotli', 'backports.zstd', 'compression.zstd'}"
    program = f"import sys, trio_pool._wire.decoding; print({libraries} & {{*sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_bytes_may_come_in_any_bytes_like_object() -> None:
    packed = pack_gzip(b"all of it")
    for data in bytearray(packed), memoryview(packed):
        decoder = KINDS["gzip"].decoder()
        assert b"".join(decoder.feed(data)) == b"all of it"
