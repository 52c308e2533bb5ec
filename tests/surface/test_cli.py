"""The command `trio-pool` as its users see it: what goes to stdout, what to stderr, and the exit status."""

from __future__ import annotations

import json
import math
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import trustme

from trio_pool import PoolConfig, __version__
from trio_pool.cli.__main__ import _run, main
from trio_pool.cli.app import _timeouts, _upstream_of

from .cli_server import read_terminal, serving

COMMAND = [sys.executable, "-m", "trio_pool.cli"]


class Outcome(NamedTuple):
    status: int
    out: bytes
    err: str


Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    def run(*arguments: str) -> Outcome:
        status = main(list(arguments))
        captured = capfdbinary.readouterr()
        return Outcome(status, captured.out, captured.err.decode())

    return run


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


# ---- what goes where ----


def test_the_body_goes_to_stdout_byte_for_byte_and_the_head_to_stderr(run: Run, server: str) -> None:
    outcome = run("get", f"{server}/binary")
    assert outcome.status == 0
    assert outcome.out == bytes(range(256))
    assert lines(outcome.err)[0] == "HTTP/1.1 200 OK"
    assert "Content-Length: 256" in lines(outcome.err)


def test_quiet_leaves_the_head_out(run: Run, server: str) -> None:
    assert run("get", "-q", f"{server}/hello") == Outcome(0, b"hello\n", "")


def test_include_writes_the_head_before_the_body_and_keeps_the_cookie(run: Run, server: str) -> None:
    outcome = run("get", "-i", f"{server}/hello")
    head, _, body = outcome.out.partition(b"\n\n")
    assert head.startswith(b"HTTP/1.1 200 OK\n")
    assert b"Set-Cookie: session=secret" in head
    assert body == b"hello\n"
    assert outcome.err == ""


def test_nothing_unprintable_and_no_cookie_of_a_head_reaches_stderr(run: Run, server: str) -> None:
    outcome = run("get", f"{server}/hello")
    assert "X-Odd: a\\x9bb" in lines(outcome.err)
    assert "Set-Cookie: (not shown)" in lines(outcome.err)


def test_output_goes_to_a_file(run: Run, server: str, tmp_path: Path) -> None:
    file = tmp_path / "body"
    assert run("get", "-q", "-o", str(file), f"{server}/binary") == Outcome(0, b"", "")
    assert file.read_bytes() == bytes(range(256))


def test_a_file_that_cannot_be_written_is_one_sentence(run: Run, server: str, tmp_path: Path) -> None:
    outcome = run("get", "-q", "-o", str(tmp_path / "no" / "such"), f"{server}/hello")
    assert outcome.status == 1
    assert lines(outcome.err) == [f"Error: cannot write '{tmp_path}/no/such': No such file or directory"]


def test_verbose_shows_both_heads_the_timings_and_the_pool_without_secrets(run: Run, server: str) -> None:
    secrets = ["Authorization: Bearer s3", "X-Api-Key: s3", "Cookie: a=s3", "Proxy-Authorization: s3"]
    options = [part for secret in secrets for part in ("-H", secret)]
    outcome = run("get", "-v", *options, "-H", "X-Plain: seen", f"{server}/hello?a=b")
    assert outcome.out == b"hello\n"
    shown = lines(outcome.err)
    assert shown[0] == "> GET /hello?a=b HTTP/1.1"
    assert "> X-Plain: seen" in shown
    assert "> Authorization: (not shown)" in shown
    assert "< HTTP/1.1 200 OK" in shown
    assert "s3" not in outcome.err
    assert shown[-2].startswith("* waited ")
    assert shown[-2].endswith("; new connection")
    assert shown[-1].startswith("* pool: ")
    assert "dials 1" in shown[-1]


def test_json_writes_the_exchange_as_one_document(run: Run, server: str) -> None:
    outcome = run("get", "--json", "-H", "Authorization: s3", f"{server}/hello")
    document = json.loads(outcome.out)
    assert outcome.err == ""
    assert (document["status"], document["reason"], document["http_version"]) == (200, "OK", "HTTP/1.1")
    assert ["Set-Cookie", "session=secret"] in document["headers"]
    assert (document["body"], document["body_encoding"]) == ("hello\n", "utf-8")
    assert document["timings"]["total"] >= 0
    assert document["timings"]["reused"] is False
    assert ["Authorization", "(not shown)"] in document["request"]["headers"]


def test_json_has_a_binary_body_as_base64(run: Run, server: str) -> None:
    document = json.loads(run("get", "--json", f"{server}/binary").out)
    assert document["body_encoding"] == "base64"
    assert document["body"].startswith("AAECAwQF")


@pytest.mark.parametrize(
    ("path", "shown", "status"),
    [("hello", b"hello\r\n", 0), ("brief", b"no newline\r\n", 0), ("binary", b"", 1)],
)
def test_a_terminal_gets_no_binary_and_a_last_newline(server: str, path: str, shown: bytes, status: int) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*COMMAND, "get", "-q", f"{server}/{path}"], stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        assert read_terminal(ours) == shown
        assert process.stderr is not None
        assert process.stderr.read().startswith(b"Error: the body is binary" if status else b"")
    os.close(ours)
    assert process.returncode == status


