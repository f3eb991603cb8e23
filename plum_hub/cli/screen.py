"""Printing to stdout: JSON, named values, tables, Markdown.

A terminal gets what fits its width, and nothing is cut off: long values go on in the next line, and a table that does
not fit is printed row by row. A pipe gets whole lines, however long, for `grep` and for commands that are copied.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TextIO, TypeVar

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_ResultT = TypeVar("_ResultT")
_GAP = 2
"""Spaces between two columns."""
_LEAST = 20
"""Characters that the last column needs, or those of its longest word: where less is left, each row is a block."""


def show(result: _ResultT, table: Callable[[_ResultT], None], *, as_json: bool) -> None:
    """Print a command's result.

    Args:
        result: A dataclass, with `as_json` where its JSON is not simply its fields.
        table: Prints it for people.
        as_json: Whether to print it as one JSON object instead.
    """
    if as_json:
        echo_json(result.as_json() if hasattr(result, "as_json") else asdict(result))  # type: ignore[call-overload]
    else:
        table(result)


def echo_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object.

    Args:
        values: The object.
    """
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print named values, one per line.

    Args:
        rows: Names and values.
    """
    _print_rows([(Text(name, "bold"), Text(value)) for name, value in rows])


def table(names: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
    """Print a table, of which only the last column may be long.

    Args:
        names: The columns.
        rows: The cells of each row.
        right: Columns that are aligned to the right, as numbers are.
    """
    cells = [tuple(row) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    room = console().width - sum(widths[:-1]) - _GAP * (len(names) - 1)
    longest = max((cell_len(word) for row in (names, *cells) for word in row[-1].split()), default=0)
    if is_terminal(sys.stdout) and room < min(longest, _LEAST):
        for first, *others in cells:
            known = [(name, value) for name, value in zip(names[1:], others, strict=True) if value]
            facts([(names[0], first), *((f"  {name}", value) for name, value in known)])
        return
    lines = [tuple(map(Text, row)) for row in cells]
    _print_rows([tuple(Text(name, "bold") for name in names), *lines], [name in {*right} for name in names])


def _print_rows(rows: Sequence[Sequence[Text]], right: Iterable[bool] = (False, False)) -> None:
    """Print aligned columns, of which the last may go on in further lines."""
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for is_right in right:
        grid.add_column(justify="right" if is_right else "left", no_wrap=True, overflow="fold")
    grid.columns[-1].no_wrap = False
    for row in rows:
        grid.add_row(*row)
    if is_terminal(sys.stdout):
        console().print(grid)
        return
    out = Console(width=sum(max(line.cell_len for line in column) + _GAP for column in zip(*rows, strict=True)) or 1)
    with out.capture() as captured:
        out.print(grid)
    click.echo("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()), nl=False)


def show_markdown(text: str) -> None:
    """Print Markdown, rendered as far as a terminal can.

    Args:
        text: The Markdown.
    """
    from rich.markdown import Markdown

    console().print(Markdown(text))


def console() -> Console:
    """Return the console of stdout; a pipe has no width, so tables get one of 160 columns."""
    return Console() if is_terminal(sys.stdout) else Console(width=160)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal.

    Args:
        stream: `sys.stdout` or `sys.stderr`; None if its descriptor was closed, as by `>&-`.

    Returns:
        Whether it is; False for None.
    """
    return stream is not None and stream.isatty()
