"""Requests of every form against real servers: what was sent is what arrived, and the other way round."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest
import trio

from trio_pool import Client, StatusError

from .app import COMPRESSORS, pattern, sse
from .conftest import Place

SIZES = (0, 1, 65536, 5_000_000)


async def test_a_get_arrives_and_its_answer_comes_back(client: Client, place: Place) -> None:
    response = await client.get("/echo/a%20b?x=1")
    told = response.json()
    assert (response.status_code, response.http_version) == (200, "HTTP/1.1")
    assert (told["method"], told["path"], told["query"], told["size"]) == ("GET", "/echo/a b", "x=1", 0)
    assert response.url == f"{place.base}/echo/a%20b?x=1"


async def test_the_host_field_has_the_port(client: Client, place: Place) -> None:
    headers = dict((await client.get("/echo")).json()["headers"])
    assert headers["host"] == place.base.partition("//")[2]


async def test_a_head_has_headers_and_no_body_and_keeps_the_connection(client: Client) -> None:
    response = await client.head("/bytes?size=1000")
    assert (response.status_code, response.content) == (200, b"")
    assert (await client.get("/status/200")).content == b"status"
    assert client.pool.statistics().dials == 1


@pytest.mark.parametrize("size", SIZES)
async def test_a_body_of_bytes_arrives_and_comes_back(client: Client, size: int) -> None:
    content = pattern(size)
    response = await client.post("/back", content=content)
    assert len(response.content) == size
    assert response.content == content


@pytest.mark.parametrize("size", SIZES)
async def test_a_streamed_body_arrives(client: Client, size: int) -> None:
    content = pattern(size)

    async def pieces() -> AsyncIterator[bytes]:
        yield b""  # an empty piece is not the end
        for at in range(0, size, 50_000):
            yield content[at : at + 50_000]
            await trio.lowlevel.checkpoint()

    told = (await client.put("/digest", content=pieces())).json()
    assert told == {"digest": hashlib.sha256(content).hexdigest(), "size": size}
    assert (await client.get("/status/200")).content == b"status"
    assert client.pool.statistics().dials == 1


async def test_a_streamed_body_with_a_length_arrives(client: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"p" * 1000

    response = await client.post("/echo", content=pieces(), headers={"Content-Length": "100000"})
    headers = dict(response.json()["headers"])
    assert response.json()["size"] == 100_000
    assert headers["content-length"] == "100000"


async def test_json_arrives_as_json(client: Client) -> None:
    told = (await client.post("/echo", json={"ä": [1, None, "x"]})).json()
    assert told["body"].encode("latin-1").decode() == '{"ä":[1,null,"x"]}'
    assert dict(told["headers"])["content-type"] == "application/json"


async def test_a_form_arrives_as_a_form(client: Client) -> None:
    told = (await client.post("/echo", data={"a": "1 2", "b": ["x&y", "ü"], "c": None})).json()
    assert told["body"] == "a=1+2&b=x%26y&b=%C3%BC"
    assert dict(told["headers"])["content-type"] == "application/x-www-form-urlencoded"


async def test_parameters_are_added_to_those_of_the_url(client: Client) -> None:
    told = (await client.get("/echo?a=1", params={"b": ["2 &", "ü"]})).json()
    assert told["query"] in ("a=1&b=2+%26&b=%C3%BC", "a=1&b=2%20%26&b=%C3%BC")


async def test_headers_go_round(client: Client) -> None:
    sent = {"X-Custom": 'value, with; everything "in" it', "Accept": "text/plain"}
    told = dict((await client.get("/echo", headers=sent)).json()["headers"])
    assert (told["x-custom"], told["accept"]) == tuple(sent.values())
    assert told["user-agent"].startswith("trio_pool/")
    response = await client.get("/headers")
    assert response.headers.get_list("X-Twice") == ["one", "two"]
    assert response.headers["x-latin"] == "café"
    assert response.headers["x-empty"] == ""


async def test_every_method_arrives(client: Client) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert (await client.request(method, "/echo")).json()["method"] == method


async def test_a_status_is_what_the_server_said(client: Client) -> None:
    for status in (200, 201, 204, 304, 400, 404, 429, 500, 503):
        response = await client.get(f"/status/{status}")
        assert response.status_code == status
        assert response.content == (b"" if status in (204, 304) else b"status")
    assert client.pool.statistics().dials == 1


async def test_an_error_status_raises_only_when_asked(client: Client) -> None:
    response = await client.get("/status/404")
    with pytest.raises(StatusError, match="404") as caught:
        response.raise_for_status()
    assert caught.value.status_code == 404


async def test_lines_come_as_lines(client: Client) -> None:
    async with client.stream("GET", "/chunks?count=500") as response:
        lines = [line async for line in response.iter_lines()]
    assert lines == [f"Zeile {number} ä" for number in range(500)]


async def test_chunks_come_whole(client: Client) -> None:
    async with client.stream("GET", "/chunks?count=200") as response:
        raw = b"".join([piece async for piece in response.iter_raw()])
    assert raw.decode() == "".join(f"Zeile {number} ä\r\n" for number in range(200))


@pytest.mark.parametrize("cut", [1, 1000])
async def test_server_sent_events_come_as_events(client: Client, cut: int) -> None:
    async with client.stream("GET", f"/events?count=60&cut={cut}") as response:
        events = [(event.event, event.id, event.data) async for event in response.iter_events()]
    assert events == [("tick", str(number), f"first {number}\nsecond") for number in range(60)]
    assert sse(60).count(b"\r") > 100  # the stream was as awkward as it should be


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_twenty_megabytes_come_in_bounded_pieces(client: Client, framing: str) -> None:
    size, digest, largest, total = 20_000_000, hashlib.sha256(), 0, 0
    async with client.stream("GET", f"/bytes?size={size}&{framing}=") as response:
        async for piece in response.iter_bytes():
            digest.update(piece)
            largest, total = max(largest, len(piece)), total + len(piece)
    assert (total, digest.digest()) == (size, hashlib.sha256(pattern(size)).digest())
    assert 0 < largest <= 262_144
    assert (await client.get("/status/200")).content == b"status"
    assert client.pool.statistics().dials == 1


@pytest.mark.parametrize("coding", COMPRESSORS)
async def test_a_coded_body_is_decoded(client: Client, coding: str) -> None:
    for size in (0, 10, 1_000_000):
        url = f"/coded?coding={coding}&size={size}"
        assert (await client.get(url)).content == pattern(size)
        async with client.stream("GET", url) as response:
            pieces = [piece async for piece in response.iter_bytes()]
        assert b"".join(pieces) == pattern(size)
        assert all(len(piece) <= 262_144 for piece in pieces)


async def test_a_coded_body_can_be_had_raw(client: Client) -> None:
    async with client.stream("GET", "/coded?coding=gzip&size=1000") as response:
        raw = b"".join([piece async for piece in response.iter_raw()])
    assert raw.startswith(b"\x1f\x8b")
    assert len(raw) == int(response.headers["content-length"])


async def test_every_coding_is_offered(client: Client) -> None:
    offered = dict((await client.get("/echo")).json()["headers"])["accept-encoding"]
    assert set(COMPRESSORS) <= set(offered.replace(" ", "").split(","))


async def test_timings_tell_a_new_connection_from_a_reused_one(client: Client) -> None:
    first, second = (await client.get("/status/200")).timings, (await client.get("/status/200")).timings
    assert (first.reused, second.reused) == (False, True)
    assert first.dialled is not None
    assert second.dialled is None
    assert None not in (first.sent, first.first_byte, first.total)
