"""Content codings: what is undone, what is refused, and what has none to undo."""

from __future__ import annotations

import gzip
import zlib
from functools import partial, reduce

from trio_pool import DecodingError, LimitExceeded, PoolConfig
from trio_pool._wire.decoding import SUPPORTED

from .case import Case, answer, bad, chunked, good, head

CODING = "RFC 9110 section 8.4.1"
CHAIN = "CVE-2022-32206 and CVE-2023-23916 (curl), GHSA-gm62-xv2j-4w53 (urllib3), GHSA-g9mf-h72j-4rw9 (undici)"
BOMB = "GHSA-2xpw-w6gg-jr37 (urllib3), CVE-2025-69223 (aiohttp)"
WHOLE = "RFC 9110 section 8.4: what was cut or slipped in is not the body"
TEXT = b"hello, world " * 40

pack = partial(gzip.compress, mtime=0)
GZIP = pack(TEXT)
ZLIB = zlib.compress(TEXT)
RAW = zlib.compress(TEXT, wbits=-15)
BROTLI = bytes.fromhex("1b0702f8a5cbd0d8ded42a8455031091ba9db500")
ZSTD = b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello"


def packed(times: int, data: bytes = TEXT) -> bytes:
    """Data in so many layers of gzip."""
    return reduce(lambda body, _: pack(body), range(times), data)


def coded(body: bytes, *codings: bytes) -> bytes:
    """A response with a length and these Content-Encoding fields."""
    return answer(body, *[b"Content-Encoding: " + coding for coding in codings])


