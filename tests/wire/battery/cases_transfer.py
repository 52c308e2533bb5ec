"""Transfer-Encoding in every form that one reader takes for `chunked` and another does not."""

from __future__ import annotations

from trio_pool import ReadError

from .case import CUT, END, HELLO, INTRUDER, RESET, Case, bad, good, head

CODING = "RFC 9112 section 6.1"
LAST = "RFC 9112 section 6.3: if chunked is not the last coding, the body goes to the end: or an error"
OBFUSCATED = "CVE-2022-32213 (llhttp), CVE-2022-1705 (Go), CVE-2021-21299 (hyper): what is not exactly chunked"
BOTH = "RFC 9112 section 6.3: the coding counts, it may be an attack: not used again; CVE-2023-47641 (aiohttp)"
WIRE = b"5\r\nhello\r\n0\r\n\r\n"


def with_coding(value: bytes) -> bytes:
    """A chunked response with this coding."""
    return head(b"Transfer-Encoding: " + value) + WIRE


LEGAL: list[Case] = [
    good("chunked", CODING, with_coding(b"chunked"), body=b"hello"),
    good("Chunked", "RFC 9112 section 7: names of codings have no case", with_coding(b"Chunked"), body=b"hello"),
    good("CHUNKED", "RFC 9112 section 7: names of codings have no case", with_coding(b"CHUNKED"), body=b"hello"),
    good("chunked with spaces around", CODING, with_coding(b" \tchunked\t "), body=b"hello"),
    good("chunked without a space", CODING, head(b"transfer-encoding:chunked") + WIRE, body=b"hello"),
    good(
        "a folded chunked",
        "RFC 9112 section 5.2",
        head(b"Transfer-Encoding:\r\n chunked") + WIRE,
        body=b"hello",
        reuse="may",
    ),
    good(
        "chunked and HTTP/1.0",
        CODING + ": faulty framing: taken, and closed",
        with_coding(b"chunked").replace(b"/1.1", b"/1.0"),
        body=b"hello",
        version="HTTP/1.0",
        reuse="must not",
    ),
    *[
        good(
            f"chunked and {name}",
            BOTH,
            head(*fields) + WIRE,
            body=b"hello",
            reuse="must not",
        )
        for name, fields in {
            "a length": (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
            "a length before it": (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
            "the length of its wire": (b"Content-Length: 15", b"Transfer-Encoding: chunked"),
            "a length of nothing": (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
            "a length that is far too long": (b"Content-Length: 5000", b"Transfer-Encoding: chunked"),
            "two equal lengths": (b"Content-Length: 5", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        }.items()
    ],
    good(
        "a coding with an underscore is none",
        "RFC 9110 section 5.1",
        head(b"Transfer_Encoding: chunked") + WIRE,
        END,
        body=WIRE,
        reuse="must not",
    ),
    good(
        "a coding that is a folded line of another field",
        "RFC 9112 section 5.2, CVE-2022-32215 (llhttp)",
        head(b"X: y", b" Transfer-Encoding: chunked", b"Content-Length: 5") + b"hello",
        body=b"hello",
    ),
]

VALUES: dict[str, tuple[bytes, str]] = {
    "chunked and then gzip": (b"chunked, gzip", LAST),
    "gzip and then chunked": (b"gzip, chunked", CODING + ": we never send TE, so it is not ours to undo"),
    "gzip": (b"gzip", LAST),
    "identity": (b"identity", LAST + "; RFC 7230 took it back"),
    "chunked and then identity": (b"chunked, identity", LAST),
    "identity and then chunked": (b"identity, chunked", LAST),
    "a coding that ends like chunked": (b"xchunked", OBFUSCATED),
    "a coding that begins like chunked": (b"chunkedx", OBFUSCATED),
    "chunked with a parameter": (b"chunked;q=1", OBFUSCATED),
    "chunked with an empty parameter": (b"chunked;", OBFUSCATED),
    "chunked in quotes": (b'"chunked"', OBFUSCATED),
    "chunked in single quotes": (b"'chunked'", OBFUSCATED),
    "a part of chunked": (b"chunk", OBFUSCATED),
    "chunked twice": (b"chunked, chunked", "RFC 9112 section 6.1: no coding twice"),
    "chunked and nothing": (b"chunked,", OBFUSCATED),
    "nothing and chunked": (b",chunked", OBFUSCATED),
    "nothing": (b"", OBFUSCATED),
    "a comma": (b",", OBFUSCATED),
    "chunked with a space inside": (b"chun ked", OBFUSCATED),
    "chunked folded inside": (b"chun\r\n ked", OBFUSCATED),
    "chunked and a word": (b"chunked identity", OBFUSCATED),
    "a colon and chunked": (b": chunked", OBFUSCATED),
    "a VT and chunked": (b"\x0bchunked", OBFUSCATED),
    "chunked and a VT": (b"chunked\x0b", OBFUSCATED),
    "an FF and chunked": (b"\x0cchunked", OBFUSCATED),
    "a NUL and chunked": (b"\0chunked", OBFUSCATED),
    "chunked and a NUL": (b"chunked\0", OBFUSCATED),
    "chunked and a SOH": (b"chunked\x01", OBFUSCATED),
    "a file separator and chunked": (b"\x1cchunked", OBFUSCATED),
    "a bare CR and chunked": (b"\rchunked", OBFUSCATED),
    "chunked and a bare CR": (b"chunked\r", OBFUSCATED),
    "a no-break space and chunked": (b"\xa0chunked", OBFUSCATED),
    "chunked in Kelvin": ("chun\u212aed".encode(), OBFUSCATED + "; lower() makes an ASCII k of it"),
    "chunked with another c": ("\u0441hunked".encode(), OBFUSCATED),
    "two fields of chunked": (b"chunked\r\nTransfer-Encoding: chunked", CODING),
    "fields of gzip and chunked": (b"gzip\r\nTransfer-Encoding: chunked", CVE := "CVE-2021-21299 (hyper)"),
    "fields of chunked and gzip": (b"chunked\r\nTransfer-Encoding: gzip", CVE),
    "fields of chunked and identity": (b"chunked\r\nTransfer-Encoding: identity", CVE),
    "fields of identity and chunked": (b"identity\r\nTransfer-Encoding: chunked", CVE),
    "fields of nothing and chunked": (b"\r\nTransfer-Encoding: chunked", CVE),
    "xchunked and a length": (b"xchunked\r\nContent-Length: 15", OBFUSCATED),
    "identity and a length": (b"identity\r\nContent-Length: 15", OBFUSCATED),
}
BROKEN: list[Case] = [
    *[bad(f"coding: {name}", source, with_coding(value)) for name, (value, source) in VALUES.items()],
    bad("chunked and an illegal length", BOTH, head(b"Transfer-Encoding: chunked", b"Content-Length: +5") + WIRE),
    bad(
        "chunked and two lengths",
        BOTH,
        head(b"Transfer-Encoding: chunked", b"Content-Length: 5", b"Content-Length: 6") + WIRE,
    ),
    bad(
        "chunked, and a body that has only a length",
        BOTH,
        head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"hello",
        END,
    ),
]

END_OF = "RFC 9112 section 6.3, 8 and 9.8"
TO_THE_END: list[Case] = [
    good("a body to the end", END_OF, head() + b"hello", END, body=b"hello", reuse="must not"),
    good("an empty body to the end", END_OF, head(), END, reuse="must not"),
    good(
        "a body to the end, and close",
        END_OF,
        head(b"Connection: close") + b"hello",
        END,
        body=b"hello",
        reuse="must not",
    ),
    good(
        "a body to the end, and keep-alive",
        END_OF,
        head(b"Connection: keep-alive") + b"hello",
        END,
        body=b"hello",
        reuse="must not",
    ),
    good(
        "a body to the end that looks like a response", END_OF, head() + INTRUDER, END, body=INTRUDER, reuse="must not"
    ),
    good("a long body to the end", END_OF, head() + b"y" * 200000, END, body=b"y" * 200000, reuse="must not"),
    bad("a body to a reset", END_OF, head() + b"hello", RESET, error=ReadError, says="the connection broke"),
    bad("a length, cut by a reset", END_OF, HELLO[:-1], RESET, error=ReadError, says="the connection broke"),
    bad(
        "chunks, cut by a reset",
        END_OF,
        with_coding(b"chunked")[:-3],
        RESET,
        error=ReadError,
        says="the connection broke",
    ),
    bad("chunks, cut", END_OF, with_coding(b"chunked")[:-3], CUT, says="", tls_error=ReadError),
    bad("a length, cut", END_OF, HELLO[:-1], CUT, says="", tls_error=ReadError),
    good("a length, and cut behind it", "RFC 9112 section 9.8: complete", HELLO, CUT, body=b"hello", reuse="must not"),
    good(
        "chunks, and cut behind them",
        "RFC 9112 section 9.8",
        with_coding(b"chunked"),
        CUT,
        body=b"hello",
        reuse="must not",
    ),
]

CASES = LEGAL + BROKEN + TO_THE_END
