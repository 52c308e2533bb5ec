"""Files that a command writes at its end: what would fail then is told before it begins."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click

STDOUT = "-"


def check(report: str | None, document: str | None) -> None:
    """That both can be written, and are not the same. What they have now stays, until there is more to write.

    :param report: what --html says, or None.
    :param document: what --json says, or None.
    :raises click.UsageError: one cannot be written.
    """
    if report is not None and document is not None and _is_same(report, document):
        raise click.UsageError(f"the report and the JSON document cannot both go to {document!r}")
    for option, path in (("--html", report), ("--json", document)):
        if path == "":
            raise click.UsageError(f"{option} needs the name of a file, or - for stdout")
        if path is not None and path != STDOUT:
            _try(path)


def _is_same(one: str, other: str) -> bool:
    if STDOUT in (one, other):
        return one == other
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)  # by two names, perhaps
    return os.path.realpath(one) == os.path.realpath(other)


def _try(path: str) -> None:
    folder = Path(path).parent
    try:
        if not folder.is_dir():
            raise click.UsageError(f"there is no folder {str(folder)!r} for {path!r}")
        if os.path.basename(path) in ("", os.curdir) or Path(path).is_dir():  # a Path drops a slash at the end
            raise click.UsageError(f"{path!r} is a folder; a file is needed")
        _open(Path(path))
    except OSError as error:
        raise click.UsageError(f"cannot write {path!r}: {error.strerror}") from None


def _open(path: Path) -> None:
    if path.is_fifo():
        return  # who reads it would take it for empty
    if not path.exists() and _can_make(Path(os.path.realpath(path))):  # a link to nothing stays
        return
    with suppress(FileNotFoundError), open(path, "ab", buffering=0, opener=_open_what_is_there) as file:
        file.write(b"")  # a device that is full says so even to nothing


def _can_make(path: Path) -> bool:
    """Whether it could be made, and was not there. It does not stay, unless another command has written to it."""
    try:
        path.open("xb").close()
    except FileExistsError:
        return False
    with suppress(FileNotFoundError):
        if path.stat().st_size == 0:
            path.unlink()
    return True


def _open_what_is_there(path: str, flags: int) -> int:
    """Another command that tries a file has it for a moment. It must not be made again when that has unlinked it."""
    return os.open(path, flags & ~os.O_CREAT)


def write(path: str, text: str) -> None:
    """Write a text, which ends with its line's end.

    :param path: of a file, or `STDOUT`.
    :raises click.ClickException: it cannot be written.
    """
    try:
        with click.open_file(path, "w", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") else f"{text}\n")
    except OSError as error:
        raise click.ClickException(f"cannot write {path!r}: {error.strerror}") from None
