"""Secrets, and everything that could tell them."""

from __future__ import annotations

import base64
from urllib.parse import quote

from trio_pool import Pool

USER, PASSWORD = "ada", "s3cret:p@ss/word"

CREDENTIALS = f"{USER}:{quote(PASSWORD, safe='')}@"
"""As they stand in a URL."""

BASIC = b"Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode())
"""As HTTP has them."""

SECRETS = (PASSWORD, quote(PASSWORD, safe=""), BASIC.decode().removeprefix("Basic "))


def words_of(error: BaseException | None) -> str:
    """All that an error says, what it came from, and what it carries."""
    words = []
    while error is not None:
        words += [str(error), repr(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(words)


def assert_silent(pool: Pool, *told: object) -> None:
    """Neither the pool nor what was told knows the password."""
    figures = pool.statistics()
    words = [repr(pool), repr(figures), *map(str, figures.origins), *map(repr, figures.origins)]
    words += [words_of(thing) if isinstance(thing, BaseException) else f"{thing!s} {thing!r}" for thing in told]
    for secret in SECRETS:
        assert secret not in "\n".join(words)
