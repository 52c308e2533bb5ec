"""What granian serves where there is no nginx: the same few answers, as an RSGI application."""

from __future__ import annotations

import os
from typing import Any

BODIES = {
    "/1k": b"x" * 1024,
    "/close": b"x" * 1024,
    "/post": b"ok",
    "/large": b"",  # set when it is first asked for
}
LARGE = int(os.environ.get("BENCHMARKS_LARGE", "0"))


async def app(scope: Any, protocol: Any) -> None:
    """Answer one request."""
    if scope.proto != "http":
        return
    if scope.method == "POST":
        await protocol()
    if scope.path == "/large":
        BODIES["/large"] = BODIES["/large"] or bytes(LARGE)
    headers = [("connection", "close")] if scope.path == "/close" else []
    protocol.response_bytes(200, headers, BODIES[scope.path])