# ---- what is sent ----


def seen(outcome: Outcome) -> dict[str, object]:
    echoed = json.loads(outcome.out)
    headers = {name.lower(): value for name, value in echoed.pop("headers").items()}
    return {**echoed, "type": headers.get("content-type"), "header": headers.get("x-a")}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"method": "GET", "body": "", "type": None}),
        (["-H", "X-A: b: c"], {"header": "b: c"}),
        (["-X", "PUT"], {"method": "PUT", "body": ""}),
        (["-d", "a=b"], {"method": "POST", "body": "a=b", "type": "application/x-www-form-urlencoded"}),
        (
            ["-d", "ä", "-X", "PUT", "-H", "content-type: text/x"],
            {"method": "PUT", "body": "ä", "type": "text/x"},
        ),
    ],
)
def test_what_the_options_say_is_sent(run: Run, server: str, options: list[str], expected: dict[str, str]) -> None:
    arrived = seen(run("get", "-q", *options, f"{server}/echo"))
    assert {name: arrived[name] for name in expected} == expected


def test_the_body_can_come_from_a_file(run: Run, server: str, tmp_path: Path) -> None:
    (tmp_path / "body").write_text("from a file")
    assert seen(run("get", "-q", "-d", f"@{tmp_path}/body", f"{server}/echo"))["body"] == "from a file"


def test_redirects_are_followed_when_asked_for(run: Run, server: str) -> None:
    assert lines(run("get", f"{server}/redirect").err)[0] == "HTTP/1.1 302 Found"
    assert run("get", "-q", "-L", f"{server}/redirect").out == b"hello\n"


@pytest.mark.parametrize("broken", ["{server}/status/503", "http://127.0.0.1:1/v1"])
def test_where_one_upstream_fails_the_next_is_asked(run: Run, server: str, broken: str) -> None:
    upstreams = ["--upstream", broken.format(server=server), "--upstream", f"{server}/echo"]
    outcome = run("get", "-v", *upstreams, "models?x=1")
    assert (outcome.status, seen(outcome)["path"]) == (0, "/echo/models?x=1")
    attempts = [line for line in lines(outcome.err) if line.startswith("* attempt")]
    assert [line.split()[2] for line in attempts] == ["1:", "2:"]
    assert ("ConnectError" if ":1/" in broken else "503") in attempts[0]
    assert "200 from" in attempts[1]
    document = json.loads(run("get", "--json", *upstreams, "/models").out)
    assert [attempt["kind"] for attempt in document["attempts"]][1:] == ["served"]


def test_the_last_upstreams_refusal_is_the_answer(run: Run, server: str) -> None:
    upstreams = ["--upstream", f"{server}/status/503", "--upstream", f"{server}/status/404"]
    assert lines(run("get", *upstreams, "x").err)[0] == "HTTP/1.1 404 Not Found"


@pytest.mark.parametrize(
    ("text", "provider", "url"),
    [
        ("anthropic", "anthropic", "https://api.anthropic.com"),
        ("https://api.openai.com/v1/", "openai", "https://api.openai.com/v1/"),
        ("http://127.0.0.1:8080/v1", "openai-compatible", "http://127.0.0.1:8080/v1"),
    ],
)
def test_an_upstream_is_a_providers_name_or_a_url(text: str, provider: str, url: str) -> None:
    upstream = _upstream_of(text, 3)
    assert (upstream.provider.name, upstream.url, upstream.priority) == (provider, url, 3)


def test_a_certificate_is_checked_unless_told_not_to(run: Run) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with serving(tls) as url:
        refused = run("get", f"{url}/hello")
        assert refused.status == 1
        assert "certificate" in refused.err
        assert run("get", "-q", "-k", f"{url}/hello") == Outcome(0, b"hello\n", "")


# ---- how it ends ----


