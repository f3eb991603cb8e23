"""Tables and folders as people have them: CSV, Arrow, compressed files, what `save_to_disk` wrote, and shards."""

import bz2
import csv
import gzip
import io
import json
import logging
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # noqa: TID253 - the tests make real files
import pytest
from pyarrow import feather, parquet  # noqa: TID253

from plum_hub.errors import InstructionsError
from plum_hub.instructions import InstructionsConfig, load
from plum_hub.instructions.files import read_rows
from plum_hub.instructions.local import find_local
from plum_hub.instructions.tables import class_name
from tests.instructions.reading import ADD, JOIN, LAST, walk

ROWS = [{"id": "007", "instruction": ADD}, {"id": "b", "instruction": f'{JOIN}\nSay "so", please; once.'}]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}  # fmt: skip


def as_csv(rows: list[dict[str, Any]], separator: str = ",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize("packed", list(PACKERS), ids=lambda suffix: suffix or "plain")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", as_csv(ROWS)),
        ("t.csv", b"\xef\xbb\xbf" + as_csv(ROWS, ";")),
        ("t.csv", b"sep=;\r\n" + as_csv(ROWS, ";")),
        ("t.CSV", as_csv(ROWS, "|").replace(b"\r\n", b"\n")),
        ("t.tsv", as_csv(ROWS, "\t")),
        ("t.csv", b"\n" + as_csv(ROWS).replace(b"\r\n", b"\r\n\r\n", 1)),
        ("t.jsonl", as_lines(ROWS)),
        ("t.json", json.dumps(ROWS).encode()),
    ],
    ids=["csv", "bom", "excel", "bars", "tsv", "blank", "lines", "array"],
)
def test_every_text_in_every_compression_gives_the_same_rows(
    tmp_path: Path, name: str, content: bytes, packed: str
) -> None:
    path = tmp_path / f"{name}{packed}"
    path.write_bytes(PACKERS[packed](content))
    assert [row for _, row in read_rows(path)] == ROWS
    kept, drops = walk(path)
    assert ([row.row for row in kept], drops) == (["007", "b"], [])


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_compressed_file_cut_short_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.jsonl{suffix}"
    rows = [{"text": f"{number**9}" * 9} for number in range(3000)]
    path.write_bytes(PACKERS[suffix](as_lines(rows))[:-99])
    with pytest.raises(InstructionsError, match=r"t\.jsonl\.\w+ is damaged or not"):
        list(read_rows(path))
    path.write_bytes(as_lines(rows))
    with pytest.raises(InstructionsError, match=r"is damaged or not .*remove `\.\w+` from its name"):
        list(read_rows(path))


def test_cells_are_texts_as_they_stand_and_an_empty_one_is_null(tmp_path: Path) -> None:
    cells = ["007", "1", "0", "true", "False", "NA", "null", "None", "nan", " 3", "1e5", "[1, 2]", "  return x"]
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f'"{cell}",\n' for cell in cells))
    assert [row for _, row in read_rows(tmp_path / "t.csv")] == [{"a": cell, "b": None} for cell in cells]


def test_truths_and_lists_in_cells_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(
        as_csv([{"prompt": f"{text} In python.", "first_turn": one} for text, one in ((ADD, "True"), (JOIN, "False"))])
    )
    assert [drop.reason for drop in walk(path)[1]] == ["not_first_turn"]
    path.write_bytes(as_csv([{"text": ADD, "history": "[]"}, {"text": JOIN, "history": '[["Hi", "Hello"]]'}]))
    assert [drop.reason for drop in walk(path)[1]] == ["not_first_turn"]


def test_a_row_is_named_by_its_first_line_and_the_index_of_pandas_is_no_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(',a,b\n0,"x\ny\nz",1\n1,u,v\n')
    assert list(read_rows(tmp_path / "t.csv")) == [(2, {"a": "x\ny\nz", "b": "1"}), (5, {"a": "u", "b": "v"})]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "a,b\n1,2\n1,2,3\n",
            r"t\.csv:3 has 3 cells, and the header 2: put cells with `,` or a line break into",
        ),
        ("a,b\nx\n", r"t\.csv:2 has 1 cells, and the header 2"),
        ('a,b\n1,2\n"x,y\n', r"t\.csv:3 is not valid CSV"),
        ('a,b\n"x \\"y\\"",2\n', r't\.csv:2 is not valid CSV .* write a quote inside as ""'),
        ("a,b,a\n1,2,3\n", r"t\.csv:1 has the column 'a' twice"),
        (f"{ADD},1\n{JOIN},0\n", r"t\.csv:1 is no header .* write the names of the columns"),
        ("prompt,1\n", r"t\.csv:1 is no header \('1' names no column\)"),
        ('a, "b"\n1, "2"\n', r"t\.csv:1 has a quote in the name"),
        ("a,b\ncaf\udce9,2\n", r"t\.csv:2 is not UTF-8 .*iconv"),
        ("", r"t\.csv has no rows"),
        ("instruction\n", r"t\.csv has no rows"),
    ],
)
def test_a_wrong_csv_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InstructionsError, match=said) as caught:
        list(load(InstructionsConfig(source=str(tmp_path / "t.csv"))).rows)
    assert "\n" not in str(caught.value)


