"""A process that measures one client: `python -m benchmarks.worker CLIENT`.

Its jobs are lines of JSON on its standard input, its answers lines on its standard output; it ends with its input.
"""

from __future__ import annotations

import os
import sys

from .clients import load_client
from .clients.base import CannotError
from .jobs import Job, Sample, decode_job, encode
from .measures import measure

DESCRIPTORS = 16384


def main() -> None:
    """Answer each job in turn."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    raise_descriptors()
    for line in sys.stdin:
        print(encode(answer(sys.argv[1], decode_job(line))), file=answers, flush=True)


def answer(name: str, job: Job) -> Sample:
    """What the round gave, or why it gave nothing."""
    try:
        return measure(load_client(name), job)
    except BaseException as error:
        return Sample(cannot=reason(error))


def reason(error: BaseException) -> str:
    """An error in a few words; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, CannotError):
        return str(error)
    if isinstance(error, ImportError):
        return f"is not installed: {error}"
    return f"failed: {type(error).__name__}: {error}"[:200]


def raise_descriptors() -> None:
    """Allow as many open sockets as the system does."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
