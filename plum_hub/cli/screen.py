"""Printing to stdout: JSON, named values, Markdown."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TextIO, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_ANY_WIDTH = 10_000
_ResultT = TypeVar("_ResultT")


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
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # else the end of a long word is cut off
    for name, value in rows:
        table.add_row(f"[bold]{escape(name)}[/bold]", escape(value))
    console().print(table)


def figures(names: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> None:
    """Print a table of figures; on a terminal that is too narrow for it, which would cut them off, each row by itself.

    Args:
        names: Names of the columns, perhaps in two lines.
        rows: The cells of each row.
        texts: How many of the first columns are texts, and none of the others.
    """
    table, listed = Table(box=None, header_style="bold", pad_edge=False), [*rows]
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number < texts else "right")
    for row in listed:
        table.add_row(*map(escape, row))
    out = console()
    if out.measure(table, options=out.options.update(width=_ANY_WIDTH)).maximum <= out.width:
        out.print(table)
        return
    for row in listed:
        facts((name.replace("\n", " "), cell) for name, cell in zip(names, row, strict=True))
        out.print()


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
