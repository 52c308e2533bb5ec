"""What may be odd about each part of a response and of a request.

Where a part has a usual form, its table has the others; where it has none, its table has them all.
"""

from __future__ import annotations

# fmt: off
VERSIONS = (
    b"HTTP/1.0 ", b"HTTP/1.2 ", b"HTTP/2.0 ", b"HTTP/0.9 ", b"http/1.1 ", b"HTTP/1.1  ", b"HTTP/1.1\t",
    b"HTTP/1.11 ", b"HTTP/1,1 ", b"HTTP/01.1 ", b" HTTP/1.1 ", b"\r\nHTTP/1.1 ", b"HTTP/1.1", b"HTTPS/1.1 ",
    b"ICY ",
)
CODES = (b"200", b"200", b"200", b"200", b"200", b"200", b"201", b"204", b"206", b"301", b"304", b"404", b"500", b"503")
ODD_CODES = (
    b"100", b"101", b"103", b"199", b"205", b"299", b"300", b"600", b"999", b"099", b"000", b"20", b"2000",
    b"2 0", b"+20", b"-20", b"2\xb20", b"20O", b"\xd9\xa2\xd9\xa0\xd9\xa0", b"",
)
REASONS = (
    b"", b" ", b" Not Found", b" OK ", b"  OK", b" \t", b" a\tb", b" \xfc\xff\x80", b" \x01", b" \x7f",
    b" \x00", b" \x0b", b" a\x0cb", b" \x85\xa0", b" a\rb", b" OK\r", b"\tOK", b"OK", b" 200 OK", b" HTTP/1.1",
)
LINE_ENDS = (b"\n", b"\r\r\n", b"\r", b"\n\r", b" \r\n", b"\r\n ", b"\r\n\t", b"\r\n \r\n", b"\x0b\r\n", b"\x85")
NAMES = (b"Server", b"X-A", b"content-type", b"DATE", b"Set-Cookie", b"Vary", b"a", b"!#$%&'*+-.^_`|~09")
ODD_NAMES = (
    b"", b"a b", b"a\x00", b"(a)", b"a\xff", b"a\t", b"a ", b" a", b"\ta", b"a@b", b'"a"', b"a/b", b"a\r",
    b"{a}",
)
COLONS = (b":", b":  ", b":\t", b": \t ", b" : ", b" :", b"", b"::", b":\r\n ", b"=")
VALUES = (
    b"", b" ", b"x ", b"x \t", b"a b", b"a  \t b", b"a:b", b"\xe4\xf6\xff", b"\x80", b"\x85", b"\xa0x\xa0",
    b"\x01", b"\x1f\x1c\x1d", b"a\x7fb", b"a\x00b", b"\x0bx", b"x\x0b", b"x\x0c y", b"a\rb", b"a\r", b"\r",
    b"a\r\n b", b"a\r\n\tb \r\n c", b"a\r\n\r b", b"a\nB: c", b'"a, b"', b"x" * 40,
)
LENGTH_NAMES = (b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"Content-length")
CODING_NAMES = (b"Transfer-Encoding", b"transfer-encoding", b"TRANSFER-ENCODING", b"Transfer-encoding")
CHUNKED = (
    b"Chunked", b"CHUNKED", b" chunked \t", b"gzip, chunked", b"chunked, chunked", b"chunked,", b",chunked",
    b"identity", b"chunked;q=1", b"xchunked", b"chunkedx", b"", b"\x0bchunked", b"chunked\x0b", b"chunked\x00",
    b"chu\r\n nked", b"\r\n chunked", b"chunked\r\n ", b'"chunked"', b"\xe3hunked", b"chun\xe2\x84\xaaed",
)
LENGTHS = (
    b"+%d", b"-%d", b"0%d", b"000000000000000000%d", b"0000000000000000000%d", b"00000000000000000000000%d",
    b"%d ", b" %d\t", b"%d,%d", b"%d, %d", b"%d ,\t%d ,%d", b"%d,", b",%d", b"%d, 7", b"%d.0", b"0x%x", b"%x",
    b"1_%d", b"%d\x0b", b"\x0c%d", b"%d,\x0c%d", b"%d,\xa0%d", b"%d\xb2", b"\xd9\xa3", b"%d;", b"%d %d",
    b'"%d"', b"", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616",
    b"99999999999999999999", b"100000000000000000000", b"1%018d", b"\r\n %d", b"%d\r\n ", b"%d\r\n ,%d",
    b"%d\r\n 0",
)
CONNECTIONS = (
    b"keep-alive", b"Keep-Alive", b"close", b"Close", b"CLOSE", b"x, close", b"close ,x", b" close\t",
    b"x\t,\tclose\t,y", b"close,close", b",close,,", b"closed", b"xclose", b"close x", b"clo se", b'"close"',
    b"close;x", b"close\x0b", b"\xa0close", b"clo\x00se", b"x\r\n close", b"clo\r\n se", b"keep-alive, Upgrade",
    b"upgrade", b"",
)
KEEPALIVES = (
    b"timeout=5", b"timeout=5, max=100", b"max=100, timeout = 7", b"Timeout=0", b"timeout=007",
    b"timeout=5;max=3", b"timeout=999999999", b"timeout=9999999999", b"timeout=5.5", b"timeout=-1",
    b"timeout=x", b'timeout="5"', b"xtimeout=5", b"timeouts=5", b"max=5", b"5", b"timeout=1, timeout=2",
    b"x timeout=3", b"timeout =\t4", b"timeout=\xb2", b"timeout=", b"",
)
ENCODINGS = (b"gzip", b"GZIP", b"gzip, br", b"br,gzip", b"identity", b"x-\xff", b"", b" gzip ", b"gzip,,", b"zstd\t")
OTHERS = (
    b"Upgrade: h2c", b"Trailer: X", b"Content-Length-X: 5", b"X-Content-Length: 5",
    b"Transfer-Encoding-X: chunked", b"X-Transfer-Encoding: chunked", b"TE: chunked", b"Connection-X: close",
    b"Proxy-Connection: close", b"Content_Length: 5", b"Keep-Alive-X: timeout=5", b"Content-Range: bytes 0-1/2",
    b"Location: http://a/?b#c",
)
CONTENTS = (
    b"", b"a", b"hello", b"\r\n", b"0\r\n\r\n", b"\n", b"a\r\nb\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
    b"5\r\nhello\r\n", b"x" * 15, b"x" * 16, b"y" * 17, b"z" * 300, bytes(range(256)),
)
SIZES = (
    b"%X\r\n", b"0%x\r\n", b"00000000%x\r\n", b"000000000000000%x\r\n", b"0000000000000000%x\r\n",
    b"00000000000000000000%x\r\n", b"%x;\r\n", b"%x;a=b\r\n", b'%x;a="b;c"\r\n', b'%x;a="b\r\n', b"%x ;a\r\n",
    b"%x;a\x00\r\n", b"%x;a\rb\r\n", b"%x;a\nb\r\n", b"%x \r\n", b"%x\t \r\n", b" %x\r\n", b"\t%x\r\n", b"%x\n",
    b"%x\r\r\n", b"%x\r", b"%x", b"0x%x\r\n", b"+%x\r\n", b"-%x\r\n", b"%x_0\r\n", b"%xg\r\n", b"%x\x0b\r\n",
    b"%x\x00\r\n", b"%x\xa0\r\n", b"\r\n%x\r\n", b"\r\n", b"\n", b"ffffffffffffffff\r\n",
    b"8000000000000000\r\n", b"7fffffffffffffff\r\n", b"10000000000000000\r\n", b"%x;" + b"e" * 50 + b"\r\n",
)
CHUNK_ENDS = (b"", b"\n", b"\r", b"\n\r", b"\r\r\n", b"\n\n", b" \r\n", b"\r\n\r\n", b"x\r\n", b"\rx", b"\r\n ")
TRAILERS = (
    b"X: y\r\n\r\n", b"X: y\r\nX: z\r\nY:\r\n\r\n", b"Content-Length: 5\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n", b"Transfer-Encoding: x\r\n\r\n", b"Connection: close\r\n\r\n",
    b"X: y\n\n", b"X: y\r\n\n", b"\n", b"\r", b"", b"X: y\r\n a\r\n\r\n", b" a\r\n\r\n", b"bad\r\n\r\n",
    b"X : y\r\n\r\n", b"X: \x00\r\n\r\n", b"\r\r\n\r\n", b" \r\n\r\n", b"X: " + b"t" * 60 + b"\r\n\r\n",
)
ENDS = (
    b"0;x\r\n", b"00\r\n", b"000000000000000\r\n", b"0000000000000000\r\n", b"00000000000000000\r\n", b"0 \r\n",
    b"0\n",
)
SURPLUS = (
    b"\r\n", b"\n", b"x", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 20",
)
INTERIMS = (
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 P\r\nX: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n", b"HTTP/1.1 100\n\n",
    b"HTTP/1.1 199 \r\nConnection: close\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.0 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
)
FRAMINGS = ("both", "twice", "unlike", "coded twice", "end")
PUT = (
    b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b",", b"0", b"5", b"\x00", b"\xff", b"\x0b",
    b";", b"a",
)
REQUEST_FIELDS = (
    (b"Connection", b"close"), (b"Connection", b"x, CLOSE"), (b"Connection", b"keep-alive"),
    (b"Connection", b"closed"), (b"Accept", b"*/*"), (b"X", b""), (b"X-Text", b"\xff"), (b"Upgrade", b"x"),
    (b"Upgrade", b""), (b"Upgrade", b" , "), (b"Expect", b"x"), (b"HOST", b"other"),
    (b"Keep-Alive", b"timeout=1"),
)
BODY_FIELDS = (
    (b"Transfer-Encoding", b"CHUNKED"), (b"Transfer-Encoding", b"chunked"), (b"content-length", b"5"),
    (b"Content-Length", b"005"), (b"Content-Length", b"0"), (b"Content-Length", b"10"),
    (b"Content-Length", b"99999999999999999999"), (b"Expect", b"100-Continue"),
)
SMUGGLED = (
    (b"Host", b"again"), (b"host", b""), (b"X", b"a\nb"), (b"X", b"a\r\nY: z"), (b"X", b" a"), (b"X", b"a "),
    (b"X", b"a\x00"), (b"X", b"a\x0b"), (b"X", b"\x7f\x01"), (b"X y", b"a"), (b"", b"a"), (b"X:", b"a"),
    (b"X\n", b"a"), (b"Content-Length", b"5, 5"), (b"Content-Length", b"5"), (b"Content-Length", b"6"),
    (b"Content-Length", b"+5"), (b"Content-Length", b""), (b"Content-Length", b"123456789012345678901"),
    (b"Transfer-Encoding", b"gzip"), (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"Chunked"),
    (b"Connection", b"close"),
)
METHODS = ("GET", "GET", "GET", "HEAD", "HEAD", "DELETE", "OPTIONS", "brew", "connect", "head")
SENT_AS = ("G T", "", "GET\n", "GET:", "CONNECT", "HEAD")
PIECES = (b"", b"a", b"hello", b"\r\n", b"0\r\n\r\n", b"x" * 300)
TARGETS = ("*", "/x", "http://other/y?z", "h:443")
DAMAGES = (0,) * 8 + (1, 1, 1, 2)
