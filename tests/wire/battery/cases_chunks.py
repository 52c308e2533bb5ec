"""Chunks: sizes, extensions, line ends, the last one, and trailers."""

from __future__ import annotations

from trio_pool import LimitExceeded, PoolConfig

from .case import END, Case, bad, chunked, good

CHUNK = "RFC 9112 section 7.1"
EXTENSION = "RFC 9112 section 7.1.1"
TRAILER = "RFC 9112 section 7.1.2"
DIGITS = "CVE-2023-47627 (aiohttp), CVE-2023-38697 (protocol-http1): parsers of integers take more than digits"
HUGE = "RFC 9112 section 7.1: no overflow; CVE-2021-32714 (hyper)"
LINES = "CVE-2024-52304 (aiohttp), CVE-2025-22871 (Go), CVE-2025-55315 (Kestrel): ends of lines in extensions"
FOOTER = "CVE-2025-43859 (h11): what stands between chunks is CR LF"
QUOTED = "CVE-2026-33870 (netty): a quoted string ends where the line ends"
BOUND = "CVE-2023-39326 (Go): extensions without bounds"
LAST = b"0\r\n\r\n"
HELLO = b"5\r\nhello\r\n"


def sized(size: bytes) -> bytes:
    """A chunked response whose only chunk has this size line, without its end."""
    return chunked(size + b"\r\nhello\r\n" + LAST)


