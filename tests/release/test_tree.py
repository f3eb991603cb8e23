import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa  # noqa: TID253 - what the files under test hold
import pyarrow.parquet as pq  # noqa: TID253
import pytest

from plum_hub.errors import NothingToReleaseError, RunError
from plum_hub.release.parquet import ROWS_PER_GROUP, tables_of, write_parquet
from plum_hub.release.schemas import CONFIGS, columns, schema
from plum_hub.release.tree import with_card, write_tree
from tests.release.rows import CHAT, contents, judged, preference, suite, tables


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(folder: Path, config: str) -> list[dict[str, Any]]:
    rows = [row for path in sorted((folder / config).iterdir()) for row in pq.read_table(path).to_pylist()]
    assert isinstance(rows, list)
    return rows


def test_the_tree_is_exactly_what_the_manifest_names(tmp_path: Path) -> None:
    manifest = write_tree(tmp_path / "dataset", contents())
    files = files_of(tmp_path / "dataset")
    written = json.loads(files.pop("manifest.json"))
    assert written == json.loads(json.dumps(manifest.to_json()))
    assert {file["path"]: file["sha256"] for file in written["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in files.items()
    }
    figures = {"figures/pass_ratios.svg", "figures/verdicts.svg"}
    assert set(files) == {"README.md", "recipe.yaml"} | figures | {f"{c}/train-00000-of-00001.parquet" for c in CONFIGS}
    assert list(tmp_path.iterdir()) == [tmp_path / "dataset"]


def test_the_counts_are_those_of_the_rows(tmp_path: Path) -> None:
    manifest = write_tree(tmp_path / "dataset", contents())
    assert manifest.to_json()["counts"] == {
        "conversational": True,
        "rows": {"kto": 10, "dpo": 4, "sft": 6, "samples": 11, "test_suites": 2, "dropped": 1},
        "statuses": {"crashed": 1, "failed": 3, "passed": 6, "timed_out": 1},
        "chosen": 6,
        "rejected": 4,
        "dropped": {"preferences": {"crashed": 1}},
        "pass_ratios": [0, 0, 0, 0, 0, 1, 1, 0, 0, 0],
    }
    assert {file.path: file.rows for file in manifest.files if file.path.startswith("kto/")} == {
        "kto/train-00000-of-00001.parquet": 10
    }
    assert (tmp_path / "dataset" / "README.md").read_text() == "6 chosen, 4 rejected\n"


def test_another_card_changes_nothing_else(tmp_path: Path) -> None:
    manifest = write_tree(tmp_path / "dataset", contents())
    before = files_of(tmp_path / "dataset")
    changed = with_card(tmp_path / "dataset", manifest, "Another\n")
    after = files_of(tmp_path / "dataset")
    assert {path for path in after if after[path] != before[path]} == {"README.md", "manifest.json"}
    assert json.loads(after["manifest.json"]) == json.loads(json.dumps(changed.to_json()))
    assert with_card(tmp_path / "dataset", changed, before["README.md"].decode()) == manifest
    assert files_of(tmp_path / "dataset") == before


@pytest.mark.parametrize("prompt", [CHAT, "def add(a, b):\n"])
def test_every_config_keeps_its_schema_and_its_values(tmp_path: Path, prompt: Any) -> None:
    write_tree(tmp_path, contents(prompt=prompt))
    for config in CONFIGS:
        expected = schema(config, conversational=prompt is CHAT)
        assert pq.read_schema(tmp_path / config / "train-00000-of-00001.parquet").equals(expected), config
    assert all(row["prompt"] == prompt for row in table(tmp_path, "kto"))
    crashed = next(row for row in table(tmp_path, "samples") if row["status"] == "crashed")
    assert crashed["cases"] == [{"outcome": "wrong", "detail": "3", "judged": "outside"}]
    assert (crashed["sample_id"], crashed["verdict_id"], crashed["cpu_seconds"]) == ("s1-5", "v-s1-5", 0.25)
    assert [case["kind"] for case in table(tmp_path, "test_suites")[0]["cases"]] == ["call", "call", "statement"]
    assert table(tmp_path, "dropped")[0]["reason"] == "crashed"


def test_no_column_is_left_without_a_value_by_mistake(tmp_path: Path) -> None:
    """Arrow fills a missing key with null, so a renamed field would go unseen."""
    write_tree(tmp_path, contents())
    for config in CONFIGS:
        rows = table(tmp_path, config)
        for column in columns(config, conversational=True):
            assert any(row[column.name] is not None for row in rows), f"{config}.{column.name}"


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    write_tree(tmp_path / "a", contents())
    write_tree(tmp_path / "b", contents())
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_an_empty_config_is_left_out(tmp_path: Path) -> None:
    only_chosen = tables([preference("one", label=True)])
    manifest = write_tree(tmp_path, contents(preferences=only_chosen, dropped=[]))
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        "kto",
        "sft",
        "samples",
        "test_suites",
        "figures",
    }
    assert "dpo" not in manifest.counts.rows


