"""Versions follow what a release holds, and nothing else."""

from typing import Any

import pytest

from plum_hub.release.versions import following, newest_first


def manifest(*, rows: str = "r", card: str = "c", columns: dict[str, Any] | None = None) -> dict[str, Any]:
    tables = [{"path": "kto/train.parquet", "sha256": rows, "rows": 3}]
    files = [*tables, {"path": "README.md", "sha256": card, "rows": None}]
    return {"files": files, "columns": {"kto": {"prompt": "string"}} if columns is None else columns}


def test_versions_are_numbers_and_other_tags_are_none() -> None:
    assert newest_first(["v1.9.0", "v1.10.0", "latest", "v2.0", "v1.0.0-rc1", "1.2.3"]) == ["v1.10.0", "v1.9.0"]


def test_what_is_found_is_a_tag_that_there_is() -> None:
    tags = ["v2026.01.05", "v1.0.0", "v1.00.1", "v0.10.0", "v\u0661.0.0"]
    assert newest_first(tags) == ["v1.0.0", "v0.10.0"]


@pytest.mark.parametrize(
    ("mine", "version"),
    [
        (manifest(card="other"), "v1.4.3"),
        (manifest(), "v1.4.3"),
        (manifest(rows="other"), "v1.5.0"),
        (manifest(rows="other", columns={"kto": {"prompt": "string"}, "dpo": {"prompt": "string"}}), "v1.5.0"),
        (manifest(rows="other", columns={"kto": {"prompt": "list"}}), "v2.0.0"),
        (manifest(rows="other", columns={"kto": {"prompt": "string", "score": "double"}}), "v2.0.0"),
    ],
)
def test_columns_are_major_rows_minor_and_the_rest_a_patch(mine: dict[str, Any], version: str) -> None:
    assert following("v1.4.2", manifest(), mine) == version


def test_a_release_of_somebody_elses_making_is_other_rows() -> None:
    assert following("v1.4.2", None, manifest()) == "v1.5.0"


def test_a_manifest_without_columns_leaves_them_as_they_were() -> None:
    old = manifest()
    del old["columns"]
    assert following("v1.4.2", old, manifest(rows="other")) == "v1.5.0"
