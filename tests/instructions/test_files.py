"""Local files: every form that is read, and every way in which one can be wrong."""

import bz2
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # noqa: TID253 - the tests make real Parquet files
import pytest
from pyarrow import parquet  # noqa: TID253

from plum_hub.errors import InstructionsError
from plum_hub.instructions import InstructionsConfig, load
from plum_hub.instructions.files import read_rows
from plum_hub.lines import appending
from plum_hub.records import Instruction
from tests.instructions.reading import ADD, JOIN, LAST, walk, write_lines

ROWS = [{"id": "a", "instruction": ADD}, {"id": "b", "instruction": JOIN}]


def write_as(folder: Path, name: str) -> Path:
    path = folder / name
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    text = lines if ".jsonl" in name or ".ndjson" in name else json.dumps(ROWS, indent=1)
    if name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.json", "t.json.gz", "t.ndjson", "t.parquet"])
def test_every_form_gives_the_same_instructions(tmp_path: Path, name: str) -> None:
    path = write_as(tmp_path, name)
    kept, drops = walk(path)
    assert [(row.text, row.row, row.source) for row in kept] == [(ADD, "a", name), (JOIN, "b", name)]
    assert drops == []
    assert {row.revision for row in kept} == {load(InstructionsConfig(source=str(path))).revision}


def test_rows_of_a_run_lose_their_checksum_and_a_changed_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with appending(path) as append:
        for row in ROWS:
            append(row)
    assert [row for _, row in read_rows(path)] == ROWS
    path.write_text(path.read_text().replace(JOIN, JOIN.upper()))
    with pytest.raises(InstructionsError, match=r"rows\.jsonl:2 is damaged .*checksum"):
        list(read_rows(path))


@pytest.mark.parametrize(
    "last",
    ['"row_type":"synthetic"', '"row_id":"dQw4w9WgXcQ"', '"row_id":1700000000123', '"row_index":"00012345"',
     '"crc32":"0a1b2c3d"', '"content_crc32":"deadbeef"', '"row_crc32":1', '"row_crc32":"0A1B2C3D"'],
)  # fmt: skip
def test_a_column_is_no_checksum_because_of_its_name(tmp_path: Path, last: str) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"instruction":"{LAST}",{last}}}\n')
    assert [row for _, row in read_rows(tmp_path / "t.jsonl")] == [{"instruction": LAST, **json.loads(f"{{{last}}}")}]


def test_the_id_is_the_text_and_the_revision_is_the_file(tmp_path: Path) -> None:
    one, other = write_as(tmp_path, "t.jsonl"), write_as(tmp_path, "t.parquet")
    assert [row.id for row in walk(one)[0]] == [row.id for row in walk(other)[0]]
    before = load(InstructionsConfig(source=str(one))).revision
    assert before.startswith("sha256:") and len(before) == len("sha256:") + 16
    with one.open("a") as file:
        file.write("\n")
    assert load(InstructionsConfig(source=str(one))).revision != before


def test_a_file_that_changed_since_it_was_sealed_is_refused(tmp_path: Path) -> None:
    path = write_as(tmp_path, "t.jsonl")
    sealed = load(InstructionsConfig(source=str(path))).revision
    assert len(walk(path, revision=sealed)[0]) == 2
    write_lines(path, ROWS[:1])
    with pytest.raises(InstructionsError, match=r"t\.jsonl is sha256:\w+ now, but sha256:\w+ is required"):
        walk(path, revision=sealed)


@pytest.mark.parametrize(
    "form", ["sha256:{}", "{}", "SHA256:{}", "sha256:{:.20}", "sha256:{:.16}"], ids=lambda form: form
)
def test_a_revision_may_be_what_sha256sum_prints(tmp_path: Path, form: str) -> None:
    path = write_as(tmp_path, "t.jsonl")
    config = InstructionsConfig(source=str(path), revision=form.format(hashlib.sha256(path.read_bytes()).hexdigest()))
    assert config.revision == load(config).revision == load(InstructionsConfig(source=str(path))).revision
    with pytest.raises(InstructionsError, match=r"is sha256:\w+ now, but sha256:\w+ is required"):
        walk(path, revision=form.format(hashlib.sha256(b"others").hexdigest().upper()))


@pytest.mark.parametrize("revision", ["main", "a" * 40, "sha256:0123456789abcde"])
def test_a_revision_that_is_none_of_a_file_is_told(tmp_path: Path, revision: str) -> None:
    path = write_as(tmp_path, "t.jsonl")
    with pytest.raises(InstructionsError, match=r"no version of it: leave `revision` out, or set it to sha256:\w{16}"):
        walk(path, revision=revision)


