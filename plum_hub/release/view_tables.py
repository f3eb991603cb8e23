"""The views of `plum_hub.release.views` over Arrow tables, for releases of any size.

They give the same rows in the same order. `verify` recomputes them with the other module, so each checks the other.
"""

from collections.abc import Iterable, Iterator
from itertools import count, repeat
from typing import TYPE_CHECKING, NamedTuple

from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.views import by_suite, pairs

if TYPE_CHECKING:
    import pyarrow as pa


class _PairKey(NamedTuple):
    """The position of a preference in its table, and the columns that decide its pair."""

    row: int
    instruction_id: str
    suite_id: str
    sample_id: str
    label: bool
    completion: str


def kto_table(preferences: "pa.Table") -> "pa.Table":
    """Build the rows of config `kto`, as `views.kto_rows` does.

    Args:
        preferences: Preferences, as a table of `plum_hub.columns`.

    Returns:
        The rows, in the same order.
    """
    return _with_messages(preferences).select(["prompt", "completion", "label", "instruction_id", "sample_id"])


def sft_table(preferences: "pa.Table") -> "pa.Table":
    """Build the rows of config `sft`, as `views.sft_rows` does.

    Args:
        preferences: Preferences, as a table of `plum_hub.columns`.

    Returns:
        The rows of the chosen ones, in the same order.
    """
    chosen = _with_messages(preferences.filter(preferences["label"]))
    return chosen.select(["prompt", "completion", "instruction_id", "sample_id"])


def dpo_tables(tables: "Iterable[pa.Table]", config: PreferencesConfig) -> "Iterator[pa.Table]":
    """Build the rows of config `dpo`, as `views.dpo_rows` does.

    Args:
        tables: Preferences, as tables of `plum_hub.columns`; those of a suite next to one another.
        config: How pairs are formed, and the seed of the sampling that balances them.

    Yields:
        The rows, in tables that end with a suite.

    Raises:
        ValueError: The rows of a suite are not next to one another.
    """
    seen: set[str] = set()
    for table in _whole_suites(tables):
        columns = [table[name].to_pylist() for name in _PairKey._fields[1:-1]]
        texts = table["completion"].to_pylist() if config.pairs == "closest" else repeat("")
        keys = map(_PairKey, count(), *columns, texts)
        drawn = [pair for rows in by_suite(keys, seen) for pair in pairs(rows, config)]
        rows_as_messages = _with_messages(table)
        chosen = rows_as_messages.take([key.row for key, _ in drawn]) if drawn else rows_as_messages.slice(0, 0)
        rejected = rows_as_messages.take([key.row for _, key in drawn]) if drawn else chosen
        yield _paired(chosen, rejected)


def _paired(chosen: "pa.Table", rejected: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    return pa.table(
        {
            "prompt": chosen["prompt"],
            "chosen": chosen["completion"],
            "rejected": rejected["completion"],
            "instruction_id": chosen["instruction_id"],
            "chosen_sample_id": chosen["sample_id"],
            "rejected_sample_id": rejected["sample_id"],
        }
    )


def _whole_suites(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """Regroup rows, so that every table ends with a suite."""
    import pyarrow as pa

    remainder: pa.Table | None = None
    for table in tables:
        pending = table if remainder is None else pa.concat_tables([remainder, table])
        suites = pending["suite_id"].to_pylist()
        end = next((row for row in range(len(suites) - 1, 0, -1) if suites[row - 1] != suites[-1]), 0)
        remainder = pending.slice(end)
        if end:
            yield pending.slice(0, end).combine_chunks()
    if remainder is not None:
        yield remainder.combine_chunks()


def _with_messages(preferences: "pa.Table") -> "pa.Table":
    """Turn completions into conversations of one message where the prompts are conversations."""
    import pyarrow as pa

    if not pa.types.is_list(preferences.schema.field("prompt").type):
        return preferences
    texts = preferences["completion"].combine_chunks()
    roles = pa.repeat(pa.scalar("assistant"), len(texts))
    messages = pa.StructArray.from_arrays([roles, texts], names=["role", "content"])
    each = pa.ListArray.from_arrays(pa.array(range(len(texts) + 1), pa.int32()), messages)
    return preferences.set_column(preferences.schema.get_field_index("completion"), "completion", each)
