"""The tree of errors: its branches, its sentences, and what survives copying."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
from typing import Any

import pytest

import trio_pool
from trio_pool import Origin, StatusError, TrioPoolError, errors

TREE = {
    "AddressRefused": "ConnectError",
    "CertificateRefused": "TLSError",
    "ConnectError": "TrioPoolError",
    "ConnectTimeout": "TrioPoolError TimeoutError",
    "DecodingError": "TrioPoolError ValueError",
    "LimitExceeded": "TrioPoolError",
    "LocalProtocolError": "TrioPoolError",
    "PoolClosed": "TrioPoolError",
    "PoolFull": "TrioPoolError",
    "PoolTimeout": "TrioPoolError TimeoutError",
    "ProxyError": "ConnectError",
    "QuotaExceeded": "StatusError",
    "RateLimited": "TrioPoolError",
    "ReadError": "TrioPoolError",
    "ReadTimeout": "TrioPoolError TimeoutError",
    "RemoteProtocolError": "TrioPoolError",
    "StatusError": "TrioPoolError",
    "StreamFailed": "TrioPoolError",
    "StreamIncomplete": "TrioPoolError",
    "TLSError": "ConnectError",
    "TooManyRedirects": "TrioPoolError",
    "TotalTimeout": "TrioPoolError TimeoutError",
    "TrioPoolError": "Exception",
    "UnsupportedProtocol": "TrioPoolError",
    "UsageError": "TrioPoolError ValueError",
    "WriteError": "TrioPoolError",
    "WriteTimeout": "TrioPoolError TimeoutError",
}
KINDS = [getattr(errors, name) for name in TREE]
HERE = Origin("https", "api.example", 8443)


def make(kind: type[TrioPoolError], **circumstances: Any) -> TrioPoolError:
    if issubclass(kind, StatusError):
        circumstances["status_code"] = 503
    return kind("it broke", **circumstances)


def full(kind: type[TrioPoolError]) -> TrioPoolError:
    return make(
        kind,
        origin=HERE,
        phase="reading the response",
        elapsed=1.23456,
        advice="Mend it.",
        may_have_been_processed=True,
    )


def test_the_tree_is_the_one_that_was_promised() -> None:
    kinds = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert {name: " ".join(base.__name__ for base in kind.__bases__) for name, kind in kinds.items()} == TREE


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_public_and_says_what_it_means(kind: type[TrioPoolError]) -> None:
    assert getattr(trio_pool, kind.__name__) is kind
    assert kind.__name__ in trio_pool.__all__
    assert kind.__doc__ is not None
    assert kind.__doc__.endswith((".", ".\n    "))
    assert not hasattr(builtins, kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_catches_by_what_it_is_catches_it(kind: type[TrioPoolError]) -> None:
    assert issubclass(kind, TrioPoolError)
    assert issubclass(kind, TimeoutError) == kind.__name__.endswith("Timeout")
    assert issubclass(kind, ValueError) == (kind in {errors.DecodingError, errors.UsageError})


@pytest.mark.parametrize("kind", KINDS)
def test_the_sentence_has_origin_phase_and_seconds(kind: type[TrioPoolError]) -> None:
    assert str(full(kind)) == (
        "it broke (to https://api.example:8443, while reading the response, after 1.235 s)."
        " The server may have processed the request. Mend it."
    )


@pytest.mark.parametrize(
    ("circumstances", "sentence"),
    [
        ({}, "it broke."),
        ({"origin": HERE}, "it broke (to https://api.example:8443)."),
        ({"phase": "connecting"}, "it broke (while connecting)."),
        ({"elapsed": 0.0}, "it broke (after 0.000 s)."),
        ({"phase": "connecting", "elapsed": 2.0}, "it broke (while connecting, after 2.000 s)."),
        ({"advice": "Mend it."}, "it broke. Mend it."),
        ({"may_have_been_processed": True}, "it broke. The server may have processed the request."),
        ({"origin": Origin("http", "h", 80, uds="/run/s")}, "it broke (to http://h:80 over /run/s)."),
    ],
)
def test_the_sentence_leaves_out_what_is_not_known(circumstances: dict[str, Any], sentence: str) -> None:
    assert str(TrioPoolError("it broke", **circumstances)) == sentence


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_presumed_harmless_and_unplaced(kind: type[TrioPoolError]) -> None:
    error = make(kind)
    assert (error.what, error.origin, error.phase, error.elapsed, error.advice) == ("it broke", None, None, None, "")
    assert error.may_have_been_processed is False


COPIES = [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]


@pytest.mark.parametrize("duplicate", COPIES, ids=["copied", "copied deeply", "pickled"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_has_every_attribute(kind: type[TrioPoolError], duplicate: Any) -> None:
    error = full(kind)
    other = duplicate(error)
    assert type(other) is kind
    assert vars(other) == vars(error)
    assert str(other) == str(error)
    assert other.args == error.args == ("it broke",)


@pytest.mark.parametrize("kind", KINDS)
def test_the_repr_is_short_and_has_the_kind(kind: type[TrioPoolError]) -> None:
    assert repr(full(kind)).startswith(f"{kind.__name__}('it broke'")


def test_a_status_error_has_its_status() -> None:
    error = StatusError("the server answered 404", status_code=404, origin=HERE)
    assert error.status_code == 404
    assert pickle.loads(pickle.dumps(error)).status_code == 404


def test_a_timeout_has_no_errno_that_means_something_else() -> None:
    error = errors.ReadTimeout("silence", origin=HERE)
    assert error.errno is None
    assert error.strerror is None
    assert error.filename is None
