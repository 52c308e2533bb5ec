"""Tables of text on the terminal."""

from __future__ import annotations

from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table as Shown
from rich.text import Text

from ..simulate.reports.tables import Table

WIDTH = 120
"""Columns, where no terminal says otherwise."""

NARROW = 12
"""Columns that a heading has, where the figures below it need no more."""


def console_for(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; wide enough for a table where there is none."""
    console = Console(highlight=False, stderr=stderr)
    return console if console.is_terminal else Console(highlight=False, stderr=stderr, width=WIDTH)


def show(console: Console, table: Table) -> None:
    """Print a table, and an empty line."""
    shown = Shown(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for place, name in enumerate(table.header):
        room = max(NARROW, *(len(row[place]) for row in table.rows)) if place >= table.names else WIDTH
        shown.add_column(Text(fill(name, room)), justify="left" if place < table.names else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    console.print(shown)
    console.print()
