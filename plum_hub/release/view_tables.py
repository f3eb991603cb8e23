"""The views of `plum_hub.release.views` over tables of preferences, for files of any size: the same rows in the same
order, which `verify` makes once more by the other page."""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from plum_hub.release.views import by_suite, pairs

if TYPE_CHECKING:
    import pyarrow as pa


class _PairKey(NamedTuple):
    """A preference's row in its table, and what decides about its pair."""

    row: int
    instruction_id: str
    suite_id: str
    sample_id: str
    label: bool


def kto_table(preferences: "pa.Table") -> "pa.Table":
    """As `views.kto_rows`."""
    return _answered(preferences).select(["prompt", "completion", "label", "instruction_id", "sample_id"])


def sft_table(preferences: "pa.Table") -> "pa.Table":
    """As `views.sft_rows`."""
    chosen = _answered(preferences.filter(preferences["label"]))
    return chosen.select(["prompt", "completion", "instruction_id", "sample_id"])


def dpo_tables(tables: "Iterable[pa.Table]", seed: int) -> "Iterator[pa.Table]":
    """As `views.dpo_rows`.

    Raises:
        ValueError: as `views.by_suite`.
    """
    seen: set[str] = set()
    for table in _whole_suites(tables):
        columns = (table[name].to_pylist() for name in _PairKey._fields[1:])
        places = map(_PairKey, count(), *columns)
        drawn = [pair for rows in by_suite(places, seen) for pair in pairs(rows, seed)]
        answered = _answered(table)
        better = answered.take([one.row for one, _ in drawn]) if drawn else answered.slice(0, 0)
        worse = answered.take([other.row for _, other in drawn]) if drawn else better
        yield _side_by_side(better, worse)


def _side_by_side(better: "pa.Table", worse: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    return pa.table(
        {
            "prompt": better["prompt"],
            "chosen": better["completion"],
            "rejected": worse["completion"],
            "instruction_id": better["instruction_id"],
            "chosen_sample_id": better["sample_id"],
            "rejected_sample_id": worse["sample_id"],
        }
    )


def _whole_suites(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """The same rows in tables that end where a suite does."""
    import pyarrow as pa

    begun: pa.Table | None = None
    for table in tables:
        held = table if begun is None else pa.concat_tables([begun, table])
        suites = held["suite_id"].to_pylist()
        end = next((row for row in range(len(suites) - 1, 0, -1) if suites[row - 1] != suites[-1]), 0)
        begun = held.slice(end)
        if end:
            yield held.slice(0, end).combine_chunks()
    if begun is not None:
        yield begun.combine_chunks()


def _answered(preferences: "pa.Table") -> "pa.Table":
    """The same, whose completion is what the prompt is: a conversation, of one message, or plain text."""
    import pyarrow as pa

    if not pa.types.is_list(preferences.schema.field("prompt").type):
        return preferences
    texts = preferences["completion"].combine_chunks()
    roles = pa.repeat(pa.scalar("assistant"), len(texts))
    messages = pa.StructArray.from_arrays([roles, texts], names=["role", "content"])
    each = pa.ListArray.from_arrays(pa.array(range(len(texts) + 1), pa.int32()), messages)
    return preferences.set_column(preferences.schema.get_field_index("completion"), "completion", each)
