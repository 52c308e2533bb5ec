"""Child processes that never outlive the suite, each on a core of its own where the system can do that."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

GRACE = 5.0  # seconds to end when asked to


class _Interrupts:
    """Whether an interruption has to wait, and whether one does."""

    depth = 0
    pending = False


def interrupt(*_: object) -> None:
    """Handle a signal: raise KeyboardInterrupt, now or when what must not be interrupted is over."""
    if _Interrupts.depth:
        _Interrupts.pending = True
    else:
        raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """What must be done as a whole, so that no process is lost between its start and its keeper."""
    _Interrupts.depth += 1
    try:
        yield
    finally:
        _Interrupts.depth -= 1
        if _Interrupts.pending and not _Interrupts.depth:
            _Interrupts.pending = False
            raise KeyboardInterrupt


def cores() -> tuple[int, int] | None:
    """The server's core and the clients', or None where there are not two or they cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[-1]) if len(available) > 1 else None


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Processes started inside stay on this core, and so do theirs."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    command: Sequence[str], *, core: int | None = None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, whose end of a pipe is text; it has ended when the block is left."""
    process: subprocess.Popen[str] | None = None
    try:
        with uninterrupted(), on_core(core):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                env=env,
            )
        yield process
    finally:
        if process is not None:
            with uninterrupted():
                end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Ask it to end, then make it; and all its children."""
    with suppress(OSError, ValueError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def kill(process: subprocess.Popen[str]) -> None:
    """End it and its children at once."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def family(process: subprocess.Popen[str]) -> list[int]:
    """Its id and those of its children."""
    return [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
