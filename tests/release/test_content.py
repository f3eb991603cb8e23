from pathlib import Path

import pyarrow as pa  # noqa: TID253
import pytest
from pyarrow import parquet  # noqa: TID253

from plum_hub.release.content import RowsDigest

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [("id", pa.string()), ("label", pa.bool_()), ("n", pa.int64()), ("cpu", pa.float64()), ("prompt", MESSAGES)]
)
ROWS = [
    {"id": "a", "label": True, "n": 1, "cpu": 0.5, "prompt": [{"role": "user", "content": "é"}]},
    {"id": None, "label": False, "n": -2, "cpu": None, "prompt": []},
    {"id": "", "label": None, "n": 3, "cpu": 1e300, "prompt": [{"role": "user", "content": None}] * 2},
    {"id": "long" * 50, "label": True, "n": None, "cpu": 0.0, "prompt": None},
]


def table(rows: list[dict[str, object]] = ROWS) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def digest(*tables: pa.Table) -> str:
    rows = RowsDigest()
    for one in tables:
        assert rows.add(one) is one
    return rows.hexdigest()


def test_it_is_the_same_however_the_rows_are_cut_and_stored(tmp_path: Path) -> None:
    whole = table()
    assert digest(*(whole.slice(start, 1) for start in range(len(ROWS)))) == digest(whole)
    assert digest(whole.slice(0, 3), whole.slice(3)) == digest(pa.concat_tables([whole.slice(0, 1), whole.slice(1)]))
    for options in ({"compression": "zstd"}, {"compression": "none", "version": "1.0", "use_dictionary": False}):
        parquet.write_table(whole, tmp_path / "rows", row_group_size=2, **options)
        assert digest(parquet.read_table(tmp_path / "rows").cast(SCHEMA)) == digest(whole)


@pytest.mark.parametrize("row", range(len(ROWS)))
@pytest.mark.parametrize(
    ("column", "value"),
    [("id", "b"), ("label", None), ("n", 7), ("cpu", 0.25), ("prompt", [{"role": "tool", "content": "é"}])],
)
def test_any_other_value_gives_another_digest(row: int, column: str, value: object) -> None:
    rows = [dict(one) for one in ROWS]
    if rows[row][column] == value:
        value = "other" if column == "id" else True
    rows[row][column] = value
    assert digest(table(rows)) != digest(table())


def test_values_do_not_run_into_their_neighbours() -> None:
    def rows(*ids: str | None) -> pa.Table:
        return table([{**ROWS[0], "id": name} for name in ids])

    found = [digest(rows(*ids)) for ids in (("ab", "c"), ("a", "bc"), ("abc", ""), ("abc", None), ("c", "ab"))]
    found += [digest(table([])), digest(table(ROWS[:3]))]
    assert len(set(found)) == len(found)