def test_a_column_is_named_in_the_source_or_by_its_key(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", [{"prompt": "unused, but long enough to be kept", "goal": LAST}])
    assert [row.text for row in walk(f"{path}:goal")[0]] == [LAST]
    assert [row.text for row in walk(path, column="goal")[0]] == [LAST]


def test_blank_lines_are_skipped_and_a_mark_of_byte_order_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf" + json.dumps({"text": ADD}).encode() + b"\r\n\r\n  \n" + json.dumps({"text": JOIN}).encode()
    )
    kept, drops = walk(path)
    assert [(row.text, row.row) for row in kept] == [(ADD, "1"), (JOIN, "4")]
    assert drops == []


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": ADD},
        {"text": ADD, "tests": ["assert add(1, 2) == 3"]},
        {"messages": [{"role": "user", "content": ADD}]},
        {"id": 1, "conversations": [{"from": "human", "value": ADD}]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_object_alone_in_a_json_file_is_a_row(tmp_path: Path, row: dict[str, Any], indent: int | None) -> None:
    (tmp_path / "t.json").write_text(json.dumps(row, indent=indent))
    kept, drops = walk(tmp_path / "t.json")
    assert [row.text for row in kept] == [ADD]
    assert drops == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b"", r"t\.jsonl has no rows: give another"),
        ("t.jsonl", b"\n\n", r"t\.jsonl has no rows"),
        ("t.json", b"[]", r"t\.json has no rows"),
        ("t.json", b"{}", r"t\.json is not a JSON array of objects: convert it, or write one object per line"),
        ("t.json", b'"x"', r"t\.json is not a JSON array of objects: convert it"),
        ("t.json", b'{"train": [{"text": "x"}], "test": []}', r"t\.json is not .*: unpack it with  jq -c '\.\[.train"),
        ("t.json", b'{"text": {"0": "x"}}', r"t\.json is not .*: .*pandas' to_json\(\.\.\., orient='records'\)"),
        ("t.json", b'{"text": ["x", "y"]}', r"t\.json is not .*: it has a value for each column or index"),
        (
            "t.json",
            b'{"features": [{"name": "text"}], "rows": [{"row": {"text": "x"}}, {"row": {"text": "y"}}]}',
            r"t\.json is not .*: unpack it with  jq -c '\.\[.rows.\]\[\]\.row'",
        ),
        ("t.json", b'{"data": [{"text": "x"}]}', r"t\.json is not .*: unpack it with  jq -c '\.\[.data.\]\[\]'"),
        ("t.json", b'[\n{"instruction": }]', r"t\.json:2 is not valid JSON .*\.jsonl"),
        ("t.json", b"[" * 100_000, r"t\.json is nested too deeply"),
        ("t.json", b'[{"text": ' + b"7" * 5000 + b"}]", r"t\.json has a number of more than 4300 digits"),
        ("t.json", b'[\n{"text": "caf\xe9"}]', r"t\.json:2 is not UTF-8 \(byte 0xe9\): .*iconv"),
        ("t.jsonl.gz", b'{"instruction": "x"}\n', r"t\.jsonl\.gz is damaged or not gzip"),
        ("t.parquet", b"PAR1 and no more", r"t\.parquet is not readable Parquet"),
        ("t.json", b'{\n "text": "x"\n}\n{\n "text": "y"\n}', r"t\.json:4 .*: write one object per line, as  jq -c \."),
        ("t.jsonl", b'["instruction"]\n', r"t\.jsonl:1 is a JSON list, not an object"),
        ("t.jsonl", gzip.compress(b"{}", mtime=0), r"t\.jsonl is gzip, and its name says otherwise: rename it .* \.gz"),
        ("t.jsonl", b"PAR1 and more", r"t\.jsonl is Parquet, and its name says otherwise"),
        ("t.json", '[{"text": "x"}]'.encode("utf-16"), r"t\.json is UTF-16: convert it with  iconv -f utf-16"),
        ("t.jsonl", bz2.compress(b"{}"), r"t\.jsonl is bzip2, and its name says otherwise: rename it .* \.bz2"),
        ("t.jsonl", b'[\n{"text": "x"}\n]', r"t\.jsonl:1 .* rename the file to \.json if it is one JSON array"),
        ("t.jsonl", b'{\n "text": "x"\n}', r"t\.jsonl:1 .* write one object per line"),
        ("t.jsonl", b"{'text': 'x'}\n", r"t\.jsonl:1 .* it is Python and not JSON: write the rows with json\.dumps"),
        ("t.jsonl", b'{"text": "x"},\n{"text": "y"}', r"t\.jsonl:1 .* leave out the comma at its end"),
        ("t.jsonl", b'{"text": "x"} {"text": "y"}', r"t\.jsonl:1 .*: write one object per line, as  jq -c \.  does"),
        ("t.jsonl", b'{"goal": "x", "id": 1}\n', r"no known task column; its columns: goal, id\."),
        ("t.jsonl", b'{"prompt": "x", "text": "y"}\n', r"several possible task columns, prompt and text; its columns:"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InstructionsError, match=message) as caught:
        walk(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    path = write_as(tmp_path, "t.jsonl")
    with pytest.raises(InstructionsError, match=r"no column 'task'; its columns: id, instruction"):
        load(InstructionsConfig(source=f"{path}:task"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'{"instruction": "torn', r"t\.jsonl:3 is not valid JSON \(Unterminated string.*fix or delete this line"),
        ('{"instruction": "Écris une fonction"}'.encode("latin-1"), r"t\.jsonl:3 is not UTF-8 \(byte 0xc9\)"),
        (b"42", r"t\.jsonl:3 is a JSON int, not an object"),
        (b'{"instruction": ' + b"[" * 100_000, r"t\.jsonl:3 is nested too deeply"),
        (b'{"instruction": "x", "id": ' + b"7" * 5000 + b"}", r"t\.jsonl:3 has a number of more than 4300 digits"),
    ],
)
def test_rows_before_a_bad_line_stand(tmp_path: Path, bad: bytes, message: str) -> None:
    path = write_lines(tmp_path / "t.jsonl", ROWS)
    path.write_bytes(path.read_bytes() + bad + b"\n")
    rows = load(InstructionsConfig(source=str(path))).rows
    assert [row.row for row in (next(rows), next(rows)) if isinstance(row, Instruction)] == ["a", "b"]
    with pytest.raises(InstructionsError, match=message):
        next(rows)