SIZES = {
    "a size": b"5",
    "a size with zeros before it": b"0005",
    "a size of 16 digits": b"0" * 15 + b"5",
    "a size and spaces": b"5  ",
    "a size and a tab": b"5\t",
    "an extension": b"5;a",
    "an extension with a value": b"5;a=b",
    "several extensions": b"5;a=b;c;d=e",
    "an extension with spaces inside": b"5; a = b",
    "an extension with tabs inside": b"5;\ta\t=\tb",
    "an extension with a quoted value": b'5;a="b c"',
    "an extension with a semicolon in quotes": b'5;a="b;c"',
    "an extension with an escaped quote": b'5;a="b\\"c"',
    "an extension with a chunk in quotes": b'5;a="0"',
    "an extension beyond ASCII in quotes": b'5;a="\xe9"',
    "an extension of 4,000 bytes": b"5;a=" + b"b" * 4000,
    "an extension of 4,094 bytes": b"5;" + b"a" * 4092,
}
TRAILERS: dict[str, tuple[bytes, tuple[tuple[str, str], ...]]] = {
    "one trailer": (b"X: y\r\n", (("X", "y"),)),
    "several trailers": (b"X: y\r\nZ:\r\nX: w\r\n", (("X", "y"), ("Z", ""), ("X", "w"))),
    "a folded trailer": (b"X: y\r\n z\r\n", (("X", "y z"),)),
    "a trailer beyond ASCII": (b"X: \xe9\r\n", (("X", "\xe9"),)),
    "a Set-Cookie in the trailers": (b"Set-Cookie: a=b\r\n", (("Set-Cookie", "a=b"),)),
    "a Host in the trailers": (b"Host: other\r\n", (("Host", "other"),)),
    "a Content-Encoding in the trailers": (b"Content-Encoding: gzip\r\n", (("Content-Encoding", "gzip"),)),
    "a Location in the trailers": (b"Location: /other\r\n", (("Location", "/other"),)),
    "128 trailers": (b"X: y\r\n" * 128, (("X", "y"),) * 128),
    "trailers of 60,000 bytes": (b"X: " + b"y" * 60000 + b"\r\n", (("X", "y" * 60000),)),
}
LEGAL: list[Case] = [
    *[good(f"a chunk of {name}", EXTENSION, sized(line), body=b"hello") for name, line in SIZES.items()],
    good("a chunk size in small letters", CHUNK, chunked(b"a\r\n0123456789\r\n" + LAST), body=b"0123456789"),
    good("a chunk size in capitals", CHUNK, chunked(b"A\r\n0123456789\r\n" + LAST), body=b"0123456789"),
    good("no chunk but the last", CHUNK, chunked(LAST)),
    good("a last chunk of many zeros", CHUNK, chunked(HELLO + b"0000\r\n\r\n"), body=b"hello"),
    good("a last chunk with an extension", EXTENSION, chunked(HELLO + b"0;a=b\r\n\r\n"), body=b"hello"),
    good("a last chunk and spaces", CHUNK, chunked(HELLO + b"0 \r\n\r\n"), body=b"hello", reuse="may"),
    good("three chunks", CHUNK, chunked(b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n" + LAST), body=b"abcdef"),
    good("chunks of a byte", CHUNK, chunked(b"1\r\ny\r\n" * 300 + LAST), body=b"y" * 300),
    good("a chunk that holds line ends", CHUNK, chunked(b"7\r\n\r\n0\r\n\r\n\r\n" + LAST), body=b"\r\n0\r\n\r\n"),
    good("a chunk of 100 KiB", CHUNK, chunked(b"19000\r\n" + b"y" * 102400 + b"\r\n" + LAST), body=b"y" * 102400),
    *[
        good(name, TRAILER, chunked(HELLO + b"0\r\n" + wire + b"\r\n"), body=b"hello", trailers=fields)
        for name, (wire, fields) in TRAILERS.items()
    ],
    good(
        "trailers stand apart from headers",
        "RFC 9110 section 6.5.1, CVE-2025-53643 (aiohttp)",
        chunked(HELLO + b"0\r\nX: trailer\r\n\r\n", b"X: header"),
        body=b"hello",
        headers=(("Transfer-Encoding", "chunked"), ("X", "header")),
        trailers=(("X", "trailer"),),
    ),
    good(
        "trailers that lone LFs end",
        "RFC 9112 section 2.2: MAY",
        chunked(HELLO + b"0\r\nX: y\n\n"),
        body=b"hello",
        trailers=(("X", "y"),),
        reuse="may",
    ),
    good(
        "a lone LF for no trailers",
        "RFC 9112 section 2.2: MAY",
        chunked(HELLO + b"0\r\n\n"),
        body=b"hello",
        reuse="may",
    ),
]

BAD_SIZES: dict[str, tuple[bytes, str]] = {
    "0x before it": (b"0x5", DIGITS),
    "0X before it": (b"0X5", DIGITS),
    "a plus": (b"+5", DIGITS),
    "a minus": (b"-5", DIGITS),
    "a minus and nothing": (b"-0", DIGITS),
    "an underscore": (b"0_5", DIGITS),
    "a fraction": (b"5.0", DIGITS),
    "an h behind it": (b"5h", DIGITS),
    "letters that are no digits": (b"g", CHUNK),
    "no digit": (b"", CHUNK),
    "no digit but an extension": (b";a", CHUNK),
    "no digit but spaces": (b"  ", CHUNK),
    "a space before it": (b" 5", CHUNK),
    "a tab before it": (b"\t5", CHUNK),
    "a space inside": (b"0 5", CHUNK),
    "two numbers": (b"5,5", CHUNK),
    "quotes": (b'"5"', CHUNK),
    "an Arabic digit": ("\u0665".encode(), "CVE-2025-69225 (aiohttp)"),
    "a full-width digit": ("\uff15".encode(), "CVE-2025-69225 (aiohttp)"),
    "a NUL": (b"5\0", CHUNK),
    "a NUL before it": (b"\x005", CHUNK),
    "a VT": (b"5\x0b", DIGITS),
    "a VT before it": (b"\x0b5", DIGITS),
    "an FF": (b"5\x0c", DIGITS),
    "a file separator": (b"5\x1c", DIGITS),
    "a no-break space": (b"5\xa0", DIGITS),
    "a comma": (b"5,", CHUNK),
    "an equals sign": (b"5=a", EXTENSION),
    "an empty line before it": (b"\r\n5", CHUNK),
    "a lone LF before it": (b"\n5", CHUNK),
    "17 digits": (b"0" * 16 + b"5", HUGE + "; a bound on digits may refuse zeros too"),
    "17 digits that overflow": (b"1" + b"0" * 15 + b"5", HUGE),
    "20 digits": (b"f" * 20, HUGE),
    "1,000 digits": (b"0" * 999 + b"5", HUGE),
    "a space before an extension": (
        b"5 ;a",
        EXTENSION + ": to be taken; refused, which is stricter",
    ),
    "a tab before an extension": (b"5\t;a", EXTENSION + ": to be taken; refused, which is stricter"),
    "a bare CR": (b"5\r", LINES),
    "a bare CR before it": (b"\r5", LINES),
    "a bare CR in an extension": (b"5;a\rb", LINES),
    "a bare CR and a chunk in an extension": (b"5;\r0", LINES),
    "a bare CR at the end of an extension": (b"5;a\r", LINES),
    "a bare CR in a quoted extension": (b'5;a="\r"', LINES),
    "a lone LF in an extension": (b"5;a\nb", LINES),
    "a lone LF at once in an extension": (b"5;\nb", LINES),
    "a lone LF in a quoted extension": (b'5;a="\n"', LINES),
    "a NUL in an extension": (b"5;a\0b", EXTENSION),
    "a SOH in an extension": (b"5;a\x01b", EXTENSION),
    "a VT in an extension": (b"5;a\x0bb", EXTENSION),
    "a DEL in an extension": (b"5;a\x7f", EXTENSION),
    "a quote that does not end": (b'5;a="b', QUOTED),
    "a quote that ends in an escape": (b'5;a="b\\"', QUOTED),
}
FOOTERS: dict[str, bytes] = {
    "nothing": b"",
    "a lone LF": b"\n",
    "a bare CR": b"\r",
    "two LFs": b"\n\n",
    "LF and CR": b"\n\r",
    "two CRs": b"\r\r",
    "two letters": b"xx",
    "two spaces": b"  ",
    "two digits": b"00",
    "a letter and CR LF": b"x\r\n",
    "a space and CR LF": b" \r\n",
    "a CR and a letter": b"\rx",
}
BAD_TRAILERS: dict[str, bytes] = {
    "no colon": b"s3cret\r\n",
    "no name": b": s3cret\r\n",
    "a space before its colon": b"X : s3cret\r\n",
    "a name beyond ASCII": b"X\xe9: s3cret\r\n",
    "a NUL": b"X: s3cret\0\r\n",
    "a bare CR": b"X: s3\rcret\r\n",
    "a bare CR and another": b"X: s3cret\rY: z\r\n",
    "a folded line before it": b" X: s3cret\r\n",
    "a response as its line": b"HTTP/1.1 200 OK\r\n",
    "a chunk as its line": b"5\r\nhello\r\n",
}
TIGHT = PoolConfig(max_connections=1, max_head_size=300, max_header_count=3, max_chunk_line=40)
OVER = "300 bytes"
BROKEN: list[Case] = [
    *[bad(f"a chunk size with {name}", source, sized(line)) for name, (line, source) in BAD_SIZES.items()],
    *[
        bad(f"a chunk that ends in {name}", FOOTER, chunked(b"5\r\nhello" + end + LAST), END)
        for name, end in FOOTERS.items()
    ],
    bad("a chunk line that a lone LF ends", LINES, chunked(b"5\nhello\r\n" + LAST)),
    bad("a chunk line that a bare CR ends", LINES, chunked(b"5\rhello\r\n" + LAST)),
    bad("a chunk line with an extension that a lone LF ends", LINES, chunked(b"5;a\nhello\r\n" + LAST)),
    bad("chunks that lone LFs end", LINES, chunked(b"5\nhello\n0\n\n"), END),
    bad("a last chunk that a lone LF ends", LINES, chunked(HELLO + b"0\n\r\n"), END),
    bad("a last chunk that a bare CR ends", LINES, chunked(HELLO + b"0\r\r\n"), END),
    bad("a chunk longer than its size", FOOTER, chunked(b"4\r\nhello\r\n" + LAST)),
    bad("a chunk shorter than its size", FOOTER, chunked(b"6\r\nhello\r\n" + LAST)),
    bad("an empty line between chunks", CHUNK, chunked(HELLO + b"\r\n" + HELLO + LAST)),
    bad("chunks without the last", "RFC 9112 section 8", chunked(HELLO), END, says="closed connection"),
    bad("no chunk at all", "RFC 9112 section 8", chunked(b""), END, says="closed connection"),
    bad(
        "a last chunk without its empty line",
        "RFC 9112 section 8",
        chunked(HELLO + b"0\r\n"),
        END,
        says="closed connection",
    ),
    bad(
        "trailers without their empty line",
        "RFC 9112 section 8",
        chunked(HELLO + b"0\r\nX: y\r\n"),
        END,
        says="closed connection",
    ),
    bad("a chunk size of 16 digits, cut", HUGE, chunked(b"f" * 16 + b"\r\nhello"), END, says="closed connection"),
    *[
        bad(f"a trailer with {name}", TRAILER, chunked(HELLO + b"0\r\n" + wire + b"\r\n"))
        for name, wire in BAD_TRAILERS.items()
    ],
]
BOUNDS: list[Case] = [
    bad("an extension over 4,096 bytes", BOUND, sized(b"5;" + b"a" * 4093), error=LimitExceeded, says="4096 bytes"),
    bad("an extension of 60,000 bytes", BOUND, sized(b"5;" + b"a" * 60000), error=LimitExceeded, says="4096 bytes"),
    bad("an extension that never ends", BOUND, chunked(b"5;" + b"a" * 70000), error=LimitExceeded, says="4096 bytes"),
    bad("a chunk size that never ends", BOUND, chunked(b"0" * 70000), error=LimitExceeded, says="4096 bytes"),
    bad(
        "129 trailers",
        BOUND,
        chunked(HELLO + b"0\r\n" + b"X: y\r\n" * 129 + b"\r\n"),
        error=LimitExceeded,
        says="128 trailers",
    ),
    bad(
        "trailers over 64 KiB",
        BOUND,
        chunked(b"0\r\nX: " + b"y" * 70000 + b"\r\n\r\n"),
        error=LimitExceeded,
        says="65536 bytes",
    ),
    bad("trailers that never end", BOUND, chunked(b"0\r\nX: " + b"y" * 70000), error=LimitExceeded, says="65536 bytes"),
    good("an extension of its own bound", BOUND, sized(b"5;" + b"a" * 36), body=b"hello", config=TIGHT),
    bad(
        "an extension over its own bound",
        BOUND,
        sized(b"5;" + b"a" * 37),
        error=LimitExceeded,
        says="40 bytes",
        config=TIGHT,
    ),
    good(
        "trailers up to their own number",
        BOUND,
        chunked(b"0\r\n" + b"X: y\r\n" * 3 + b"\r\n"),
        trailers=(("X", "y"),) * 3,
        config=TIGHT,
    ),
    bad(
        "trailers over their own number",
        BOUND,
        chunked(b"0\r\n" + b"X: y\r\n" * 4 + b"\r\n"),
        error=LimitExceeded,
        says="3 trailers",
        config=TIGHT,
    ),
    bad(
        "trailers over their own bound",
        BOUND,
        chunked(b"0\r\nX: " + b"y" * 400 + b"\r\n\r\n"),
        error=LimitExceeded,
        says=OVER,
        config=TIGHT,
    ),
]

CASES = LEGAL + BROKEN + BOUNDS
