"""Programs of other tools as files of their own: found, bounded, and refused in one line."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from plum_hub.errors import UsageError
from plum_hub.evaluation.generations import MAX_CHARACTERS, Generation, benchmark_of, read_generations


def write_program_files(folder: Path, programs: Sequence[Sequence[str]]) -> Path:
    """Write programs as EvalPlus does: a folder for each problem of HumanEval, a file for each of its programs."""
    for number, texts in enumerate(programs):
        (folder / f"HumanEval_{number}").mkdir(parents=True)
        for index, text in enumerate(texts):
            (folder / f"HumanEval_{number}" / f"{index}.py").write_text(text)
    return folder


def zipped(folder: Path) -> Path:
    """Pack a folder, which is then the archive's only one."""
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))


def test_what_holds_no_program_files_is_refused(tmp_path: Path) -> None:
    folder = write_program_files(tmp_path / "samples", [["x = 1\n"]])
    (folder / "HumanEval_0" / "0.py").write_bytes(b"# caf\xe9\n")
    with pytest.raises(UsageError, match=r"HumanEval_0/0\.py: is not text in UTF-8"):
        read_generations(folder)
    archive = zipped(folder)
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"samples\.zip: cannot be read"):
        read_generations(archive)
    (folder / "rows.jsonl").write_text(json.dumps({"task_id": "HumanEval/0", "solution": "x = 1"}) + "\n")
    (folder / "HumanEval_0" / "0.py").rename(folder / "HumanEval_0" / "0.txt")
    with pytest.raises(UsageError, match=r"holds no HumanEval_0/0\.py or the like: unpack it"):
        read_generations(zipped(folder))
    (one,) = read_generations(folder)
    assert one.where.endswith("rows.jsonl:1")


def test_what_macos_packs_beside_the_files_is_no_program(tmp_path: Path) -> None:
    folder = write_program_files(tmp_path / "samples", [["x = 1\n"], ["x = 2\n"]])
    for place in (folder / "HumanEval_0", folder / "__MACOSX" / "HumanEval_0"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "._0.py").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X\xb0")
    for path in (folder, zipped(folder)):
        assert [str(one.solution) for one in read_generations(path)] == ["x = 1\n", "x = 2\n"]


def test_only_so_much_of_a_packed_program_is_read(tmp_path: Path) -> None:
    """A small archive may hold a program of any size."""
    folder = write_program_files(tmp_path / "samples", [["x = 0" + "#" * 20_000_000]])
    archive = zipped(folder)
    assert archive.stat().st_size < 100_000
    (one,) = read_generations(archive)
    assert MAX_CHARACTERS < len(str(one.solution)) < 20_000_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            [["x = 1", "x = 2"], ["y = 1"]],
            "element 1 is a list, and programs are not judged by position: write one row",
        ),
        (
            {"HumanEval/0": ["x = 1"], "HumanEval/1": ["y = 1"]},
            "is one object: write one row for each program (.jsonl)",
        ),
    ],
)
def test_programs_without_rows_are_told_what_rows_they_need(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "generations.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=re.escape(words)) as refused:
        read_generations(path)
    assert str(refused.value).endswith('as in {"task_id": "HumanEval/0", "solution": "..."}')


@pytest.mark.parametrize(
    ("name", "benchmark"),
    [("HumanEval/0", "humaneval+"), ("HumanEval_0", "humaneval+"), ("MBPP/11", "mbpp+"), ("Mbpp/2", "mbpp+")],
)
def test_a_benchmark_is_known_by_ids_that_are_written_otherwise(name: str, benchmark: str) -> None:
    assert benchmark_of([Generation("", name, "x = 1", None)]) == benchmark
