"""Files that a command writes at its end: what would fail then is told before it begins."""

from __future__ import annotations

import os
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
    return os.path.realpath(one) == os.path.realpath(other)


def _try(path: str) -> None:
    if not Path(path).parent.is_dir():
        raise click.UsageError(f"there is no folder {str(Path(path).parent)!r} for {path!r}")
    if Path(path).is_dir():
        raise click.UsageError(f"{path!r} is a folder; a file is needed")
    try:
        _open(Path(path))
    except OSError as error:
        raise click.UsageError(f"cannot write {path!r}: {error.strerror}") from None


def _open(path: Path) -> None:
    if path.is_fifo():
        return  # who reads it would take it for empty
    is_there = path.exists()
    where = path if is_there else Path(os.path.realpath(path))  # a link to nothing stays
    with where.open("ab", buffering=0) as file:
        file.write(b"")  # a device that is full says so even to nothing
    if not is_there:
        where.unlink()


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
