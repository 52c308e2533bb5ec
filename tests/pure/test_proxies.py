"""Which proxy an origin is reached by, what a proxy's URL may say, and which addresses are public."""

from __future__ import annotations

import importlib.util
import os
import traceback
from collections.abc import Callable
from importlib.machinery import ModuleSpec

import pytest

from trio_pool import Origin, Request, UsageError, only_public, open_client, open_pool
from trio_pool._net import proxies
from trio_pool._net.proxies import Routes, parse_proxy, through
from trio_pool.urls import Proxy, target_of

SECRET = "s3cret"

# ---- a proxy's URL ----

URLS = {
    "http://proxy.test:3128": "http://proxy.test:3128",
    "http://proxy.test": "http://proxy.test:80",
    "https://proxy.test": "https://proxy.test:443",
    "socks5://proxy.test": "socks5://proxy.test:1080",
    "socks5h://proxy.test": "socks5://proxy.test:1080",
    "HTTP://Proxy.Test:3128/": "http://proxy.test:3128",
    "proxy.test:3128": "http://proxy.test:3128",
    "proxy.test": "http://proxy.test:80",
    "user:word@proxy.test:3128": "http://proxy.test:3128",
    "http://user:word@proxy.test:3128/path?query#fragment": "http://proxy.test:3128",
    "http://192.0.2.1:3128": "http://192.0.2.1:3128",
    "http://[2001:db8::1]:3128": "http://[2001:db8::1]:3128",
    "[2001:db8::1]:3128": "http://[2001:db8::1]:3128",
    "http://bücher.test:3128": "http://xn--bcher-kva.test:3128",
}


@pytest.mark.parametrize(("url", "shown"), URLS.items())
def test_a_proxys_url_is_taken_with_what_is_left_out(url: str, shown: str) -> None:
    assert str(parse_proxy(url)) == shown


@pytest.mark.parametrize(
    ("url", "authorization"),
    [
        ("http://proxy.test", None),
        ("http://ada:word@proxy.test", b"Basic YWRhOndvcmQ="),
        ("http://ada@proxy.test", b"Basic YWRhOg=="),
        ("http://ada:@proxy.test", b"Basic YWRhOg=="),
        ("http://:word@proxy.test", b"Basic OndvcmQ="),
        ("http://ada:w%6Frd@proxy.test", b"Basic YWRhOndvcmQ="),
        ("http://ada:%3A%40%2F%25@proxy.test", b"Basic YWRhOjpALyU="),
        ("http://ada:%C3%BC@proxy.test", b"Basic YWRhOsO8"),
        ("ada:word@proxy.test", b"Basic YWRhOndvcmQ="),
    ],
)
def test_user_and_password_are_taken_from_it(url: str, authorization: bytes | None) -> None:
    assert parse_proxy(url).authorization == authorization


BAD_URLS = [
    "",
    "http://",
    "://proxy.test",
    "ftp://ada:s3cret@proxy.test",
    "socks4://ada:s3cret@proxy.test",
    "unix:///run/proxy",
    "http://ada:s3cret@",
    "http://ada:s3cret@:3128",
    "http://ada:s3cret@proxy.test:port",
    "http://ada:s3cret@proxy.test:99999",
    "http://ada:s3cret@proxy.test:-1",
    "http://ada:s3cret@proxy.test:0",
    "http://ada:s3cret@[::1",
    "http://ada:s3cret@[proxy.test]:3128",
    "http://ada:s3cret@pro xy.test",
    "http://ada:s3cret@proxy.test\r\nHost: x",
    "http://ada:s3cret@proxy\0.test",
    "ada:s3cret@",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_what_is_no_proxys_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_proxy(url)
    words = [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    assert SECRET not in " ".join(words)
    assert SECRET not in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.parametrize("given", ["http://ada:s3cret@proxy.test", "https://ada:s3cret@proxy.test"])
def test_a_proxy_never_shows_its_password(given: str) -> None:
    proxy = parse_proxy(given)
    origin = Origin("https", "origin.test", 443, proxy=proxy)
    for thing in (proxy, origin):
        assert SECRET not in str(thing) + repr(thing)
        assert "ada" not in str(thing) + repr(thing)


def test_proxies_that_differ_in_their_password_are_not_interchangeable() -> None:
    one, other = (Origin("https", "h", 443, proxy=parse_proxy(f"http://{user}@p")) for user in ("a:1", "a:2"))
    assert one != other
    assert one == Origin("https", "h", 443, proxy=parse_proxy("http://a:1@p:80/"))
    assert len({one, other}) == 2


@pytest.mark.parametrize("url", ["socks5://ada:s3cret@proxy.test", "socks5h://proxy.test"])
def test_socks_without_its_extra_says_how_to_get_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], ModuleSpec | None] = importlib.util.find_spec

    def find_all_but_socksio(name: str) -> ModuleSpec | None:
        return None if name == "socksio" else find(name)

    monkeypatch.setattr(proxies, "find_spec", find_all_but_socksio)
    with pytest.raises(UsageError, match=r"pip install 'trio_pool\[socks\]'") as caught:
        parse_proxy(url)
    assert SECRET not in str(caught.value)
    assert str(parse_proxy("http://proxy.test")) == "http://proxy.test:80"


