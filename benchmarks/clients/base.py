"""What the suite needs of a client: the same few calls of every library."""

from __future__ import annotations

import ssl
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

WAIT = 60.0
"""Seconds that a request may wait for a connection, so that a long queue is measured and not refused."""

KEEP = 120.0
"""Seconds that an idle connection is kept."""


class CannotError(Exception):
    """The library does not do what a scenario asks for. Its text says so in words for the table."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a client is set up.

    :ivar connections: its limit, in all and for one host; as many may be idle.
    :ivar cafile: the certificate authority to trust, or None.
    """

    connections: int
    cafile: str | None = None


def trust(setup: Setup) -> ssl.SSLContext:
    """The authority of the setup; with none, nobody, which costs nothing to make and nobody is asked."""
    return ssl.create_default_context(cafile=setup.cafile) if setup.cafile else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Client:
    """One library, used as its documentation says, with its timeouts on. Enter it to open it.

    :cvar package: the distribution it comes from.
    :cvar module: what a program imports to use it, or None.
    :cvar loop: the event loop it runs on: "trio" or "asyncio".
    :cvar compiled: whether it keeps its connections outside Python's memory.
    """

    package: ClassVar[str]
    module: ClassVar[str | None] = None
    loop: ClassVar[str] = "trio"
    compiled: ClassVar[bool] = False

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.stack = AsyncExitStack()

    async def open(self) -> None:
        """Open what is to be closed on leaving, by `self.stack`."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stack.__aexit__(kind, error, traceback)

    async def get(self, url: str) -> int:
        """GET; the length of the body."""
        raise CannotError("has no requests")

    async def post(self, url: str, body: bytes) -> int:
        """POST; the length of the answer."""
        raise CannotError("has no request bodies here")

    async def download(self, url: str) -> int:
        """GET, the body in pieces as they come; their length."""
        raise CannotError("has no streams here")

    async def lines(self, url: str) -> int:
        """GET, the body as lines; how many."""
        raise CannotError("has no lines")

    async def events(self, url: str) -> int:
        """GET, the body as server-sent events; how many."""
        raise CannotError("has no server-sent events")

    async def chat(self, url: str) -> int:
        """A chat completion by the OpenAI SDK; the length of what was answered."""
        raise CannotError("is under no SDK here")

    def held(self, url: str) -> AbstractAsyncContextManager[None]:
        """A response that is begun, and read to its end on leaving: one connection more."""
        raise CannotError("cannot hold a response")
