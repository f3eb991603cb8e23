import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from plum_hub.release.manifest import (
    MANIFEST,
    HashedFile,
    Manifest,
    ManifestHeader,
    ModelManifest,
    PreviousRelease,
    VerifiableManifest,
    read_manifest,
)
from plum_hub.release.model_lineage import BaseModelRef, ModelLineage, TrainedOn
from plum_hub.release.tree import with_card, write_tree
from tests.release.rows import contents


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = write_tree(tmp_path / "dataset", contents())
    assert read_manifest(tmp_path / "dataset", Manifest).to_json() == written.to_json()
    assert json.loads((tmp_path / "dataset" / MANIFEST).read_bytes()) == written.to_json()


def test_a_manifest_of_a_model_is_compared_as_it_is_read() -> None:
    base = BaseModelRef(name="tiny", commit=None, revision="r", weights=None, license="mit")
    data = TrainedOn(
        name="run", revision="r", rows=1, sha256="s", repo=None, tag=None, commit=None, licenses=("mit", None)
    )
    lineage = ModelLineage(form="adapter", method="kto", base=base, data=data, on_policy=True)
    values = ModelManifest(lineage=lineage, files=(HashedFile(path="a", sha256="s", size=1),)).to_json()
    assert values == json.loads(json.dumps(values))


def test_the_parts_of_a_manifest(tmp_path: Path) -> None:
    written = write_tree(tmp_path / "dataset", contents())
    previous = PreviousRelease("v1.0.0", "c" * 40)
    with_card(tmp_path / "dataset", Manifest(**{**vars(written), "previous": previous}), "A card")
    assert read_manifest(tmp_path / "dataset", ManifestHeader).previous == previous
    part = read_manifest(tmp_path / "dataset", VerifiableManifest)
    assert part.content == written.content
    assert part.lineage.limits == written.lineage.limits
    assert part.counts.rows == written.counts.rows


def _of_before(manifest: dict[str, Any]) -> None:
    """What the first releases of plum-hub say."""
    del manifest["content"], manifest["columns"], manifest["counts"]["pass_ratios"]
    del manifest["lineage"]["extraction"], manifest["lineage"]["decontamination"]
    del manifest["lineage"]["policy"]["dtype"]


def _of_later(manifest: dict[str, Any]) -> None:
    manifest["score"] = 1
    manifest["lineage"]["decontamination"] = "another way of telling it"


@pytest.mark.parametrize("change", [_of_before, _of_later])
def test_releases_of_other_versions_can_be_verified(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    written = write_tree(tmp_path / "dataset", contents())
    changed(tmp_path / "dataset", change)
    part = read_manifest(tmp_path / "dataset", VerifiableManifest)
    assert part.files == written.files
    assert part.lineage.policy.identity.revision == written.lineage.policy.identity.revision
    with pytest.raises(ValidationError, match="decontamination"):
        read_manifest(tmp_path / "dataset", Manifest)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path / "dataset", contents())
    changed(tmp_path / "dataset", lambda manifest: manifest["lineage"].pop("limits"))
    with pytest.raises(ValidationError) as failure:
        read_manifest(tmp_path / "dataset", VerifiableManifest)
    assert [error["loc"] for error in failure.value.errors()] == [("lineage", "limits")]
