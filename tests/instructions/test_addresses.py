"""What people write for a source: a path, a dataset, or an address copied from a browser."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

from plum_hub.errors import InstructionsError, UsageError
from plum_hub.instructions import InstructionsConfig, load
from plum_hub.instructions.addresses import (
    DatasetAddress,
    LocalAddress,
    canonical,
    parse_release,
    parse_repo,
    parse_source,
)
from plum_hub.instructions.local import find_part


def dataset(**fields: str) -> DatasetAddress:
    return DatasetAddress(repo="me/rows", explicit=True, **fields)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("me/rows", DatasetAddress(repo="me/rows")),
        ("me/rows@v1:task", DatasetAddress(repo="me/rows", revision="v1", column="task")),
        ("me/rows@refs/pr/1", DatasetAddress(repo="me/rows", revision="refs/pr/1")),
        ("hf://datasets/me/rows", dataset()),
        ("hf://datasets/me/rows@v1/data/a.csv:task", dataset(revision="v1", path="data/a.csv", column="task")),
        ("hf://datasets/me/rows@refs/convert/parquet/x", dataset(revision="refs/convert/parquet", path="x")),
        ("datasets/me/rows", dataset()),
        ("datasets/me/rows@v1/a.jsonl", dataset(revision="v1", path="a.jsonl")),
        ("https://huggingface.co/datasets/me/rows", dataset()),
        ("https://huggingface.co/datasets/me/rows/", dataset()),
        ("https://huggingface.co/datasets/me/rows:task", dataset(column="task")),
        ("https://huggingface.co/datasets/me/rows/tree/main", dataset(revision="main")),
        ("https://huggingface.co/datasets/me/rows/tree/v1/data", dataset(revision="v1", path="data")),
        ("https://huggingface.co/datasets/me/rows/blob/v1/a%20b.csv", dataset(revision="v1", path="a b.csv")),
        ("https://hf.co/datasets/me/rows/resolve/v1/a.csv?download=true", dataset(revision="v1", path="a.csv")),
        ("https://hf.co/datasets/me/rows", dataset()),
        ("huggingface.co/datasets/me/rows", dataset()),
        ("https://hub.example:8080/datasets/me/rows/tree/main", dataset(revision="main")),
        ("https://huggingface.co/datasets/me/rows/viewer", dataset()),
        ("https://huggingface.co/datasets/me/rows/viewer/main/test?row=3", dataset(config="main", split="test")),
        ("https://huggingface.co/datasets/me/rows/embed/viewer/a%20b:task", dataset(config="a b", column="task")),
        ("https://hub.example:8080/datasets/me/rows/viewer?config=kto&split=train&revision=v1",
         dataset(config="kto", split="train", revision="v1")),
        ("me/rows@v1?split=test:task", dataset(revision="v1", split="test", column="task")),
        ("hf://datasets/me/rows?config=main&split=test", dataset(config="main", split="test")),
        ("a.jsonl:task", LocalAddress(path=Path("a.jsonl"), column="task")),
        ("datasets/a.jsonl", LocalAddress(path=Path("datasets/a.jsonl"))),
        ("datasets/mine/a.jsonl", LocalAddress(path=Path("datasets/mine/a.jsonl"))),
        ("data/*.csv:task", LocalAddress(path=Path("data/*.csv"), column="task")),
        ("./runs/typo", LocalAddress(path=Path("runs/typo"))),
        ("a/b/c", LocalAddress(path=Path("a/b/c"))),
        ("no such thing", None),
    ],
)  # fmt: skip
def test_every_way_to_write_a_source(text: str, found: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example:8080")
    assert parse_source(text) == found


def test_what_lies_here_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("me/rows", "datasets/me/rows"):
        assert isinstance(parse_source(name), DatasetAddress)
        Path(name).mkdir(parents=True)
        assert parse_source(name) == LocalAddress(path=Path(name))
        assert parse_source(f"{name}:task") == LocalAddress(path=Path(name), column="task")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://example.org/a.jsonl", r"fetch it with  curl -fLO 'https://example\.org/a\.jsonl'  and give a\.jsonl"),
        ("https://example.org/x?id=3", r"curl -fL -o rows\.jsonl 'https://example\.org/x\?id=3'  and give rows\.jsonl"),
        ("https://github.com/o/r/blob/main/a.csv", r"curl -fLO 'https://github\.com/o/r/raw/main/a\.csv'"),
        ("https://huggingface.co/me/model", "names a model, not a dataset: give hf://datasets/"),
        ("https://huggingface.co/datasets/me/rows/discussions/3", "names no dataset .*discussions.* give hf://datasets/"),
        ("https://example.org/datasets/me/rows/viewer/a/train", "curl"),
        ("hf://datasets/me/rows/data?split=test", "behind a whole dataset of a Hub only: leave it out"),
        ("hf://me/model", "names a model, not a dataset"),
        ("hf://datasets/rows", "names no dataset .*namespace/name"),
        ("s3://bucket/a.jsonl", "is not read from there: download it"),
        ("file:///data/a%20b.jsonl", "is a file here: give its path, /data/a b.jsonl"),
    ],
)  # fmt: skip
def test_an_address_of_no_dataset_says_what_mends_it(text: str, said: str) -> None:
    with pytest.raises(InstructionsError, match=said):
        parse_source(text)


@pytest.mark.parametrize("text", ["me/rows@v1?config=a&split=b", "https://huggingface.co/datasets/me/rows/viewer/a/b"])
def test_a_config_and_split_are_kept_by_the_name_that_a_recipe_seals(text: str) -> None:
    found = parse_source(canonical(text))
    assert isinstance(found, DatasetAddress) and found == parse_source(text)
    assert (found.config, found.split) == ("a", "b")


def test_a_release_by_its_address() -> None:
    assert parse_repo("https://huggingface.co/datasets/me/rows/viewer/kto/train") == "me/rows"
    assert parse_repo("https://huggingface.co/datasets/me/rows/tree/v1") == "me/rows@v1"
    assert parse_repo("hf://datasets/me/rows") == "me/rows"
    assert [parse_repo(text) for text in ("me/rows@v1", "runs/x")] == ["me/rows@v1", "runs/x"]
    with pytest.raises(UsageError, match="names a file of a dataset"):
        parse_repo("hf://datasets/me/rows@v1/a.jsonl")
    with pytest.raises(UsageError, match="curl"):
        parse_repo("https://example.org/rows")


@pytest.mark.parametrize(
    "text", ["rows@v1", "me/rows", "me/rows@", "@v1", "./me/rows@v1", "me/my/rows@v1", "hf://datasets/me/rows"]
)
def test_what_names_no_version_says_how_one_is_written(text: str) -> None:
    with pytest.raises(UsageError, match="write it as REPO@TAG"):
        parse_release(text)
    with pytest.raises(UsageError, match="is neither a run folder that exists nor REPO@TAG"):
        parse_release(text, "run folder")
    assert parse_release("hf://datasets/me/rows@v1") == parse_release("me/rows@v1") == ("me/rows", "v1")


@pytest.mark.parametrize(
    "text", ["Write a Python function. " * 30, "./" + "x" * 300, "~nobody-of-this-name/a.jsonl", "a\0b"]
)
def test_what_can_be_no_path_is_not_found(text: str) -> None:
    with pytest.raises(InstructionsError, match=r"is not a source|does not exist"):
        load(InstructionsConfig(source=text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hf://datasets/me/rows/../other/a.jsonl", r"outside of the dataset: leave out `\.\.`"),
        ("https://[", "names no dataset|is no dataset"),
        ("https://huggingface.co/datasets/me/rows/settings", r"names no dataset \(Cannot parse URL"),
    ],
)
def test_addresses_of_no_dataset_say_why(text: str, said: str) -> None:
    with pytest.raises(InstructionsError, match=said):
        parse_source(text)


def test_names_of_files_with_signs_are_names(tmp_path: Path) -> None:
    found = parse_source("hf://datasets/me/rows/a:b[1].jsonl")
    assert found == dataset(path="a:b[1].jsonl")
    assert isinstance(found, DatasetAddress) and found.patterns
    assert any(fnmatch("a:b[1].jsonl", pattern) for pattern in found.patterns)
    with pytest.raises(InstructionsError, match=r"hf://x/no\.jsonl does not exist"):
        find_part(tmp_path, "no.jsonl", "hf://x/no.jsonl")
