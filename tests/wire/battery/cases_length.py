"""Content-Length in every form that one reader takes for a number and another does not."""

from __future__ import annotations

from .case import END, Case, bad, good, head

LENGTH = "RFC 9110 section 8.6, RFC 9112 section 6.3"
SIGN = "CVE-2021-32715 (hyper), CVE-2023-47627 (aiohttp): parsers of integers take more than digits"
SCRIPTS = "CVE-2025-69225 (aiohttp): digits of other scripts"
CONTROL = "CVE-2025-69224 (aiohttp), CVE-2022-1705 (Go): strip() takes more than spaces and tabs"
LIST = "RFC 9112 section 6.3: a list of equal numbers MAY be taken for one, any other is an error"
HUGE = "RFC 9110 section 8.6: no overflow; CVE-2021-32714 (hyper)"


def with_length(value: bytes) -> bytes:
    """A response of five bytes with this length."""
    return head(b"Content-Length: " + value) + b"hello"


LEGAL: list[Case] = [
    good("a length", LENGTH, with_length(b"5"), body=b"hello", headers=(("Content-Length", "5"),)),
    good("a length of nothing", LENGTH, head(b"Content-Length: 0")),
    good("a length with spaces and tabs around", LENGTH, with_length(b" \t5 \t"), body=b"hello"),
    good("a length with a zero before it", LENGTH, with_length(b"05"), body=b"hello", reuse="may"),
    good("a length with many zeros before it", LENGTH, with_length(b"0000000005"), body=b"hello", reuse="may"),
    good("two equal lengths in a list", LIST, with_length(b"5, 5"), body=b"hello", reuse="may"),
    good("two equal lengths in a list without a space", LIST, with_length(b"5,5"), body=b"hello", reuse="may"),
    good("three equal lengths in a list", LIST, with_length(b"5, 5,\t5"), body=b"hello", reuse="may"),
    good("two equal lengths", LIST, with_length(b"5\r\nContent-Length: 5"), body=b"hello", reuse="may"),
    good(
        "two equal lengths of different case", LIST, with_length(b"5\r\ncontent-length: 5"), body=b"hello", reuse="may"
    ),
    good(
        "equal lengths in a list and a field",
        LIST,
        with_length(b"5, 5\r\nContent-Length: 5"),
        body=b"hello",
        reuse="may",
    ),
    good("a body of 200 KiB", LENGTH, head(b"Content-Length: 204800") + b"y" * 204800, body=b"y" * 204800),
]

VALUES: dict[str, tuple[bytes, str]] = {
    "with a plus": (b"+5", SIGN),
    "with a minus": (b"-5", SIGN),
    "of minus nothing": (b"-0", SIGN),
    "with a plus and a space": (b"+ 5", SIGN),
    "with an underscore": (b"0_5", SIGN),
    "with an underscore at its end": (b"5_", SIGN),
    "in hexadecimal": (b"0x5", SIGN),
    "in hexadecimal letters": (b"a", SIGN),
    "in octal": (b"0o5", SIGN),
    "in binary": (b"0b101", SIGN),
    "with a fraction": (b"5.0", SIGN),
    "with a dot": (b"5.", SIGN),
    "with an exponent": (b"5e0", SIGN),
    "with a suffix": (b"5L", SIGN),
    "in words": (b"five", LENGTH),
    "that is empty": (b"", LENGTH),
    "of spaces": (b"  ", LENGTH),
    "with a space inside": (b"0 5", LENGTH),
    "with a tab inside": (b"0\t5", LENGTH),
    "in quotes": (b'"5"', LENGTH),
    "with a parameter": (b"5;q=1", LENGTH),
    "with a semicolon": (b"5;", LENGTH),
    "in Arabic digits": ("\u0665".encode(), SCRIPTS),
    "in full-width digits": ("\uff15".encode(), SCRIPTS),
    "in superscript": ("\u2075".encode(), SCRIPTS),
    "in superscript of ISO-8859-1": (b"\xb2", SCRIPTS),
    "with a no-break space": (b"5\xa0", CONTROL),
    "with a NEL": (b"5\x85", CONTROL),
    "with a VT before it": (b"\x0b5", CONTROL),
    "with a VT behind it": (b"5\x0b", CONTROL),
    "with an FF before it": (b"\x0c5", CONTROL),
    "with an FF behind it": (b"5\x0c", CONTROL),
    "with a file separator": (b"\x1c5", CONTROL),
    "with a unit separator": (b"5\x1f", CONTROL),
    "with a SOH": (b"\x015", CONTROL),
    "with a NUL": (b"5\0", CONTROL),
    "with a DEL": (b"5\x7f", CONTROL),
    "with a bare CR": (b"5\r", CONTROL),
    "with a bare CR inside": (b"\r5", CONTROL),
    "that is folded": (b"0\r\n 5", "RFC 9112 section 5.2: folded lines join with a space"),
    "of two different numbers": (b"5, 6", LIST),
    "of two different numbers, the first wrong": (b"6, 5", LIST),
    "of two numbers that look different": (b"5, 05", LIST),
    "of a number and nothing": (b"5,", LIST),
    "of nothing and a number": (b",5", LIST),
    "of a number and a word": (b"5, five", LIST),
    "of a number and a signed number": (b"5, +5", LIST),
    "of numbers between semicolons": (b"5; 5", LIST),
    "of 20 digits": (b"9" * 20, HUGE),
    "of 30 digits": (b"9" * 30, HUGE),
    "of 30 zeros and a five": (b"0" * 30 + b"5", HUGE + "; a bound on digits may refuse zeros too"),
    "of 2 to the 63rd": (b"%d" % 2**63, HUGE),
    "of 2 to the 64th": (b"%d" % 2**64, HUGE),
    "of 2 to the 64th and five": (b"%d" % (2**64 + 5), HUGE),
    "of 4,000 digits": (b"1" * 4000, HUGE + "; CVE-2020-10735 (Python)"),
}
SECONDS: dict[str, bytes] = {
    "another": b"6",
    "a smaller": b"4",
    "an empty": b"",
    "a wordy": b"five",
    "a zero": b"0",
    "a zero-padded": b"05",
    "a listed": b"5, 6",
}
BROKEN: list[Case] = [
    *[bad(f"a length {name}", source, with_length(value)) for name, (value, source) in VALUES.items()],
    *[
        bad(f"a length and {name} one", LIST, with_length(b"5\r\nContent-Length: " + value))
        for name, value in SECONDS.items()
    ],
    bad("two lengths, and the first is illegal", LIST, with_length(b"+5\r\nContent-Length: 5")),
    bad("two lengths of different case", LIST, with_length(b"5\r\ncontent-length: 4")),
    bad("a body shorter than its length", "RFC 9112 section 8", with_length(b"6"), END, says="closed connection"),
    bad(
        "a body shorter than a huge length",
        "RFC 9112 section 8, CVE-2025-13836 (Python): nothing is allocated for it",
        with_length(b"9223372036854775807"),
        END,
        says="closed connection",
    ),
    bad("a length and no body", "RFC 9112 section 8", head(b"Content-Length: 5"), END, says="closed connection"),
]

CASES = LEGAL + BROKEN
