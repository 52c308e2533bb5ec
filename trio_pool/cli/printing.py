"""Tables of text on the terminal, in which no number and no word is ever cut, unless it is wider than the terminal.

Strategy. Headings may break at spaces, and after the dots and underscores of a key; an interval may stand below its
figure; nothing else of a figure breaks. A table that is too wide even so becomes several, one under the other, each
with the names of its rows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from textwrap import TextWrapper

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Shown
from rich.text import Text

from ..simulate.reports.tables import Table

WIDTH = 120
"""Columns, where neither a terminal nor `COLUMNS` says otherwise."""

NARROW = 12
"""Columns that a heading has, where the figures below it need no more and there is room."""

GAP = 2
"""Columns between two of a table."""

Widths = tuple[int, ...]


class _Prose(TextWrapper):
    """Breaks at spaces, but for those before a unit."""

    wordsep_simple_re = re.compile(r"( +(?!(?:%|m?s)(?:\W|$)))")

    def __init__(self, width: int) -> None:
        super().__init__(max(width, 1), break_on_hyphens=False)


class _Names(_Prose):
    """Breaks after the dots and underscores of a key too; those of numbers stay."""

    wordsep_simple_re = re.compile(r"( +(?!(?:%|m?s)(?:\W|$))|(?<=[a-z][._])(?=\w))")


def console_for(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, or as `COLUMNS` says; wide enough for a table where neither does."""
    console = Console(highlight=False, stderr=stderr)
    is_known = console.is_terminal or os.environ.get("COLUMNS", "").lstrip("0").isdigit()
    return console if is_known else Console(highlight=False, stderr=stderr, width=WIDTH)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a paragraph, in which no figure is parted from its unit."""
    for line in text.splitlines() or [""]:
        console.print(Text(_Prose(console.width).fill(line), style=style))


def show(console: Console, table: Table) -> None:
    """Print a table, or several that have its columns between them, and an empty line after each; nothing of one
    without rows."""
    if not table.rows:
        return
    for part, widths in _parts(table, console.width):
        console.print(_shown(part, widths))
        console.print()


def _shown(table: Table, widths: Widths) -> Shown:
    shown = Shown(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for place, (name, width) in enumerate(zip(table.header, widths, strict=True)):
        text = Text(_Names(width).fill(name))
        shown.add_column(text, justify="left" if place < table.names else "right", width=width, overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(_cell(table, place, cell, widths[place])) for place, cell in enumerate(row)))
    return shown


def _cell(table: Table, place: int, cell: str, width: int) -> str:
    if place < table.names:
        return _Names(width).fill(cell)
    return cell if cell_len(cell) <= width else "\n".join(_lines(cell))


# ---- what fits ----


def _parts(table: Table, room: int) -> list[tuple[Table, Widths]]:
    """The table as one, if one of the ways to write it fits; else as several."""
    for are_names_whole, are_cells_whole in ((True, True), (True, False), (False, False)):
        widths = _widths(table, are_names_whole, are_cells_whole)
        if _total(widths) <= room:
            names = _names(table, room - _total(widths[table.names :]))
            return [(table, (*names, *widths[table.names :]))]
    return _several(table, room)


def _several(table: Table, room: int) -> list[tuple[Table, Widths]]:
    names = _names(table, room // 2)
    left = max(room - _total(names), 1 + GAP)
    widths = [min(width, left - GAP) for width in _widths(table, False, False)]
    parts: list[list[int]] = [[]]
    for place in range(table.names, len(table.header)):
        if _total([widths[each] for each in (*parts[-1], place)]) > left:
            parts.append([])
        parts[-1].append(place)
    return [(_only(table, places), (*names, *(widths[place] for place in places))) for places in parts]


def _names(table: Table, room: int) -> Widths:
    """How wide the columns of names are: what their words need, and of what is left as much as they can use."""
    least, most = (_widths(table, is_whole, False)[: table.names] for is_whole in (False, True))
    if _total(least) > room:
        return tuple(max(min(each, room // table.names - GAP), 1) for each in least)
    found: list[int] = []
    spare = room - _total(least)
    for narrow, whole in zip(least, most, strict=True):
        found.append(min(whole, narrow + spare))
        spare -= found[-1] - narrow
    return tuple(found)


def _only(table: Table, places: Sequence[int]) -> Table:
    """The table with only these of its columns of figures."""
    kept = (*range(table.names), *places)
    rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return Table(tuple(table.header[place] for place in kept), rows, table.names)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * len(widths)


def _widths(table: Table, are_names_whole: bool, are_cells_whole: bool) -> Widths:
    return tuple(
        _name_width([name, *cells], are_names_whole)
        if place < table.names
        else _figure_width(name, cells, are_cells_whole)
        for place, (name, *cells) in enumerate(zip(table.header, *table.rows, strict=True))
    )


def _name_width(cells: Sequence[str], is_whole: bool) -> int:
    return max(_longest([cell] if is_whole else _words(cell)) for cell in cells)


def _figure_width(name: str, cells: Sequence[str], is_whole: bool) -> int:
    """Of a column of figures. Its heading has room for more than a word only where there is plenty."""
    needed = max(_longest([cell] if is_whole else _lines(cell)) for cell in cells)
    heading = min(NARROW, cell_len(name)) if is_whole else 0
    return max(needed, heading, _longest(_words(name)))


def _longest(texts: Sequence[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _words(text: str) -> list[str]:
    """The parts of a name that must not be cut."""
    return _Names(1).wordsep_simple_re.split(text)


def _lines(cell: str) -> list[str]:
    """A figure, and its interval below it."""
    estimate, bracket, interval = cell.partition(" (")
    return [estimate, f"({interval}"] if bracket else [estimate]
