"""The rows of a training are on disk: the same rows, in the same types, in little memory."""

import json
import tracemalloc
from pathlib import Path

import pytest

from plum_hub.release.schemas import Method
from plum_hub.spool import SelectedItems
from plum_hub.training.data import read_data

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize("method", ["kto", "dpo", "sft"])
def test_memory_does_not_grow_with_the_texts(tmp_path: Path, method: Method) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.jsonl"
        with path.open("w") as file:
            for number in range(rows):
                row = {
                    "prompt": f"add {number // 4} " * 100,
                    "completion": f"{number} " * 600,
                    "label": number % 2 == 0,
                }
                file.write(json.dumps(row) + "\n")
        tracemalloc.start()
        try:
            data = read_data(str(path), method, "auto")
            assert len(data.rows) == (rows if method == "kto" else rows // 2)
            assert len(data.digest()) == 64
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(8)  # imports
    assert peak(3_000) - peak(1_000) < 2_000 * 1_000  # a row is 4,000 bytes


def test_rows_for_a_trainer_have_the_columns_of_all_chunks(tmp_path: Path) -> None:
    from datasets import Dataset

    from plum_hub.training.trainer import on_disk

    def turns(number: int) -> list[dict[str, str]]:
        asked = {"role": "user", "content": f"add {number}"}
        return [asked, {"role": "tool", "content": "", "name": "x"}] if number > 11_000 else [asked]

    rows = [
        {
            "prompt": turns(number),
            "completion": [{"role": "assistant", "content": "a"}],
            "label": number % 2 == 0,
            "row": str(number),
            "tools": "[]" if number > 7_000 else None,
        }
        for number in range(11_500)
    ]
    found, expected = on_disk(rows, tmp_path), Dataset.from_list(rows)
    assert {key: one for key, one in found.features.items() if key != "prompt"} == {
        key: one for key, one in expected.features.items() if key != "prompt"
    }
    assert found.column_names == expected.column_names
    for number in (0, 4_999, 5_000, 7_001, 11_001, 11_499):
        assert found[number] == rows[number]  # no turn gets a null `name` from another, which a template may render
    assert on_disk(rows[:11_000], tmp_path).features == Dataset.from_list(rows[:11_000]).features
    assert len(found) == 11_500
    assert found.cache_files  # so that what TRL makes of them is on disk too


def test_selected_items_are_those_of_the_places() -> None:
    items = SelectedItems("abcdef", [5, 0, 0, 3])
    assert (len(items), list(items), items[-1], items[1:3]) == (4, ["f", "a", "a", "d"], "d", ["a", "a"])
    assert list(SelectedItems(items, [3, 0])) == ["d", "f"]