# ---- which way ----


def way(routes: Routes, url: str) -> str | None:
    """The proxy that a URL is reached by."""
    proxy = routes.of(target_of(url).origin).proxy
    return None if proxy is None else str(proxy)


def test_one_proxy_is_for_every_origin() -> None:
    routes = Routes("http://proxy.test:3128", None)
    for url in ("http://origin.test", "https://origin.test:8443", "http://127.0.0.1", "https://[::1]"):
        assert way(routes, url) == "http://proxy.test:3128"


def test_without_a_proxy_everything_is_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment counts only for those who ask for it."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test")
    routes = Routes(None, None)
    assert routes.is_direct
    assert way(routes, "http://origin.test") is None


async def test_a_proxy_and_a_unix_socket_exclude_each_other() -> None:
    for proxy in ("http://ada:s3cret@proxy.test", "environment"):
        with pytest.raises(UsageError, match="not both") as caught:
            async with open_pool(proxy=proxy, uds="/run/socket"):
                raise AssertionError("it was opened")
        assert SECRET not in str(caught.value)
        with pytest.raises(UsageError, match="not both"):
            async with open_client(proxy=proxy, uds="/run/socket"):
                raise AssertionError("it was opened")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Routes]:
    """Routes from an environment that has these variables and no others of this kind."""

    def routes(**variables: str) -> Routes:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)
        monkeypatch.delenv("REQUEST_METHOD", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Routes("environment", None)

    return routes


ENVIRONMENTS: list[tuple[dict[str, str], dict[str, str | None]]] = [
    ({}, {"http://a.test": None, "https://a.test": None}),
    ({"HTTP_PROXY": "http://p"}, {"http://a.test": "http://p:80", "https://a.test": None}),
    ({"HTTPS_PROXY": "http://p:1"}, {"http://a.test": None, "https://a.test": "http://p:1"}),
    ({"ALL_PROXY": "socks5://p"}, {"http://a.test": "socks5://p:1080", "https://a.test": "socks5://p:1080"}),
    (
        {"ALL_PROXY": "socks5://p", "HTTPS_PROXY": "http://q"},
        {"http://a.test": "socks5://p:1080", "https://a.test": "http://q:80"},
    ),
    ({"http_proxy": "http://p"}, {"http://a.test": "http://p:80"}),
    ({"HTTP_PROXY": "http://upper", "http_proxy": "http://lower"}, {"http://a.test": "http://lower:80"}),
    ({"HTTP_PROXY": "p:3128"}, {"http://a.test": "http://p:3128"}),
    ({"HTTPS_PROXY": "ada:word@p:3128"}, {"https://a.test": "http://p:3128"}),
    ({"HTTP_PROXY": ""}, {"http://a.test": None}),
    ({"HTTP_PROXY": "", "ALL_PROXY": "http://p"}, {"http://a.test": "http://p:80"}),
    ({"FTP_PROXY": "nonsense://x"}, {"http://a.test": None}),  # nobody's business here
    ({"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"}, {"http://a.test": None}),  # httpoxy: a CGI's Proxy header
    (
        {"ALL_PROXY": "http://p", "NO_PROXY": "a.test"},
        {
            "http://a.test": None,
            "https://a.test:8443": None,
            "http://A.Test": None,
            "http://sub.a.test": None,
            "http://ba.test": "http://p:80",
            "http://a.test.evil": "http://p:80",
        },
    ),
    (
        {"ALL_PROXY": "http://p", "NO_PROXY": " .a.test , B.test:8080,,192.0.2.1 "},
        {
            "http://a.test": None,
            "http://deep.sub.a.test": None,
            "http://b.test": "http://p:80",
            "http://b.test:8080": None,
            "https://b.test:8080": None,
            "http://b.test:80": "http://p:80",
            "http://192.0.2.1": None,
            "http://192.0.2.11": "http://p:80",
        },
    ),
    ({"ALL_PROXY": "http://p", "NO_PROXY": "a.test:443"}, {"https://a.test": None, "http://a.test": "http://p:80"}),
    ({"ALL_PROXY": "http://p", "NO_PROXY": "*"}, {"http://a.test": None, "https://[::1]": None}),
    ({"ALL_PROXY": "http://p", "NO_PROXY": ""}, {"http://a.test": "http://p:80"}),
    ({"ALL_PROXY": "http://p", "no_proxy": "a.test"}, {"http://a.test": None}),
    (
        {"ALL_PROXY": "http://p", "NO_PROXY": "localhost,127.0.0.1"},
        {"http://localhost:1": None, "http://127.0.0.1": None},
    ),
    ({"ALL_PROXY": "http://p", "NO_PROXY": "::1"}, {"http://[::1]": None, "http://[::1]:8080": None}),
    ({"ALL_PROXY": "http://p", "NO_PROXY": "[::1]"}, {"http://[::1]": None, "http://[::2]": "http://p:80"}),
    ({"ALL_PROXY": "http://p", "NO_PROXY": "xn--bcher-kva.test"}, {"http://bücher.test": None}),
    ({"ALL_PROXY": "http://p", "NO_PROXY": "bücher.test"}, {"http://bücher.test": None}),
]


@pytest.mark.parametrize(
    ("variables", "ways"), ENVIRONMENTS, ids=[" ".join(map("=".join, e.items())) for e, _ in ENVIRONMENTS]
)
def test_the_environment_is_honoured_when_asked_for(
    environment: Callable[..., Routes], variables: dict[str, str], ways: dict[str, str | None]
) -> None:
    routes = environment(**variables)
    assert {url: way(routes, url) for url in ways} == ways
    assert not routes.is_direct


def test_the_environment_counts_as_it_was_when_the_pool_was_opened(
    environment: Callable[..., Routes], monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = environment(HTTP_PROXY="http://p")
    monkeypatch.setenv("HTTP_PROXY", "http://other")
    monkeypatch.setenv("NO_PROXY", "*")
    assert way(routes, "http://a.test") == "http://p:80"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
def test_a_bad_value_is_refused_without_its_password(environment: Callable[..., Routes], name: str) -> None:
    with pytest.raises(UsageError) as caught:
        environment(**{name: "gopher://ada:s3cret@proxy.test"})
    assert SECRET not in str(caught.value)
    assert "gopher" in str(caught.value)
    assert name.lower() in str(caught.value).lower()  # where to look


# ---- what a request becomes ----

BY = {
    "http": Proxy("http", "p", 80, "ada", "word"),
    "https": Proxy("https", "p", 443, "ada", "word"),
    "socks5": Proxy("socks5", "p", 1080, "ada", "word"),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", BY)
def test_only_plain_http_by_an_http_proxy_names_the_whole_url(scheme: str, kind: str) -> None:
    request = Request("GET", f"{scheme}://origin.test/x?y")
    route = Origin(scheme, "origin.test", 443 if scheme == "https" else 80, proxy=BY[kind])
    sent = through(request, route)
    if scheme == "http" and kind != "socks5":
        assert sent.target == b"http://origin.test/x?y"
        assert sent.headers["proxy-authorization"] == "Basic YWRhOndvcmQ="
    else:
        assert sent is request
    assert request.target == b"/x?y"
    assert "proxy-authorization" not in request.headers


def test_what_the_caller_says_to_the_proxy_himself_counts() -> None:
    request = Request("GET", "http://origin.test/", headers={"proxy-authorization": "Bearer x"})
    sent = through(request, Origin("http", "origin.test", 80, proxy=BY["http"]))
    assert sent.headers.get_list("proxy-authorization") == ["Bearer x"]


def test_what_goes_to_the_proxy_is_never_shown() -> None:
    sent = through(Request("GET", "http://origin.test/"), Origin("http", "origin.test", 80, proxy=BY["http"]))
    assert "YWRhOndvcmQ" not in repr(sent) + repr(sent.headers)


# ---- the address policy ----

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::1%1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "2001:db8::1",
    "2001::7f00:1",
    "::127.0.0.1",
    "::10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:100.64.0.1",
    "::ffff:0.0.0.0",
    "::ffff:224.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:e000:1::1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "4000::1",
]


@pytest.mark.parametrize(
    ("address", "is_public"), [(address, True) for address in PUBLIC] + [(address, False) for address in NOT_PUBLIC]
)
def test_only_public_addresses_are_public(address: str, is_public: bool) -> None:
    assert only_public(address, 443) is is_public
    assert only_public(address.upper().replace("%ETH0", "%eth0"), 1) is is_public
