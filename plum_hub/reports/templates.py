"""Rendering of the report's templates. A missing fact is an error, never a blank (Jinja's StrictUndefined)."""

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import PurePath

from plum_hub.reasons import meaning_of
from plum_hub.records import Score
from plum_hub.reports.content import PaperRow
from plum_hub.reports.results import interval

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~])")


def render(name: str, **facts: object) -> str:
    """Render a template of this folder. Values are escaped in HTML.

    Args:
        name: Name of the template, which ends with `.html.jinja` or `.md.jinja`.
        facts: What the template names.

    Returns:
        The text.
    """
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=name.endswith(".html.jinja"),
    )  # fmt: skip
    environment.filters |= {
        "number": lambda value: "–" if value is None else f"{value:,}",
        "percent": percent,
        "share": lambda value: "–" if value is None else f"{100 * value:.1f} %",
        "signed": lambda value: "–" if value is None else f"{100 * value:+.1f}",
        "cell": cell,
        "short": short_revision,
        "base": lambda name: PurePath(str(name)).name or str(name),
    }
    environment.globals |= {"interval": interval, "cells": cells, "meaning": meaning_of, "shown_score": shown_score}
    return environment.from_string(template_text(name)).render(**facts)


def template_text(name: str) -> str:
    """Read a file of this folder.

    Args:
        name: Its name.

    Returns:
        Its text.
    """
    return files("plum_hub.reports").joinpath(name).read_text(encoding="utf-8")


def percent(part: int, whole: int) -> str:
    """Format a share of a count.

    Args:
        part: The part.
        whole: The whole.

    Returns:
        Per cent with one digit; a dash if there is no whole.
    """
    return f"{100 * part / whole:.1f} %" if whole else "–"


def cell(value: object) -> str:
    """Make text safe for a cell of a Markdown table: one line, nothing in it is markup.

    Args:
        value: The text, which may come from a model or a dataset.

    Returns:
        The text with its markup escaped.
    """
    return _MARKUP.sub(r"\\\1", " ".join(str(value).split())).replace("\\<", "&lt;").replace("\\>", "&gt;")


def short_revision(revision: str) -> str:
    """Shorten a revision for a table.

    Args:
        revision: A commit, or `sha256:…`.

    Returns:
        Its first twelve digits.
    """
    kind, colon, digits = revision.rpartition(":")
    return f"{kind}{colon}{digits[:12]}"


def cells(row: PaperRow, columns: Sequence[str]) -> list[tuple[str, str]]:
    """Format the values of a table's row.

    Args:
        row: The row.
        columns: Names of the columns.

    Returns:
        For each column the value, and its 95 % interval or an empty text.
    """
    signed = row.item == "Rel. +"
    form = "{:+.1f}" if signed else "{:.1f}"
    intervals = row.intervals or (None,) * len(columns)
    return [
        (
            "–" if value is None else _printed(value) if row.origin == "paper" else form.format(value),
            "" if value is None or between is None else f"{form.format(between[0])} to {form.format(between[1])}",
        )
        for value, between in zip(row.values, intervals, strict=True)
    ]


def _printed(value: float) -> str:
    """Return a published number with the digits that the paper prints."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def shown_score(score: Score) -> tuple[str, str]:
    """Format a score.

    Args:
        score: The score.

    Returns:
        Per cent, and the 95 % interval.
    """
    low, high = interval(score)
    return f"{100 * score.value:.1f}", f"{low:.1f} to {high:.1f}"
