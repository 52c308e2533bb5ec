"""The OpenAI SDK over a client: what an SDK's call costs with each library beneath it."""

from __future__ import annotations

from typing import Any

import httpx2
import trio
from openai import AsyncOpenAI

from ..app import CHAT

QUESTION: Any = [{"role": "user", "content": "Say hello."}]


class Chat:
    """Chat completions over one HTTP client, which is the caller's to close.

    :param url: of the completions.
    :param http: the client that the SDK is given.
    """

    def __init__(self, url: str, http: Any) -> None:
        base = url.removesuffix("/chat/completions")
        self._sdk = AsyncOpenAI(api_key="none", base_url=base, http_client=http, max_retries=0)

    async def ask(self) -> int:
        """One call; the length of what was answered."""
        answer = await self._sdk.chat.completions.create(model="m", messages=QUESTION)
        return len(answer.choices[0].message.content or "")


class NoNetwork(httpx2.AsyncBaseTransport):
    """Answers by itself, after one yield: what the SDK and httpx2 cost, whatever is beneath them."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer."""
        await trio.lowlevel.checkpoint()
        headers = {"content-type": "application/json", "content-length": str(len(CHAT))}
        return httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(CHAT))
