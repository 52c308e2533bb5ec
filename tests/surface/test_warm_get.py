"""What one GET costs on a connection that is there: changes of file, yields, and cancel scopes.

A change of file is a call from a function in one file of the package to a function in another. It is counted when
the called function's frame is entered for the first time: a coroutine that is resumed after an await is the same
frame, and no new call. Calls to and from what is not ours (trio, h11, this test's network) do not count.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import trio
import trio.testing

import trio_pool
from trio_pool import Client, open_client, open_pool
from trio_pool._wire.fast_codec import FastCodec

from ..client.network import ScriptedNetwork, response

PACKAGE = Path(trio_pool.__file__).parent
URL = "http://h/path"
AT_MOST = 12


def name_of(frame: FrameType) -> str | None:
    """The file and function of a frame, if it is ours."""
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(PACKAGE):
        return None
    return f"{path.relative_to(PACKAGE)} {frame.f_code.co_qualname}"


class FileChanges:
    """Counts between `start` and `stop`, in the thread that started it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._frames: set[FrameType] = set()  # keeps them, so that none is taken for another

    def start(self) -> None:
        sys.setprofile(self._note)

    def stop(self) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or frame in self._frames:
            return
        self._frames.add(frame)
        here = name_of(frame)
        there = name_of(frame.f_back) if frame.f_back is not None else None
        if here is not None and there is not None and here.split()[0] != there.split()[0]:
            self.seen.append(f"{there} -> {here}")


async def changes_of(work: Callable[[], Awaitable[object]]) -> list[str]:
    count = FileChanges()
    previous = sys.getprofile()
    count.start()
    try:
        await work()
    finally:
        count.stop()
        sys.setprofile(previous)
    return count.seen


async def warm(client: Client, url: str = URL) -> None:
    """Make the connection, and use it once again."""
    for _ in range(2):
        await client.get(url)


def listed(seen: list[str]) -> str:
    return "\n".join(f"{number:3} {change}" for number, change in enumerate(seen, 1))


async def test_a_warm_get_changes_from_file_to_file_at_most_twelve_times() -> None:
    async with open_client(network=ScriptedNetwork(lambda _: response(b"hello"))) as client:
        await warm(client)
        seen = await changes_of(lambda: client.get(URL))
        assert client.pool.statistics().reuses == 2
    assert len(seen) <= AT_MOST, f"{len(seen)} changes of file:\n{listed(seen)}"
    assert len(seen) >= 5, f"too few to be true:\n{listed(seen)}"