def test_lines_of_a_csv_may_end_as_those_of_old_macs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'a,b\r1,"x\ry"\r2,z')
    assert list(read_rows(tmp_path / "t.csv")) == [(2, {"a": "1", "b": "x\ry"}), (4, {"a": "2", "b": "z"})]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.feather"])
def test_two_columns_of_one_name_are_refused_where_they_are_read(tmp_path: Path, name: str) -> None:
    table = pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"]), pa.array(["3"])], names=["a", "b", "a"])
    if name == "t.parquet":
        parquet.write_table(table, tmp_path / name)
    else:
        with pa.ipc.new_file(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
    assert [row for _, row in read_rows(tmp_path / name, {"b"})] == [{"a": None, "b": "2"}]
    for columns in (None, {"a"}):
        with pytest.raises(InstructionsError, match=rf"{name} has the column 'a' twice: rename one of them"):
            list(read_rows(tmp_path / name, columns))


def test_a_cell_may_be_longer_than_pythons_own_limit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "x" * 300_000 + "\n")
    assert [len(row["a"]) for _, row in read_rows(tmp_path / "t.csv")] == [300_000]


def test_arrow_in_the_formats_of_files_and_of_streams(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS * 1500)
    feather.write_feather(table, str(tmp_path / "t.feather"))
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    for name in ("t.feather", "t.arrow"):
        assert [row for _, row in read_rows(tmp_path / name)] == ROWS * 1500
        _, first = next(read_rows(tmp_path / name, {"id"}))
        assert first == {"instruction": None, "id": "007"}
    (tmp_path / "u.arrow").write_bytes((tmp_path / "t.arrow").read_bytes()[:-3000])
    with pytest.raises(InstructionsError, match=r"u\.arrow is not readable Arrow after row \d+ .*write the file again"):
        list(read_rows(tmp_path / "u.arrow"))


@pytest.mark.parametrize("as_file", ["parquet", "arrow"])
def test_objects_that_datasets_keeps_as_json_are_objects(tmp_path: Path, as_file: str) -> None:
    from datasets import Dataset, Features, Json, List, Value

    rows = [{"a": [{"x": 1}, {"y": ["z"]}], "b": None}, {"a": None, "b": {"k": 2}}]
    made = Dataset.from_list(rows, features=Features({"a": List(Json()), "b": Json()}))
    assert Value is not Json
    if as_file == "parquet":
        made.to_parquet(tmp_path / "t.parquet")
    else:
        made.save_to_disk(tmp_path / "t.parquet")
    assert [row for _, row in find_local(tmp_path / "t.parquet").rows()] == rows


