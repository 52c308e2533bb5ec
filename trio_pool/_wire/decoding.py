"""Content codings undone (RFC 9110 §8.4), incrementally and in bounded memory.

A *stream* is one compressed stream inside a library: a gzip member, a zlib, deflate or brotli stream, a zstd
frame. All have one shape: `step` does a piece of work, and the stream says whether it is starved of input,
has ended, and what input was surplus. A *layer* is one coding of the body: one stream or, where the format
allows it, several joined ones. A `Decoder` is the layers in the order in which they come off. The streams and
the layer that drives them make sense only together, so this module is longer than others.

Bounded: whatever arrives, a piece has at most `PIECE` bytes (a few kilobytes can become gigabytes), and the
caller is given control after every step, if need be with an empty piece (a few kilobytes can also become
millions of streams with nothing in them).

Strict: a body that ends early, fails its checksum or goes on after its end is an error, for what was cut or
slipped in must not pass for the whole. Joined gzip members (RFC 1952 §2.2) and zstd frames (RFC 8878 §3.1)
are one body. Zero bytes after the last gzip member pass, as they do in gzip(1): some servers pad. `deflate`
is zlib's format (RFC 1950); the bare deflate (RFC 1951) that some servers send is taken too.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from ..errors import DecodingError

PIECE: Final = 262_144
"""The most bytes that a decoder gives at once."""

MAX_CODINGS: Final = 5
"""The most codings of one body. Each multiplies what a byte on the wire can become."""

_INPUT = 65_536  # bytes taken from the caller's at once: libraries copy what they have left over
_WINDOW_LOG = 23  # 8 MiB: the most that a server may use and a client must take (RFC 9659)


class _Stream(ABC):
    """One compressed stream, from its first byte to its last.

    :ivar errors: what the library raises for corrupt data.
    :ivar starved: whether the next step needs new input; where not, `step(b"")` goes on with what there is.
    :ivar ended: whether the stream is complete.
    :ivar surplus: the input after its end.
    """

    errors: tuple[type[Exception], ...]
    starved = True
    ended = False
    surplus = b""

    @abstractmethod
    def step(self, data: bytes) -> bytes:
        """Do a bounded piece of work; what it gave, often nothing."""


class _Inflate(_Stream):
    """zlib, in the format that `wbits` tells."""

    errors = (zlib.error,)

    def __init__(self, wbits: int) -> None:
        self._inflater = zlib.decompressobj(wbits)

    def step(self, data: bytes) -> bytes:
        inflater = self._inflater
        out = inflater.decompress(data or inflater.unconsumed_tail, PIECE)
        self.ended, self.surplus = inflater.eof, inflater.unused_data
        self.starved = self.ended or len(out) < PIECE  # zlib stops early only for want of input
        return out


class _Deflate(_Inflate):
    """zlib's format or bare deflate: the first two bytes tell which."""

    def __init__(self) -> None:
        self._head: bytes | None = b""

    def step(self, data: bytes) -> bytes:
        if self._head is None:
            return super().step(data)
        self._head += data
        if len(self._head) < 2:
            return b""
        data, self._head = self._head, None
        super().__init__(zlib.MAX_WBITS if _is_zlib(data) else -zlib.MAX_WBITS)
        return super().step(data)


def _is_zlib(data: bytes) -> bool:
    """RFC 1950 §2.2. Bare deflate looks like this only where a stored block's padding is not zero."""
    return data[0] & 15 == 8 and data[0] >> 4 <= 7 and int.from_bytes(data[:2], "big") % 31 == 0


class _Brotli(_Stream):
    """brotli 1.2 and later, which bound their output. What follows the end is corruption to the library."""

    def __init__(self, library: Any) -> None:
        self.errors = (library.error,)
        self._decompressor = library.Decompressor()

    def step(self, data: bytes) -> bytes:
        # The library's buffer grows by doubling until it is over the limit.
        out: bytes = self._decompressor.process(data, output_buffer_limit=PIECE // 2)
        self.ended = self._decompressor.is_finished()
        self.starved = self.ended or (not out and self._decompressor.can_accept_more_data())
        return out


def _open_brotli() -> _Stream:
    library = import_module("brotli")
    if not hasattr(library.Decompressor, "can_accept_more_data"):
        raise DecodingError("the body has the content coding 'br', and the installed brotli is older than 1.2")
    return _Brotli(library)


class _Zstd(_Stream):
    """A zstd frame by the standard library of Python 3.14, or by its backport."""

    def __init__(self, name: str) -> None:
        library: Any = import_module(name)
        self.errors = (library.ZstdError,)
        options = {library.DecompressionParameter.window_log_max: _WINDOW_LOG}
        self._frame = library.ZstdDecompressor(options=options)

    def step(self, data: bytes) -> bytes:
        frame = self._frame
        out: bytes = frame.decompress(data, PIECE)
        self.ended = frame.eof
        self.starved = frame.eof or frame.needs_input
        self.surplus = frame.unused_data
        return out


class _Coding(NamedTuple):
    """What undoes a coding, and what may follow a stream of it."""

    open: Callable[[], _Stream]
    joined: bool = False
    padded: bool = False


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False


_GZIP = _Coding(partial(_Inflate, 16 + zlib.MAX_WBITS), joined=True, padded=True)
_OPTIONAL = (  # the coding, the module that must be there, and what undoes it: the first that is there counts
    ("br", "brotli", _Coding(_open_brotli)),
    ("zstd", "_zstd", _Coding(partial(_Zstd, "compression.zstd"), joined=True)),
    ("zstd", "backports.zstd", _Coding(partial(_Zstd, "backports.zstd"), joined=True)),
)


def _available() -> dict[str, _Coding]:
    codings = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _Coding(_Deflate)}
    for name, module, coding in _OPTIONAL:
        if name not in codings and _is_installed(module):
            codings[name] = coding
    return codings