def test_a_status_of_400_or_more_is_an_answer_unless_told_otherwise(run: Run, server: str) -> None:
    assert run("get", f"{server}/status/404").status == 0
    failed = run("get", "--fail", f"{server}/status/404")
    assert (failed.status, failed.out) == (1, b"no\n")
    assert lines(failed.err)[-1] == "Error: the server answered HTTP/1.1 404 Not Found"
    assert run("get", "--fail", f"{server}/hello").status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["get"],
        ["get", "example.org"],
        ["get", "ftp://example.org/"],
        ["get", "http://"],
        ["get", "-H", "no colon", "http://example.org/"],
        ["get", "-H", "bad name: x", "http://example.org/"],
        ["get", "-H", "a: b\r\nc: d", "http://example.org/"],
        ["get", "-X", "G T", "http://example.org/"],
        ["get", "-d", "@/no/such/file", "http://example.org/"],
        ["get", "--max-time", "0", "http://example.org/"],
        ["get", "--max-time", "nan", "http://example.org/"],
        ["get", "--connect-timeout", "-1", "http://example.org/"],
        ["get", "--no-such-option", "http://example.org/"],
        ["get", "--upstream", "example.org", "models"],
        ["get", "--upstream", "openai-compatible", "models"],
        ["get", "--upstream", "http://example.org/", "http://example.org/"],
        ["get", "--upstream", "http://example.org/", "-X", "G T", "models"],
        ["get", "--upstream", "http://example.org/", "--upstream", "anthropic", "models"],
        ["get", "--upstream", "http://example.org/", "-H", "Authorization: x", "models"],
        ["no-such-command"],
        ["demo", "--rate", "0"],
        ["demo", "--rate", "1e9"],
        ["demo", "--seconds", "nan"],
    ],
)
def test_what_cannot_be_is_refused_with_status_2(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert (outcome.status, outcome.out) == (2, b"")
    assert lines(outcome.err)[-1].startswith("Error: ")
    assert "Traceback" not in outcome.err


def test_a_full_disk_is_one_sentence(run: Run, server: str) -> None:
    outcome = run("get", "-q", "-o", "/dev/full", f"{server}/hello")
    assert (outcome.status, lines(outcome.err)) == (
        1,
        ["Error: cannot write '/dev/full': No space left on device"],
    )


def test_a_full_disk_behind_stdout_is_one_sentence(server: str) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*COMMAND, "get", "-q", f"{server}/hello"], stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr == b"Error: cannot write '-': No space left on device\n"


@pytest.mark.parametrize("output", [[], ["-o", os.devnull]])
@pytest.mark.parametrize("path", ["cut", "stuck"])
def test_a_body_that_does_not_end_is_one_sentence_and_status_1(
    run: Run, server: str, path: str, output: list[str]
) -> None:
    outcome = run("get", "-q", "--max-time", "0.5", *output, f"{server}/{path}")
    assert outcome.status == 1
    [sentence] = lines(outcome.err)
    assert sentence.startswith("Error: the server " if path == "cut" else "Error: the request's total timeout ran out ")


def test_nobody_listening_is_one_sentence_and_status_1(run: Run) -> None:
    with serving() as url:
        pass
    outcome = run("get", url)
    assert (outcome.status, outcome.out) == (1, b"")
    [sentence] = lines(outcome.err)
    assert sentence.startswith("Error: no connection to 127.0.0.1 could be made")


def test_a_reader_that_wants_no_more_ends_it_quietly(server: str) -> None:
    with subprocess.Popen(
        [*COMMAND, "get", "-q", f"{server}/endless"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_an_interrupt_ends_it_quietly(server: str) -> None:
    with subprocess.Popen(
        [*COMMAND, "get", "-q", f"{server}/stuck"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"\n"  # what follows stands on a line of its own
    assert process.returncode == 130


def test_a_large_body_needs_no_more_memory_than_a_small_one(server: str) -> None:
    program = (
        "import resource, sys; from trio_pool.cli.__main__ import _run, main; main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )

    def peak(count: int) -> int:
        arguments = ["get", "-q", "-o", os.devnull, f"{server}/large/{count}"]
        ended = subprocess.run([sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, check=True)
        return int(ended.stderr)

    assert peak(1600) - peak(16) < 20 * 1024  # KiB; the body is 100 MiB


def test_a_bound_on_the_whole_replaces_those_on_each_silence() -> None:
    limits = PoolConfig().limits_for(_timeouts(100.0, 20.0))
    assert (limits.total, limits.connection) == (100.0, 20.0)
    assert min(limits.acquire, limits.write, limits.first_byte, limits.read) == 100.0
    unbounded = PoolConfig().limits_for(_timeouts(None, None))
    assert (unbounded.total, unbounded.read, unbounded.connection) == (math.inf, 30.0, 5.0)


# ---- the extra, and the help ----


def test_what_else_is_missing_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trio_pool.cli.app")
    monkeypatch.setitem(sys.modules, "trio_pool.cli.schedule", None)
    with pytest.raises(ModuleNotFoundError, match="schedule"):
        main(["--version"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (BaseExceptionGroup("", [ValueError(), KeyboardInterrupt()]), 130),
        (ExceptionGroup("", [ValueError()]), None),
    ],
)
def test_an_interrupt_is_found_in_a_group_and_a_bug_is_not_hidden(error: BaseException, status: int | None) -> None:
    @click.command()
    def broken() -> None:
        raise error

    if status is None:
        with pytest.raises(ExceptionGroup):
            _run(broken, [])
    else:
        assert _run(broken, []) == status


@pytest.mark.parametrize("missing", ["click", "rich", "trustme"])
def test_without_the_extra_one_sentence_says_how_to_install_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in list(sys.modules):
        if name.startswith(("trio_pool.cli.", missing)):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    outcome = run("get", "http://example.org/")
    assert outcome.status == 1
    assert lines(outcome.err) == [
        "trio-pool: the command line is an extra; install it with: pip install 'trio_pool[cli]'"
    ]


def test_the_help_says_where_the_output_goes(run: Run) -> None:
    outcome = run("get", "--help")
    assert outcome.status == 0
    assert b"go to stderr" in outcome.out
    assert b"Exit status" in outcome.out


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version") == Outcome(0, f"trio-pool, version {__version__}\n".encode(), "")