def test_kto_neighbours_are_of_different_suites_and_the_order_follows_from_the_ids(tmp_path: Path) -> None:
    rows = [preference(f"{name}-{n}", label=n < 5, suite=f"s{name}") for name in range(200) for n in range(10)]
    write_tree(tmp_path / "a", contents(preferences=tables(rows)))
    kto = table(tmp_path / "a", "kto")
    assert sorted(row["sample_id"] for row in kto) == sorted(row.sample_id for row in rows)
    neighbours = [a["instruction_id"] == b["instruction_id"] for a, b in pairwise(kto)]
    assert sum(neighbours) < 0.05 * len(kto)
    write_tree(tmp_path / "b", contents(preferences=tables(rows[::-1])))
    assert table(tmp_path / "b", "kto") == kto


def test_many_rows_are_split_over_files(tmp_path: Path) -> None:
    tables = [pa.table({"n": list(range(start, min(start + 4, 25)))}) for start in range(0, 25, 4)]
    written = write_parquet(tmp_path / "kto", tables, rows_per_file=10)
    assert {path.name: rows for path, rows in written.items()} == {
        "train-00000-of-00003.parquet": 12,
        "train-00001-of-00003.parquet": 12,
        "train-00002-of-00003.parquet": 1,
    }
    assert [row["n"] for row in table(tmp_path, "kto")] == list(range(25))


def test_rows_are_read_as_they_are_needed() -> None:
    read: list[int] = []
    rows = ({"n": read.append(n) or n} for n in range(3 * ROWS_PER_GROUP))
    tables = tables_of(rows, pa.schema([("n", pa.int64())]))
    assert next(tables).num_rows == ROWS_PER_GROUP == len(read)


def test_a_tree_is_complete_or_absent(tmp_path: Path) -> None:
    def broken() -> Iterator[Any]:
        [(sample, verdict)] = judged(["passed"])
        yield tables([sample])[0], tables([verdict])[0]
        raise RuntimeError("the reader broke")

    with pytest.raises(RuntimeError):
        write_tree(tmp_path / "dataset", contents(samples=broken()))
    assert not (tmp_path / "dataset").exists()
    write_tree(tmp_path / "dataset", contents())
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_a_tree_written_again_keeps_nothing_of_the_old_one(tmp_path: Path) -> None:
    write_tree(tmp_path / "dataset", contents())
    write_tree(tmp_path / "dataset", contents(dropped=[]))
    assert not (tmp_path / "dataset" / "dropped").exists()


def test_nothing_to_release_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(NothingToReleaseError, match="no instruction has a chosen sample"):
        write_tree(tmp_path / "dataset", contents(preferences=[]))
    assert not list(tmp_path.iterdir())


def test_preferences_that_can_be_read_only_once_are_refused(tmp_path: Path) -> None:
    rows = contents().preferences
    with pytest.raises(ValueError, match="read only once"):
        write_tree(tmp_path / "dataset", contents(preferences=iter(rows)))


def test_a_folder_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="other files than a release"):
        write_tree(tmp_path, contents())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="run the same command again"):
        write_tree(tmp_path / "file" / "dataset", contents())


def test_paths_of_this_machine_are_not_published(tmp_path: Path) -> None:
    plain = contents()
    policy = replace(plain.lineage.policy, identity=replace(plain.lineage.policy.identity, model="/secret/place/model"))
    lineage = replace(plain.lineage, policy=policy, sources=(replace(plain.lineage.sources[0], name="/secret/tasks"),))
    instruction, cases = suite()
    suites = [(replace(instruction, source="/secret/tasks"), cases, {})]
    write_tree(tmp_path / "dataset", replace(plain, lineage=lineage, suites=suites))
    manifest = (tmp_path / "dataset" / "manifest.json").read_text()
    assert json.loads(manifest)["lineage"]["policy"]["identity"]["model"] == "model"
    assert table(tmp_path / "dataset", "test_suites")[0]["source"] == "tasks"
    assert "/secret" not in manifest
