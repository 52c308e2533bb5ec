"""Status lines, versions, and what other protocols say instead."""

from __future__ import annotations

from trio_pool import PoolConfig

from .case import END, HELLO, Case, answer, bad, good, head

LINE = "RFC 9112 section 4"
VERSION = "RFC 9110 section 2.5, RFC 9112 section 2.3"
CODE = "RFC 9110 section 15"
LF = "RFC 9112 section 2.2: a lone LF MAY end a line of a head"
BANNER = "RFC 9112 section 4: the first line is no status line; waiting for more of it helps nobody"

IMPATIENT = PoolConfig(max_connections=1, read_timeout=1.0, write_timeout=5.0)


def with_line(line: bytes) -> bytes:
    """A response that is sound but for its status line."""
    return answer(b"hello", status=line)


DELIVERED: list[Case] = [
    good("a status line", LINE, HELLO, body=b"hello", reason="OK"),
    good("an empty reason", LINE, with_line(b"HTTP/1.1 200 "), body=b"hello", reason=""),
    good("no space before no reason", LINE + ": lenient", with_line(b"HTTP/1.1 200"), body=b"hello", reason=""),
    good("a reason of many words", LINE, with_line(b"HTTP/1.1 200 As\tyou wish,  sir"), body=b"hello"),
    good("a reason beyond ASCII", LINE, with_line(b"HTTP/1.1 200 Tr\xe8s bien"), body=b"hello", reason="Tr\xe8s bien"),
    good("a reason that lies", LINE, with_line(b"HTTP/1.1 200 404 Not Found"), body=b"hello", reason="404 Not Found"),
    *[
        good(f"status {code}", CODE, with_line(b"HTTP/1.1 %d X" % code), body=b"hello", status=code)
        for code in (201, 203, 206, 207, 226, 299, 300, 302, 399, 400, 404, 408, 413, 429, 451, 499, 500, 503, 599)
    ],
    *[
        good(
            f"status {code}, out of the registered classes",
            CODE
            + ": outside 100 to 599 it is invalid and to be treated like a 5xx: delivered, raise_for_status raises",
            with_line(b"HTTP/1.1 %d X" % code),
            body=b"hello",
            status=code,
        )
        for code in (600, 700, 999)
    ],
    good("HTTP/1.0", VERSION, with_line(b"HTTP/1.0 200 OK"), body=b"hello", version="HTTP/1.0", reuse="must not"),
    good(
        "HTTP/1.0 that says keep-alive",
        "RFC 9112 section 9.3; only 1.1 is used again",
        answer(b"hello", b"Connection: keep-alive", b"Keep-Alive: timeout=60", status=b"HTTP/1.0 200 OK"),
        body=b"hello",
        version="HTTP/1.0",
        reuse="must not",
    ),
    good(
        "HTTP/1.0 until the end",
        "RFC 9112 section 6.3",
        head(status=b"HTTP/1.0 200 OK") + b"hello",
        END,
        body=b"hello",
        version="HTTP/1.0",
        reuse="must not",
    ),
    good("lone LFs", LF, b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", body=b"hello", reuse="may"),
    good("a lone LF after the status", LF, HELLO.replace(b"OK\r\n", b"OK\n"), body=b"hello", reuse="may"),
    good("lone LFs but the last", LF, b"HTTP/1.1 200 OK\nContent-Length: 5\n\r\nhello", body=b"hello", reuse="may"),
]

VERSIONS = {
    "HTTP/2.0": VERSION + ": another major version (h11 lets it through)",
    "HTTP/2": VERSION,
    "HTTP/3.0": VERSION,
    "HTTP/0.9": VERSION,
    "HTTP/9.9": VERSION,
    "HTTP/1.2": VERSION + ": never defined; refused, as curl and hyper do, though a 1.x may be read as 1.1",
    "HTTP/1.9": VERSION + ": as HTTP/1.2",
    "HTTP/1.10": VERSION,
    "HTTP/11.1": VERSION,
    "HTTP/01.1": VERSION,
    "HTTP/1.": VERSION,
    "HTTP/1": VERSION,
    "HTTP/.1": VERSION,
    "HTTP/1.1.1": VERSION,
    "HTTP/1,1": VERSION,
    "HTTP/+1.1": VERSION,
    "HTTP/1.\u0661": "CVE-2025-69225 (aiohttp): digits of other scripts",
    "HTTP/\uff11.\uff11": "CVE-2025-69225 (aiohttp): digits of other scripts",
    "HTTP/-1.1": VERSION,
    "http/1.1": VERSION + ": the name is case-sensitive",
    "Http/1.1": VERSION + ": the name is case-sensitive",
    "HTTP 1.1": VERSION,
    "HTTP": VERSION,
    "HTTPS/1.1": VERSION,
    "XHTTP/1.1": VERSION,
    "ICY": "shoutcast; as curl refuses it",
    "RTSP/1.0": "curl: another protocol",
    "SIP/2.0": "another protocol",
    "ICAP/1.0": "another protocol",
    "\ufeffHTTP/1.1": LINE,
}
LINES: dict[str, tuple[bytes, str]] = {
    "a space before it": (b" HTTP/1.1 200 OK", LINE),
    "an empty line before it": (b"\r\nHTTP/1.1 200 OK", "RFC 9112 section 2.2: only a server skips empty lines"),
    "a lone LF before it": (b"\nHTTP/1.1 200 OK", "RFC 9112 section 2.2: only a server skips empty lines"),
    "a NUL before it": (b"\0HTTP/1.1 200 OK", LINE),
    "two spaces": (b"HTTP/1.1  200 OK", LINE),
    "a tab": (b"HTTP/1.1\t200 OK", LINE),
    "a tab after the code": (b"HTTP/1.1 200\tOK", LINE),
    "a VT": (b"HTTP/1.1\x0b200 OK", LINE),
    "no space before the code": (b"HTTP/1.1200 OK", LINE),
    "no space after the code": (b"HTTP/1.1 200OK", LINE),
    "no code": (b"HTTP/1.1 OK", LINE),
    "nothing after the version": (b"HTTP/1.1", LINE),
    "nothing after the space": (b"HTTP/1.1 ", LINE),
    "no digits": (b"HTTP/1.1 2xx OK", LINE),
    "one digit": (b"HTTP/1.1 2 OK", LINE),
    "two digits": (b"HTTP/1.1 20 OK", LINE),
    "four digits": (b"HTTP/1.1 2000 OK", LINE),
    "four digits that are three": (b"HTTP/1.1 0200 OK", LINE),
    "a fraction": (b"HTTP/1.1 200.5 OK", LINE),
    "a sign": (b"HTTP/1.1 +20 OK", "CVE-2023-47627 (aiohttp): int() takes signs"),
    "a negative code": (b"HTTP/1.1 -20 OK", "CVE-2023-47627 (aiohttp): int() takes signs"),
    "an underscore": (b"HTTP/1.1 2_0 OK", "CVE-2023-47627 (aiohttp): int() takes underscores"),
    "Arabic digits": ("HTTP/1.1 \u0662\u0660\u0660 OK".encode(), "CVE-2025-69225 (aiohttp)"),
    "status 000": (b"HTTP/1.1 000 OK", CODE),
    "status 099": (b"HTTP/1.1 099 OK", CODE),
    "a NUL in the reason": (b"HTTP/1.1 200 O\0K", LINE),
    "a bare CR in the reason": (b"HTTP/1.1 200 O\rK", "RFC 9112 section 2.2: a bare CR is invalid"),
    "a bare CR before its end": (b"HTTP/1.1 200 OK\r", "RFC 9112 section 2.2: a bare CR is invalid"),
    "a bare CR and a field": (b"HTTP/1.1 200 OK\rX: y", "CVE-2023-30589 (llhttp)"),
}
BANNERS: dict[str, bytes] = {
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "POP3": b"+OK POP3 ready\r\n",
    "IMAP": b"* OK IMAP4rev1 ready\r\n",
    "FTP": b"220 ready\r\n",
    "Redis": b"-ERR unknown command 'GET'\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28",
    "HTTP/2": b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d",
    "a request": b"GET / HTTP/1.1\r\n",
    "JSON": b'{"status": 200}\r\n',
    "HTML": b"<html>hello</html>\r\n",
    "text": b"hello, world",
}
REFUSED: list[Case] = [
    *[
        bad(f"version {version!r}", source, with_line(f"{version} 200 OK".encode()))
        for version, source in VERSIONS.items()
    ],
    *[bad(f"status line: {name}", source, with_line(line)) for name, (line, source) in LINES.items()],
    *[bad(f"{name} and an end", "RFC 9112 section 8", banner, END, says="") for name, banner in BANNERS.items()],
    *[
        bad(f"{name} and silence", BANNER, BANNERS[name], says="", config=IMPATIENT)
        for name in ("SSH", "SMTP", "TLS", "HTTP/2", "HTML", "a request")
    ],
    bad("HTTP/0.9", "RFC 9112 section 2.3, curl refuses it since 7.66", b"hello, world\r\n\r\n", END),
]

CASES = DELIVERED + REFUSED
