"""A table of text, for the terminal and as Markdown."""

from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int  # so many columns on the left are words, the others numbers


def rich_grid(grid: Grid) -> Table:
    """The grid for a terminal; its title is left to the reader's eyes."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, name in enumerate(grid.header):
        if index < grid.texts:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", overflow="fold")
    for row in grid.rows:
        table.add_row(*row)
    return table


def markdown_grid(grid: Grid) -> list[str]:
    """The grid's lines in Markdown, without its title."""
    marks = ["---" if index < grid.texts else "---:" for index in range(len(grid.header))]
    header = [name.replace("\n", " ") for name in grid.header]
    return ["| " + " | ".join(cells) + " |" for cells in (header, marks, *grid.rows)]