async def answer(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(response(b"hello") * data.count(b"\r\n\r\n"))


async def test_over_a_real_socket_it_is_no_more() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
        async with open_client() as client:
            await warm(client, url)
            seen = await changes_of(lambda: client.get(url))
            assert client.pool.statistics().reuses == 2
        nursery.cancel_scope.cancel()
    assert len(seen) <= AT_MOST, f"{len(seen)} changes of file:\n{listed(seen)}"


async def test_the_count_sees_calls_and_not_resumptions() -> None:
    async with open_client(network=ScriptedNetwork(lambda _: response(b"hello"))) as client:
        await warm(client)
        seen = await changes_of(lambda: client.get(URL))
        await client.get(URL)
        client.pool.config.limits_for(None)
        again = await changes_of(lambda: client.get(URL))
    assert seen == again
    assert not any(change.startswith("client.py Client.get ->") for change in seen)  # it calls within its file
    assert any("pool.py Pool.send" in change.split(" -> ")[1] for change in seen)
    assert len(await changes_of(trio.lowlevel.checkpoint)) == 0


# ---- yields ----


class Steps(trio.abc.Instrument):
    """Counts how often one task was taken up again."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.count = 0
        self._task = task

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self._task


async def steps_of(work: Callable[[], Awaitable[object]]) -> int:
    """How often the task that does this work yields."""
    instrument = Steps(trio.lowlevel.current_task())
    trio.lowlevel.add_instrument(instrument)
    try:
        await work()
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return instrument.count


@contextlib.contextmanager
def counting_scopes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[trio.CancelScope]]:
    entered: list[trio.CancelScope] = []
    enter = trio.CancelScope.__enter__

    def count(scope: trio.CancelScope) -> Any:
        entered.append(scope)
        return enter(scope)

    with monkeypatch.context() as patch:
        patch.setattr(trio.CancelScope, "__enter__", count)
        yield entered


async def test_a_warm_get_yields_once_and_opens_no_cancel_scope(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_client(network=ScriptedNetwork(lambda _: response(b"hello"))) as client:
        await warm(client)
        with counting_scopes(monkeypatch) as scopes:
            assert await steps_of(lambda: client.get(URL)) == 1
            mock_clock.jump(0.5)
            assert await steps_of(lambda: client.get(URL)) == 1
    assert scopes == []


async def test_a_warm_get_that_must_wait_does_so_once_and_opens_no_cancel_scope(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ScriptedNetwork([response(b"1"), response(b"2"), []])
    async with open_client(network=network) as client, trio.open_nursery() as nursery:
        await warm(client)

        async def serve() -> None:
            await trio.testing.wait_all_tasks_blocked()
            network.connections[0].send(response(b"3"))

        nursery.start_soon(serve)
        with counting_scopes(monkeypatch) as scopes:
            assert await steps_of(lambda: client.get(URL)) == 1
    assert scopes == []


async def test_a_connection_that_is_idle_is_had_without_a_yield(mock_clock: trio.testing.MockClock) -> None:
    origin = trio_pool.Origin("http", "h", 80)
    async with open_pool(network=ScriptedNetwork(lambda _: response())) as pool:
        await pool.prewarm(origin, 1)
        mock_clock.jump(5)

        async def acquire() -> None:
            lease = await pool.acquire(origin)
            lease.release(reusable=True)

        assert await steps_of(acquire) == 0
        assert pool.statistics().dials == 1


async def test_a_waiter_waits_once(mock_clock: trio.testing.MockClock) -> None:
    origin = trio_pool.Origin("http", "h", 80)
    config = trio_pool.PoolConfig(max_connections=1)
    async with open_pool(config, network=ScriptedNetwork([])) as pool, trio.open_nursery() as nursery:
        held = await pool.acquire(origin)
        counts = []

        async def wait() -> None:
            async def acquire() -> None:
                (await pool.acquire(origin)).release(reusable=True)

            counts.append(await steps_of(acquire))

        for _ in range(3):
            nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert pool.statistics().waiting == 3
        held.release(reusable=True)
    assert counts == [1, 1, 1]


def test_the_count_of_yields_can_fail() -> None:
    async def main() -> None:
        assert await steps_of(trio.lowlevel.checkpoint) == 1
        assert await steps_of(trio.lowlevel.checkpoint_if_cancelled) == 0

    trio.run(main)


# ---- system calls, and what the codec says ----


class CountingStream:
    """A stream of the script's, every call of which is noted; each would be one system call."""

    def __init__(self, stream: trio_pool.Stream, calls: list[str]) -> None:
        self._stream = stream
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        self._calls.append(name)
        return getattr(self._stream, name)


class CountingNetwork(ScriptedNetwork):
    """Notes what is done with its streams."""

    calls: list[str]

    async def connect(self, address: tuple[str, int]) -> Any:
        self.calls = []
        return CountingStream(await super().connect(address), self.calls)


async def test_a_warm_get_makes_one_call_of_each_kind() -> None:
    network = CountingNetwork(lambda _: response(b"hello"))
    async with open_client(network=network) as client:
        await warm(client)
        network.calls.clear()
        await client.get(URL)
        names = [name for name in network.calls if name != "__bool__"]
    assert names == ["send_nowait", "wait_readable", "recv_nowait"]  # beside the look whether it is still alive


async def test_a_warm_get_is_three_events_of_one_visit_to_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    visits: list[list[str]] = []
    feed = FastCodec.feed

    def count(codec: FastCodec, data: bytes) -> Any:
        events = feed(codec, data)
        visits.append([type(event).__name__ for event in events])
        return events

    async with open_client(network=ScriptedNetwork(lambda _: response(b"hello"))) as client:
        await warm(client)
        monkeypatch.setattr(FastCodec, "feed", count)
        await client.get(URL)
    assert visits == [["Head", "bytes", "End"]]


class CountingSocket(socket.socket):
    """Counts its system calls."""

    sends = receives = 0

    def send(self, *arguments: Any) -> int:
        CountingSocket.sends += 1
        return super().send(*arguments)

    def recv(self, *arguments: Any) -> bytes:
        CountingSocket.receives += 1
        return super().recv(*arguments)


async def test_over_a_socket_a_warm_get_is_one_send_and_one_receive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", CountingSocket)  # trio calls the class that it found at its import
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        async with open_client() as client:
            url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
            await warm(client, url)
            CountingSocket.sends = CountingSocket.receives = 0
            await client.get(url)
            assert (CountingSocket.sends, CountingSocket.receives) == (1, 1)
        nursery.cancel_scope.cancel()
