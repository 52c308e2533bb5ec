"""Recorded traffic: a CSV file in the format of the Azure LLM inference traces.

Its columns are TIMESTAMP (`2023-11-16 18:15:46.6805900`), ContextTokens and GeneratedTokens; others are not looked at.
The traces are at https://github.com/Azure/AzurePublicDataset under CC-BY 4.0, described in Patel et al., "Splitwise:
Efficient Generative LLM Inference Using Phase Splitting" (ISCA 2024). Where a result from them is shown, `CITATION` is
shown too.
"""

from __future__ import annotations

import bisect
import csv
import datetime
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import attrs

from ...checks import NOT_NEGATIVE, POSITIVE
from ...errors import UsageError
from ..checks import all_of, shown
from ..makers import Maker, literal, made_by, made_from
from .arrivals import Recorded
from .distributions import as_tuple, how_many

CITATION = "Azure LLM inference traces 2023 (AzurePublicDataset, Microsoft), CC-BY 4.0"

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")

_DIGITS = 12  # a question or an answer of more tokens there is not


class Row(NamedTuple):
    """One request of a trace.

    :ivar at: seconds from the first request.
    :ivar input_tokens: the tokens of the question.
    :ivar output_tokens: the tokens of the answer.
    """

    at: float
    input_tokens: int
    output_tokens: int


@attrs.frozen
class Trace:
    """Requests in the order in which they came.

    :ivar rows: at least one.
    :ivar maker: what makes it again, or None.
    """

    rows: tuple[Row, ...] = attrs.field(converter=as_tuple, repr=how_many, validator=all_of(Row))
    maker: Maker | None = attrs.field(default=None, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.rows:
            raise UsageError("a Trace must have at least one row")

    @property
    def seconds(self) -> float:
        """When the last request came."""
        return self.rows[-1].at

    def window(self, start: float, end: float) -> Trace:
        """The requests from one moment until before another, their times counted from `start`.

        :raises UsageError: if there are none.
        """
        NOT_NEGATIVE.check("start", start)
        first, last = (bisect.bisect_left(self.rows, moment, key=lambda row: row.at) for moment in (start, end))
        if first >= last:
            raise UsageError(f"the trace has no request from {start:g} s to {end:g} s")
        part = Trace(row._replace(at=row.at - start) for row in self.rows[first:last])
        return made_from(self, part, f".window({start!r}, {literal(end)})")

    def halves(self, width: float) -> tuple[Trace, Trace]:
        """Every other window of a width, and the windows between them; each half moved together, without the gaps.

        What is found in one half can be tried on the other, which has had no part in it.

        :param width: in seconds; many times as long as an answer takes, so that few requests lose their neighbours.
        :raises UsageError: if a half has no requests.
        """
        POSITIVE.check("width", width)
        halves: tuple[list[Row], list[Row]] = ([], [])
        for row in self.rows:
            number = int(row.at // width)
            halves[number % 2].append(row._replace(at=row.at - (number + 1) // 2 * width))
        first, second = (
            made_from(self, Trace(half), f".halves({width!r})[{place}]") for place, half in enumerate(halves)
        )
        return first, second

    def arrivals(self) -> Recorded:
        """When its requests came."""
        return made_from(self, Recorded(row.at for row in self.rows), ".arrivals()")


def read(path: str | os.PathLike[str]) -> Trace:
    """The trace in a file.

    :raises UsageError: for what is no such trace, with the line and the column.
    :raises OSError: if it cannot be read.
    """
    name = os.fspath(path)
    with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        trace = parse(_only_text(lines, name), name=name)
    return made_by(trace, __name__, f"read({os.path.abspath(name)!r})")


def _only_text(lines: Iterable[str], name: str) -> Iterator[str]:
    """The lines, of which none has bytes that are no UTF-8: those were read as surrogates."""
    for number, line in enumerate(lines, 1):
        try:
            line.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{name}, line {number}: it is no text in UTF-8, as a CSV file should be") from None
        yield line


def parse(lines: Iterable[str], *, name: str = "the trace") -> Trace:
    """The trace in these lines of CSV, of which the first has the columns' names.

    :param name: what an error calls it.
    :raises UsageError: for what is no such trace, with the line and the column.
    """
    return Trace(_Reader(lines, name).rows())


class _Reader:
    """One pass over the lines; it knows where it is, for the errors."""

    def __init__(self, lines: Iterable[str], name: str) -> None:
        self._cells = csv.reader(lines)
        self._name = name
        self._first: datetime.datetime | None = None
        self._before = 0.0

    def rows(self) -> Iterator[Row]:
        lines = self._lines()
        header = next(lines, list[str]())
        places = [self._place(header, column) for column in _COLUMNS]
        for cells in lines:
            if cells:
                time, *tokens = (
                    self._cell(cells, place, column) for place, column in zip(places, _COLUMNS, strict=True)
                )
                yield Row(self._at(time), *map(self._count, tokens, _COLUMNS[1:]))
        if self._first is None:
            raise UsageError(f"{self._name} has no request below its first line")

    def _lines(self) -> Iterator[list[str]]:
        try:
            yield from self._cells
        except csv.Error as error:
            raise UsageError(f"{self._name}, line {self._cells.line_num}: it is no CSV ({error})") from None

    def _place(self, header: list[str], column: str) -> int:
        if column not in header:
            raise self._wrong(column, f"there is no such column among {shown(header)}")
        return header.index(column)

    def _cell(self, cells: list[str], place: int, column: str) -> str:
        if place >= len(cells):
            raise self._wrong(column, f"the line ends after {len(cells)} columns")
        return cells[place]

    def _at(self, text: str) -> float:
        try:
            time = datetime.datetime.fromisoformat(text)
            self._first = self._first or time
            at = (time - self._first).total_seconds()
        except (ValueError, TypeError):  # a time with a zone and one without cannot be compared
            raise self._wrong(_COLUMNS[0], f"{shown(text)} is no time as in the lines before") from None
        if at < self._before:
            raise self._wrong(_COLUMNS[0], f"{shown(text)} is earlier than the line before")
        self._before = at
        return at

    def _count(self, text: str, column: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
            raise self._wrong(column, f"{shown(text)} is no number of tokens")
        return int(text)

    def _wrong(self, column: str, what: str) -> UsageError:
        return UsageError(f"{self._name}, line {self._cells.line_num}, column {column}: {what}")
