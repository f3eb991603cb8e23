"""The numbers that the PLUM paper prints (`paper/published.yaml`), as typed records."""

from functools import cache
from importlib.resources import files
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, model_validator

from plum_hub import plain_yaml

Arm: TypeAlias = Literal["baseline", "kto", "dpo", "sft", "generator"]
"""Whose number it is: the policy before training, after each method (`kto` is what the paper calls PLUM), or, in Table
1, the generator of the suites."""
PriorTraining: TypeAlias = Literal["seen", "unseen", "none", "unknown"]
"""The paper's settings (section 4): the policy was fine-tuned on these instructions before, on others, or not at all;
`unknown` where its training data is not public or the paper does not say."""


class _Published(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedRow(_Published):
    """One model of a table, with the models it is compared with."""

    data: str
    """Instructions, by the short name of the source."""
    policy: str | None = None
    """Short name of the model, as in the recipes; None in Table 1, which measures the generator."""
    type: Literal["sft", "base"] | None = None
    """The paper's column "Type": an instruction-tuned or a base model."""
    setting: PriorTraining | None = None
    results: dict[Arm, tuple[float, ...]]
    """Per cent, in the order of the table's columns."""
    relative: dict[Arm, tuple[float, ...]] = {}
    """The paper's rows "Rel. +", as printed: gain over the baseline in per cent of it."""
    recipe: str | None = None
    """Name of the experiment that makes this row."""


class PublishedTable(_Published):
    """One table of the paper."""

    id: str
    """`table1` to `table6`."""
    title: str
    section: str
    """Section of the paper that discusses it."""
    columns: tuple[str, ...]
    """Benchmarks, difficulties of LiveCodeBench, or means (`mean_base`: MBPP and HumanEval; `mean_plus`: MBPP+ and
    HumanEval+; `mean`: all four)."""
    rows: tuple[PublishedRow, ...]
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _every_row_has_every_column(self) -> Self:
        for row in self.rows:
            for arm, values in [*row.results.items(), *row.relative.items()]:
                if len(values) != len(self.columns):
                    raise ValueError(f"{row.policy or row.data}, {arm}: {len(values)} values of {len(self.columns)}")
        return self

    def value(self, row: PublishedRow, arm: Arm, column: str) -> float | None:
        """Look a number up.

        Args:
            row: A row of this table.
            arm: Whose number.
            column: Name of the column.

        Returns:
            Per cent; None if the row does not have this arm.
        """
        values = row.results.get(arm)
        return None if values is None else values[self.columns.index(column)]


class PublishedFigure(_Published):
    """One figure of the paper, of which the text gives no numbers."""

    id: str
    title: str
    section: str
    finding: str
    """What the paper says of it."""
    recipes: tuple[str, ...] = ()
    """Experiments that make its bars."""


class PublishedResults(_Published):
    """Everything that the paper prints."""

    paper: str
    """Address of the version that the numbers are from."""
    tables: tuple[PublishedTable, ...]
    figures: tuple[PublishedFigure, ...]

    def table(self, name: str) -> PublishedTable:
        """Find a table.

        Args:
            name: `table1` to `table6`.

        Returns:
            The table.

        Raises:
            KeyError: There is no such table.
        """
        for table in self.tables:
            if table.id == name:
                return table
        raise KeyError(name)

    def of_recipe(self, recipe: str) -> tuple[PublishedTable, PublishedRow] | None:
        """Find the row that an experiment makes again.

        Args:
            recipe: Name of the experiment, such as `paper/table2/codeqwen1.5-7b-chat`.

        Returns:
            The table and the row; None if no row names this recipe.
        """
        return next(((table, row) for table in self.tables for row in table.rows if row.recipe == recipe), None)

    def of_model(self, policy: str, data: str) -> list[tuple[PublishedTable, PublishedRow]]:
        """Find all rows of a model trained on some instructions.

        Args:
            policy: Short name of the model, or the last part of its repository's name.
            data: Short name of the instructions, as `oss-instruct`.

        Returns:
            Tables and rows, in the order of the paper.
        """
        return [
            (table, row)
            for table in self.tables
            for row in table.rows
            if row.policy == policy.rpartition("/")[2].lower() and row.data == data
        ]


@cache
def published() -> PublishedResults:
    """Read the paper's numbers.

    Returns:
        All tables and figures.
    """
    text = files("plum_hub.recipes").joinpath("paper", "published.yaml").read_text(encoding="utf-8")
    return PublishedResults.model_validate(plain_yaml.load(text))
