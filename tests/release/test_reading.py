from pathlib import Path

import pytest

from plum_hub.release.manifest import VerifiableManifest, read_manifest
from plum_hub.release.reading import (
    UnreadableError,
    config_files,
    instruction_of,
    read_rows,
    sample_of,
    suite_of,
    verdict_of,
)
from plum_hub.release.schemas import CONFIGS
from plum_hub.release.tree import write_tree
from tests.release.rows import MIXED, contents, judged, suite


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_tree(tmp_path / "dataset", contents())
    return tmp_path / "dataset"


def test_every_row_is_read(tree: Path) -> None:
    counts = read_manifest(tree, VerifiableManifest).counts.rows
    assert {config: sum(1 for _ in read_rows(config_files(tree, config))) for config in CONFIGS} == counts


def test_only_the_columns_that_are_needed(tree: Path) -> None:
    assert all(set(row) == {"label"} for row in read_rows(config_files(tree, "kto"), ("label",)))


def test_records_are_those_that_were_written(tree: Path) -> None:
    rows = list(read_rows(config_files(tree, "test_suites")))
    assert [(instruction_of(row), suite_of(row)) for row in rows] == [suite("s1"), suite("s2")]
    lineage = read_manifest(tree, VerifiableManifest).lineage
    rows = [row for row in read_rows(config_files(tree, "samples")) if row["suite_id"] == "s2"]
    assert [(sample_of(row), verdict_of(row)) for row in rows] == judged(MIXED, "s2")
    made = sample_of(rows[0], lineage), verdict_of(rows[0], lineage)
    assert (made[0].engine, made[1].sandbox, made[1].static_check) == ("vllm 0.32.0", "jail-1", "mypy-2.4.1")


def test_a_value_of_another_type_is_named(tree: Path) -> None:
    row = next(read_rows(config_files(tree, "samples")))
    with pytest.raises(ValueError, match="text is a NoneType"):
        sample_of({**row, "text": None})


def test_a_damaged_file_is_named(tree: Path) -> None:
    (path,) = config_files(tree, "samples")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableError, match=path.name):
        list(read_rows([path]))
