from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from plum_hub.records import Preference
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.view_tables import dpo_tables, kto_table, sft_table
from plum_hub.release.views import dpo_rows, kto_rows, sft_rows
from tests.release.rows import CHAT, preference, tables


def suite_rows(suite: str, chosen: int, rejected: int) -> list[Preference]:
    return [preference(f"{suite}-{n:02}", label=n < chosen, suite=suite) for n in range(chosen + rejected)]


def test_kto_keeps_every_row_and_sft_the_chosen_ones() -> None:
    rows = suite_rows("s1", 2, 1)
    assert [row["label"] for row in kto_rows(rows)] == [True, True, False]
    assert [row["sample_id"] for row in sft_rows(rows)] == ["s1-00", "s1-01"]
    assert next(kto_rows(rows)) == {
        "prompt": "def add(a, b):\n",
        "completion": "    return a + b  # s1-00\n",
        "label": True,
        "instruction_id": "of-s1",
        "sample_id": "s1-00",
    }


def test_dpo_pairs_are_balanced_in_each_suite_and_use_no_sample_twice() -> None:
    rows = suite_rows("a", 7, 3) + suite_rows("b", 2, 9) + suite_rows("c", 4, 0)
    pairs = list(dpo_rows(rows, PreferencesConfig(seed=0)))
    assert Counter(pair["instruction_id"] for pair in pairs) == {"of-a": 3, "of-b": 2}
    used = [pair[side] for pair in pairs for side in ("chosen_sample_id", "rejected_sample_id")]
    assert len(used) == len(set(used))
    labels = {row.sample_id: row.label for row in rows}
    assert all(labels[pair["chosen_sample_id"]] and not labels[pair["rejected_sample_id"]] for pair in pairs)


def by_instruction(pairs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [pair for pair in pairs if pair["instruction_id"] == name] for name in ("of-a", "of-b")}


def test_dpo_pairs_depend_on_the_seed_and_not_on_any_order() -> None:
    a, b = suite_rows("a", 9, 5), suite_rows("b", 3, 9)
    first = by_instruction(list(dpo_rows(a + b, PreferencesConfig(seed=0))))
    assert by_instruction(list(dpo_rows(b[::-1] + a[::-1], PreferencesConfig(seed=0)))) == first
    assert by_instruction(list(dpo_rows(a, PreferencesConfig(seed=0))))["of-a"] == first["of-a"]
    assert by_instruction(list(dpo_rows(a + b, PreferencesConfig(seed=1)))) != first


def test_a_suite_whose_rows_are_apart_is_refused() -> None:
    a = suite_rows("a", 1, 1)
    with pytest.raises(ValueError, match="suite a are not next to one another"):
        list(dpo_rows([a[0], *suite_rows("b", 1, 1), a[1]], PreferencesConfig(seed=0)))


def trl_data_utils() -> Any:
    try:
        import trl.data_utils
    except (ImportError, OSError) as error:  # OSError: torch's companion libraries are of another build than torch
        pytest.skip(f"trl cannot be imported: {error}")
    return trl.data_utils


@pytest.mark.parametrize("prompt", [CHAT, "def add(a, b):\n"])
def test_trl_reads_the_rows_as_what_they_are(prompt: Any) -> None:
    trl = trl_data_utils()
    from datasets import Dataset

    rows = [preference("good", label=True, prompt=prompt), preference("bad", label=False, prompt=prompt)]
    kto, sft, [pair] = list(kto_rows(rows)), list(sft_rows(rows)), list(dpo_rows(rows, PreferencesConfig(seed=0)))
    assert all(trl.is_conversational(row) is (prompt is CHAT) for row in [*kto, *sft, pair])
    assert trl.maybe_extract_prompt(pair) is pair
    paired = Dataset.from_list([pair]).select_columns(["prompt", "chosen", "rejected"])
    assert list(trl.unpair_preference_dataset(paired)) == [
        {key: row[key] for key in ("prompt", "completion", "label")} for row in kto
    ]


@pytest.mark.parametrize("prompt", [CHAT, "def add(a, b):\n"])
def test_the_views_of_tables_are_those_of_rows(prompt: Any) -> None:
    rows = [
        replace(row, prompt=prompt) for row in (*suite_rows("a", 7, 3), *suite_rows("b", 2, 9), *suite_rows("c", 4, 0))
    ]
    [whole] = tables(rows)
    parts = [whole.slice(start, 4) for start in range(0, len(rows), 4)]  # suites go on from one table to the next
    assert [row for part in parts for row in kto_table(part).to_pylist()] == list(kto_rows(rows))
    assert [row for part in parts for row in sft_table(part).to_pylist()] == list(sft_rows(rows))
    assert [row for part in dpo_tables(parts, PreferencesConfig(seed=3)) for row in part.to_pylist()] == list(
        dpo_rows(rows, PreferencesConfig(seed=3))
    )


def test_suites_in_pieces_are_refused() -> None:
    rows = suite_rows("a", 1, 1) + suite_rows("b", 1, 1) + suite_rows("a", 1, 1)
    [whole] = tables(rows)
    for pairs in (
        dpo_rows(rows, PreferencesConfig()),
        dpo_tables([whole.slice(0, 3), whole.slice(3)], PreferencesConfig()),
    ):
        with pytest.raises(ValueError, match="suite a are not next to one another"):
            list(pairs)