def test_what_save_to_disk_wrote_is_read_in_its_order(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    rows = [{"id": f"{number:03}", "text": f"{ADD} Variant {number}."} for number in range(25)]
    made = Dataset.from_list(rows)
    made.save_to_disk(tmp_path / "one", num_shards=12)
    DatasetDict({"train": made, "test": made.select([3])}).save_to_disk(tmp_path / "both")
    DatasetDict({"test": made.select([3])}).save_to_disk(tmp_path / "single")
    assert [row["id"] for _, row in find_local(tmp_path / "one").rows()] == [row["id"] for row in rows]
    assert len(list(find_local(tmp_path / "both").rows())) == 25
    assert len(list(find_local(tmp_path / "both", ["test", "train"]).rows())) == 26
    assert len(list(find_local(tmp_path / "single").rows())) == 1
    with pytest.raises(InstructionsError, match=r"single has no split `train`, only test: .*single/test"):
        find_local(tmp_path / "single", ["train"])
    near = {"near_duplicates": 1.0, "source": f"{tmp_path / 'one'}:text"}
    loaded = load(InstructionsConfig(**near))
    assert len(list(loaded.rows)) == 25
    assert load(InstructionsConfig(**near, revision=loaded.revision)).name == "one"
    shard = next((tmp_path / "one").glob("data-00007*"))
    shard.write_bytes(shard.read_bytes() + b"\0")
    with pytest.raises(InstructionsError, match=r"one is sha256:.* now, but"):
        load(InstructionsConfig(**near, revision=loaded.revision))
    shard.unlink()
    with pytest.raises(InstructionsError, match="this file of a saved dataset is missing"):
        load(InstructionsConfig(**near))


def write_folder(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", ".").replace("_in_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_folder_of_shards_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    one, two, three = ([{"instruction": text}] for text in (ADD, JOIN, LAST))
    folder = write_folder(
        tmp_path / "shards",
        **{
            "data_in_train-00002-of-00003__json": json.dumps(three).encode(),
            "data_in_train-00000-of-00003__jsonl": as_lines(one),
            "data_in_train-00001-of-00003__ndjson__gz": gzip.compress(as_lines(two)),
            "README__md": b"# Rows", "__gitattributes": b"*", "__cache_in_x__jsonl": b"no",
        },
    )  # fmt: skip
    kept, drops = walk(folder)
    assert ([row.text for row in kept], drops, {row.source for row in kept}) == ([ADD, JOIN, LAST], [], {"shards"})
    before = load(InstructionsConfig(source=str(folder))).revision
    assert before.startswith("sha256:") and len(before) == 23
    write_folder(folder, README__md=b"# Others")
    assert load(InstructionsConfig(source=str(folder))).revision == before
    (folder / "data" / "train-00000-of-00003.jsonl").write_bytes(as_lines(one) + b"\n")
    assert load(InstructionsConfig(source=str(folder))).revision != before


def test_a_folder_is_the_same_by_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "d", a__jsonl=as_lines(ROWS))
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    found = [find_local(Path(path)) for path in ("d", "./d", "../" + tmp_path.name + "/d", "link", str(folder))]
    monkeypatch.chdir(folder)
    found.append(find_local(Path()))
    assert {(one.name, one.revision) for one in found} == {("d", found[0].revision)}
    assert [[row for _, row in one.rows()] for one in found] == [ROWS] * len(found)


def test_files_by_a_pattern(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", b__csv=as_csv([{"q": JOIN}]), a__csv=as_csv([{"q": ADD}]), c__txt=b"no")
    for pattern in ("*", "*.csv", "[ab].csv"):
        assert [row.text for row in walk(f"{folder}/{pattern}:q")[0]] == [ADD, JOIN]
    (folder / "[x].csv").write_bytes(as_csv([{"q": LAST}]))
    assert [row.text for row in walk(f"{folder}/[x].csv:q")[0]] == [LAST]


def test_patterns_mean_what_they_mean_to_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "[2024] d"
    for name in ("a.csv", "b/c.csv", ".cache/x/hidden.csv", "b/.hidden.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(as_csv([{"q": ADD if name == "a.csv" else JOIN}]))
    assert [row.text for row in walk(f"{folder}/*.csv:q")[0]] == [ADD]
    assert [[row.text for row in rows] for rows in (walk(f"{folder}/**/*.csv:q")[0], walk(f"{folder}/**:q")[0])] == [
        [ADD, JOIN], [ADD, JOIN],
    ]  # fmt: skip
    assert [row.text for row in walk(f"{folder}/a**.csv:q")[0]] == [ADD]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a__csv": b"x\n1\n", "b__jsonl": b'{"x": 1}'}, r"a\.csv would not be read beside b\.jsonl.*'.*/\*\.csv'"),
        ({"train__jsonl": b"{}", "extra__jsonl": b"{}"}, r"extra\.jsonl would not be read beside train\.jsonl"),
        ({"test__jsonl": b"{}"}, r"has no split `train`, only test: give its files, as in  \S*/d/test\.jsonl "),
        (
            {"test-0__jsonl": b"{}", "test-1__jsonl": b"{}"},
            r"no split `train`, only test: give its files, as in  '\S*/d/test-\*\.jsonl'",
        ),
        (
            {"data/a__csv": b"x\n1\n", "data/b__jsonl": b"{}"},
            r"as in  '\S*/d/data/\*\.csv'  or  '\S*/d/data/\*\.jsonl'",
        ),
        ({"A__JSONL": b"{}"}, r"cannot be read \(.*\): name its data files with a pattern, as in  '\S*/d/\*'$"),
        ({"README__md": b"# none"}, "is a folder without data files"),
        ({"recipe__yaml": b"", "a__jsonl": b"{}"}, "is a run folder: name one of its files"),
    ],
    ids=["formats", "beside", "split", "split in files", "deep", "capitals", "none", "run"],
)
def test_a_folder_that_would_be_read_in_part_is_refused(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(InstructionsError, match=said):
        load(InstructionsConfig(source=str(write_folder(tmp_path / "d", **files))))


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (
            ("train-00000-of-00003__jsonl", "train-00002-of-00003__jsonl"),
            "train-00001-of-00003 is missing beside train",
        ),
        (("train-00000-of-00002-ab12__jsonl",), "train-00001-of-00002 is missing"),
        (("data/p-001-of-003__jsonl", "data/p-003-of-003__jsonl"), "p-002-of-003 is missing .*/data/\\*\\.jsonl'"),
        (("train-00000-of-00002-ab12__jsonl", "train-00001-of-00002-cd34__jsonl"), None),
        (("p-001-of-002__jsonl", "p-002-of-002__jsonl"), None),
        (("train-00000-of-00001__jsonl", "test-00000-of-00002__jsonl"), None),  # of another split
        (("a-0-of-3__jsonl", "b-2-of-3__jsonl"), None),
    ],
)
@pytest.mark.parametrize("card", [b"# No config", b"---\nconfigs:\n- config_name: default\n---\n"])
def test_a_folder_without_one_of_its_numbered_files_is_refused(
    tmp_path: Path, names: tuple[str, ...], missing: str | None, card: bytes
) -> None:
    folder = write_folder(tmp_path / "d", README__md=card, **{name: as_lines(ROWS) for name in names})
    if missing is None:
        assert walk(folder)[0]
        return
    with pytest.raises(InstructionsError, match=missing):
        walk(folder)
    assert walk(f"{folder}/**/*.jsonl")[0]