_CODINGS = _available()

SUPPORTED: Final[tuple[str, ...]] = tuple(_CODINGS)
"""The content codings that can be undone: gzip, x-gzip, deflate, and br and zstd where their extras are
installed. Their libraries are imported at first use."""

ACCEPT_ENCODING: Final = ", ".join(name for name in SUPPORTED if name != "x-gzip")
"""The value of the request header of that name. Example: "gzip, deflate, br, zstd"."""


class _Layer:
    """One coding of a body."""

    def __init__(self, name: str, coding: _Coding) -> None:
        self._name = name
        self._coding = coding
        self._stream: _Stream | None = None
        self._padding = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """One piece for every step; an empty one where the step gave nothing."""
        while data and not self._is_padding(data):
            stream = self._stream_for_more()
            yield from _cut(self._step(stream, data))
            while not stream.starved:
                yield from _cut(self._step(stream, b""))
            data = stream.surplus

    def finish(self) -> None:
        if self._stream is not None and not self._stream.ended:
            raise DecodingError(f"the {self._name} body is truncated")

    def _step(self, stream: _Stream, data: bytes) -> bytes:
        try:
            return stream.step(data)
        except stream.errors as error:
            raise DecodingError(f"the {self._name} body is corrupt") from error

    def _is_padding(self, data: bytes) -> bool:
        if not self._has_ended() or not self._coding.padded:
            return False
        self._padding = self._padding or data[0] == 0
        if self._padding and data.strip(b"\0"):
            raise self._goes_on()
        return self._padding

    def _stream_for_more(self) -> _Stream:
        if self._has_ended() and not self._coding.joined:
            raise self._goes_on()
        if self._stream is None or self._stream.ended:
            self._stream = self._coding.open()
        return self._stream

    def _has_ended(self) -> bool:
        return self._stream is not None and self._stream.ended

    def _goes_on(self) -> DecodingError:
        return DecodingError(f"the {self._name} body goes on after its end")


def _cut(piece: bytes) -> Iterator[bytes]:
    if len(piece) <= PIECE:
        yield piece
    else:
        for start in range(0, len(piece), PIECE):
            yield piece[start : start + PIECE]


class Decoder:
    """Undoes the codings of one body, in whatever pieces it arrives. Made by `decoder_for`."""

    def __init__(self, layers: Sequence[_Layer]) -> None:
        self._layers = layers
        self._failure = ""

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """What these bytes decode to, in pieces of at most 262,144 bytes (`PIECE`), decoded while iterating.

        A piece may be empty: it says only that work was done, so that the caller can let others run. The
        iterator is to be exhausted before the next call.

        :raises DecodingError: the body is corrupt, or goes on after its end. Every later call raises it too.
        """
        data = bytes(data)
        try:
            self._check()
            for start in range(0, len(data), _INPUT):
                yield from self._through(data[start : start + _INPUT], 0)
        except DecodingError as error:
            self._failure = error.what
            raise

    def finish(self) -> None:
        """The body has ended. A body of no bytes at all is an empty body under any coding.

        :raises DecodingError: the body is truncated, or an earlier call has found it corrupt.
        """
        self._check()
        for layer in self._layers:
            layer.finish()

    def _check(self) -> None:
        if self._failure:
            raise DecodingError(self._failure)

    def _through(self, data: bytes, depth: int) -> Iterator[bytes]:
        if not data or depth == len(self._layers):
            yield data
            return
        for piece in self._layers[depth].decode(data):
            yield from self._through(piece, depth + 1)


def decoder_for(content_encodings: Sequence[str]) -> Decoder | None:
    """A decoder for a body with these values of Content-Encoding, in the order of the header's lines.

    :returns: None where nothing is to be undone: no coding, or `identity` alone.
    :raises DecodingError: a coding is not supported, or there are more than 5 (`MAX_CODINGS`).
    """
    names = [name for value in content_encodings for name in _names(value)]
    if len(names) > MAX_CODINGS:
        raise DecodingError(f"the body has {len(names)} content codings, more than {MAX_CODINGS}")
    if not names:
        return None
    return Decoder([_Layer(name, _coding(name)) for name in reversed(names)])


def _names(value: str) -> list[str]:
    names = (name.strip(" \t").lower() for name in value.split(","))
    return [name for name in names if name not in ("", "identity")]


_EXTRAS = {"br": "brotli", "zstd": "zstd"}


def _coding(name: str) -> _Coding:
    coding = _CODINGS.get(name)
    if coding is None:
        extra = _EXTRAS.get(name)
        advice = f"Install trio_pool[{extra}] to decode it." if extra else ""
        raise DecodingError(f"the content coding {name[:40]!r} is not supported", advice=advice)
    return coding