def test_a_gzip_file_cut_short_is_an_error_after_its_whole_rows(tmp_path: Path) -> None:
    rows = [{"text": f"{ADD} Variant {number}: {number**9}."} for number in range(4000)]
    path = tmp_path / "t.jsonl.gz"
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    path.write_bytes(whole[: len(whole) // 2])
    walked = load(InstructionsConfig(source=str(path), near_duplicates=1.0)).rows
    assert isinstance(next(walked), Instruction)
    with pytest.raises(InstructionsError, match=r"t\.jsonl\.gz is damaged"):
        list(walked)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.jsonl", r"nowhere\.jsonl does not exist: give --instructions"),
        ("nowhere", r"'nowhere' is not a source: give starter, oss-instruct"),
        ("./nowhere", r"nowhere does not exist: give --instructions"),
        ("{folder}.jsonl", r"\.jsonl is a folder without data files"),
        ("{folder}/tasks.xlsx", r"tasks\.xlsx: unknown kind of file: rename or convert it to \.jsonl"),
        ("{folder}/*.csv", r"data/\*\.csv matches no file that can be read: \.jsonl"),
        ("no such thing", r"'no such thing' is not a source"),
    ],
)
def test_a_source_that_is_none(tmp_path: Path, source: str, message: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "data.jsonl").mkdir()
    (folder / "tasks.xlsx").write_text("instruction\nx\n")
    with pytest.raises(InstructionsError, match=message):
        load(InstructionsConfig(source=source.format(folder=folder)))


@pytest.mark.parametrize("name", ["t.jsonl", "t.json"])
def test_a_key_that_is_there_twice_is_refused_only_where_it_is_read(tmp_path: Path, name: str) -> None:
    text = '{"a": [{"x": 1}], "b": {"y": 1, "y": 2}, "c": 1, "c": 2}'
    (tmp_path / name).write_text(f"[{text}]" if name == "t.json" else f"{text}\n")
    assert [row["a"] for _, row in read_rows(tmp_path / name, {"a", "d"})] == [[{"x": 1}]]
    for columns, key in (({"b"}, "y"), ({"c"}, "c"), (None, "c"), ({"a", "b"}, "y")):
        with pytest.raises(InstructionsError, match=f"the key '{key}' twice in one object"):
            list(read_rows(tmp_path / name, columns))