UNDONE: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    "gzip": (GZIP, (b"gzip",)),
    "x-gzip": (GZIP, (b"x-gzip",)),
    "GZip": (GZIP, (b"GZip",)),
    "deflate": (ZLIB, (b"deflate",)),
    "bare deflate": (RAW, (b"deflate",)),
    "identity": (TEXT, (b"identity",)),
    "an empty coding": (TEXT, (b"",)),
    "gzip and identity": (GZIP, (b"identity, gzip, identity",)),
    "gzip twice": (packed(2), (b"gzip, gzip",)),
    "gzip twice, by two fields": (packed(2), (b"gzip", b"gzip")),
    "deflate and then gzip": (pack(ZLIB), (b"deflate, gzip",)),
    "gzip and then deflate": (zlib.compress(GZIP), (b"gzip", b"deflate")),
    "five codings": (packed(5), (b"gzip, gzip, gzip, gzip, gzip",)),
    "two members": (pack(TEXT[:100]) + pack(TEXT[100:]), (b"gzip",)),
    "many members": (b"".join(pack(TEXT[at : at + 7]) for at in range(0, len(TEXT), 7)), (b"gzip",)),
    "an empty member": (pack(b"") + GZIP + pack(b""), (b"gzip",)),
    "padding behind gzip": (GZIP + b"\0" * 20, (b"gzip",)),
}
REFUSED: dict[str, tuple[bytes, tuple[bytes, ...], str]] = {
    "six codings": (packed(6), (b"gzip, gzip, gzip, gzip, gzip, gzip",), CHAIN),
    "six codings by six fields": (packed(6), (b"gzip",) * 6, CHAIN),
    "thirty codings": (packed(30), (b", ".join([b"gzip"] * 30),), CHAIN),
    "an unknown coding": (TEXT, (b"s3cre7",), CODING),
    "compress": (TEXT, (b"compress",), CODING),
    "an unknown coding under gzip": (GZIP, (b"foo, gzip",), CODING),
    "gzip with a parameter": (GZIP, (b"gzip;q=1",), CODING),
    "chunked as a content coding": (TEXT, (b"chunked",), CODING),
    "gzip without its end": (GZIP[:-1], (b"gzip",), WHOLE),
    "gzip without its checksum": (GZIP[:-8], (b"gzip",), WHOLE),
    "half of gzip": (GZIP[: len(GZIP) // 2], (b"gzip",), WHOLE),
    "a byte of gzip": (GZIP[:1], (b"gzip",), WHOLE),
    "gzip with a wrong checksum": (GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:], (b"gzip",), WHOLE),
    "gzip with a wrong size": (GZIP[:-4] + b"\0\0\0\0", (b"gzip",), WHOLE),
    "gzip with a broken inside": (GZIP[:15] + b"\xff\xff\xff" + GZIP[18:], (b"gzip",), WHOLE),
    "no gzip at all": (TEXT, (b"gzip",), WHOLE),
    "something behind gzip": (GZIP + b"more", (b"gzip",), WHOLE),
    "a response behind gzip": (GZIP + b"HTTP/1.1 200 OK\r\n\r\n", (b"gzip",), WHOLE),
    "something behind the padding of gzip": (GZIP + b"\0\0more", (b"gzip",), WHOLE),
    "a member that is cut": (GZIP + GZIP[:-1], (b"gzip",), WHOLE),
    "deflate without its end": (ZLIB[:-1], (b"deflate",), WHOLE),
    "deflate with a wrong checksum": (ZLIB[:-4] + b"\0\0\0\0", (b"deflate",), WHOLE),
    "something behind deflate": (ZLIB + b"more", (b"deflate",), WHOLE),
    "no deflate at all": (b"\xff" * 50, (b"deflate",), WHOLE),
    "the inner coding cut": (pack(GZIP[:-1]), (b"gzip, gzip",), WHOLE),
    "the outer coding cut": (pack(GZIP)[:-1], (b"gzip, gzip",), WHOLE),
}
if "br" in SUPPORTED:
    UNDONE["br"] = (BROTLI, (b"br",))
    REFUSED["br without its end"] = (BROTLI[:-1], (b"br",), WHOLE)
    REFUSED["something behind br"] = (BROTLI + b"more", (b"br",), WHOLE)
if "zstd" in SUPPORTED:
    UNDONE["zstd"] = (ZSTD, (b"zstd",))
    UNDONE["two frames of zstd"] = (ZSTD + ZSTD, (b"zstd",))
    REFUSED["zstd without its end"] = (ZSTD[:-1], (b"zstd",), WHOLE)
    REFUSED["something behind zstd"] = (ZSTD + b"more", (b"zstd",), WHOLE)

PLAIN = {"zstd": b"hello", "two frames of zstd": b"hellohello"}
EMPTY = "RFC 9110 section 8.4: no body, nothing to undo"
SMALL = PoolConfig(max_connections=1, max_decoded_size=1000)
ZEROS = pack(bytes(100_000))

CASES: list[Case] = [
    *[
        good(f"undone: {name}", CODING, coded(body, *codings), body=PLAIN.get(name, TEXT))
        for name, (body, codings) in UNDONE.items()
    ],
    good(
        "undone: gzip in chunks",
        CODING,
        chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(GZIP), GZIP), b"Content-Encoding: gzip"),
        body=TEXT,
    ),
    good("undone: an empty gzip body", EMPTY, coded(b"", b"gzip")),
    good("undone: an empty body of five codings", EMPTY, coded(b"", b"gzip, gzip, gzip, deflate, gzip")),
    good("undone: an empty 204", EMPTY, head(b"Content-Encoding: gzip", status=b"HTTP/1.1 204 X"), status=204),
    *[
        bad(f"refused: {name}", source, coded(body, *codings), error=DecodingError, reuse="may")
        for name, (body, codings, source) in REFUSED.items()
    ],
    good(
        "undone: a body as large as the bound", BOMB, coded(pack(bytes(1000)), b"gzip"), body=bytes(1000), config=SMALL
    ),
]
BOMBS: list[Case] = [
    bad(
        f"refused: {name}",
        BOMB,
        coded(body, *codings),
        error=LimitExceeded,
        says="1000 bytes",
        is_streamed=False,
        config=SMALL,
        reuse="may",
    )
    for name, body, codings in (
        ("a body over the bound", pack(bytes(1001)), [b"gzip"]),
        ("a bomb", ZEROS, [b"gzip"]),
        ("a bomb in a bomb", pack(ZEROS), [b"gzip, gzip"]),
        ("a bomb of many members", pack(bytes(100)) * 11, [b"gzip"]),
    )
]
STREAMED: list[Case] = [
    good(
        "undone: a body over the bound, in pieces",
        BOMB,
        coded(ZEROS, b"gzip"),
        body=bytes(100_000),
        is_streamed=True,
        config=SMALL,
    ),
]

CASES += BOMBS + STREAMED