def test_a_parquet_is_read_beside_others_of_a_folder(tmp_path: Path) -> None:
    for number, text in enumerate((ADD, JOIN)):
        parquet.write_table(pa.Table.from_pylist([{"instruction": text}]), tmp_path / f"train-{number}.parquet")
    assert [row.text for row in walk(tmp_path)[0]] == [ADD, JOIN]


def test_a_readme_without_front_matter_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_folder(tmp_path / "d", train__jsonl=as_lines(ROWS), README__md=b"# My rows")
    assert len(walk(folder)[0]) == len(ROWS)
    assert not caplog.records


def test_what_only_datasets_reads_and_cannot_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that a download left unfinished has the name of a split."""
    folder = write_folder(tmp_path / "d", train__jsonl=as_lines(ROWS), train__jsonl__tmp=b'{"text": ')
    logger = logging.getLogger("datasets")
    logger.addHandler(caplog.handler)
    try:
        with pytest.raises(
            InstructionsError, match=r"cannot be read \(.*\): name its data files with a pattern, as in"
        ):
            walk(folder)
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records
    assert len(walk(f"{folder}/*")[0]) == len(ROWS)


CLASSES = [
    {"prompt": "q1", "completion": "a", "label": 0, "tags": [1]},
    {"prompt": "q2", "completion": "b", "label": 1},
]


@pytest.mark.parametrize("as_file", ["parquet", "saved", "feather", "card"])
def test_numbers_of_classes_are_read_as_their_names(tmp_path: Path, as_file: str) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    names, tags = ClassLabel(names=["chosen", "rejected"]), List(ClassLabel(names=["sort", "sum"]))
    features = Features({"prompt": Value("string"), "completion": Value("string"), "label": names, "tags": tags})
    folder = tmp_path / "rows"
    made = Dataset.from_list(CLASSES, features=features)
    if as_file == "parquet":
        made.to_parquet(folder / "train.parquet")
    elif as_file == "saved":
        made.save_to_disk(folder)
    elif as_file == "feather":
        folder.mkdir()
        feather.write_feather(made.data.table, str(folder / "train.feather"))
        folder /= "train.feather"
    else:
        folder.mkdir()
        parquet.write_table(pa.Table.from_pylist(CLASSES), folder / "train.parquet")
        (folder / "README.md").write_text(
            "---\ndataset_info:\n  features:\n  - {name: prompt, dtype: string}\n"
            "  - {name: completion, dtype: string}\n  - name: label\n    dtype:\n      class_label:\n"
            "        names: {'0': chosen, '1': rejected}\n"
            "  - {name: tags, list: int64}\n---\n"
        )
    found = [row for _, row in find_local(folder).rows()]
    assert [row["label"] for row in found] == ["chosen", "rejected"]
    if as_file != "card":
        assert [row["tags"] for row in found] == [["sum"], None]


@pytest.mark.parametrize(
    ("value", "name"), [(1, "b"), ("1", "b"), ("b", "b"), (-1, None), (7, 7), (None, None), (True, True), ("c", "c")]
)
def test_what_is_no_number_of_a_class_stays(value: object, name: object) -> None:
    assert class_name(value, ["a", "b"]) == name


def test_objects_of_a_table_have_no_fields_of_others(tmp_path: Path) -> None:
    calls = [{"name": "f", "arguments": {"x": 1}}, {"name": "g", "arguments": {"y": 2}}]
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.Table.from_pylist([{"turns": calls, "note": None}, {"turns": None, "note": "n"}]), path)
    assert [row for _, row in read_rows(path)] == [{"turns": calls, "note": None}, {"turns": None, "note": "n"}]
