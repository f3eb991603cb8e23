"""The run folder: sealing, appending, repairing, locking."""

import json
import os
import re
import shlex
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from plum_hub.engines import parse_engine
from plum_hub.errors import RunError
from plum_hub.recipe import Recipe, seal
from plum_hub.records import (
    Instruction,
    SuiteAddition,
    SuiteStrength,
    TestCase,
    TestSuite,
    digest,
    digests_with,
    from_json,
    to_json,
)
from plum_hub.remedies import finished
from plum_hub.run import Run
from plum_hub.slug import slug


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "answers.jsonl").write_text('{"texts": ["hello"]}\n')
    engine = parse_engine(f"scripted:{tmp_path / 'answers.jsonl'}")
    return Recipe(policy=engine, generator=engine).filled()


def instruction(text: str) -> Instruction:
    return Instruction(id=digest(text), text=text, source="here", revision="1", row="0")


def test_rows_come_back_as_they_went_in(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    wanted = [instruction("a"), instruction("bé\u2028\n")]
    with run.appending(Instruction) as append:
        for row in wanted:
            append(row)
    assert list(Run.open(tmp_path / "run").rows(Instruction)) == wanted


def test_what_is_no_text_is_replaced(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    with run.appending(Instruction) as append:
        append(instruction("a\ud800b"))
    assert [row.text for row in run.rows(Instruction)] == ["a?b"]


def test_a_torn_last_line_is_owed_again(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    with run.appending(Instruction) as append:
        append(instruction("a"))
    path = run.path(Instruction)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id": "torn", "te')
    assert run.ids(Instruction) == {digest("a")}
    with run.appending(Instruction) as append:
        append(instruction("b"))
    assert run.ids(Instruction) == {digest("a"), digest("b")}
    assert path.read_bytes().startswith(whole)
    assert b"torn" not in path.read_bytes()


def test_a_file_of_one_torn_line_becomes_empty(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    run.path(Instruction).write_bytes(b"x" * 200_000)
    with run.appending(Instruction):
        pass
    assert run.path(Instruction).read_bytes() == b""


@pytest.mark.parametrize("bad", [b"not json\n", b'{"id": "x"}\n', b"[1]\n", b'{"id": "x", "more": 1}\n', b"\xff\xfe\n"])
def test_any_other_bad_line_names_file_and_line(tmp_path: Path, recipe: Recipe, bad: bytes) -> None:
    run = Run.create(tmp_path / "run", recipe)
    with run.appending(Instruction) as append:
        append(instruction("a"))
    with run.path(Instruction).open("ab") as file:
        file.write(bad + json.dumps(to_json(instruction("b"))).encode() + b"\n")
    for read in (run.rows, run.ids):
        with pytest.raises(RunError, match=r"instructions\.jsonl:2: "):
            list(read(Instruction))


def test_a_damaged_row_that_no_stage_makes_again_is_said_to_be_lost(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    for kind in (SuiteStrength, SuiteAddition):
        run.path(kind).parent.mkdir(parents=True, exist_ok=True)
        run.path(kind).write_text("{}\n")
        with pytest.raises(RunError, match=r":1: not a row of .*restore the file, or delete this line: its row is not"):
            [*run.rows(kind)]


def test_a_row_of_a_later_version_is_not_to_be_deleted(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    with run.appending_to(run.path(Instruction).name) as append:
        append({**to_json(instruction("a")), "difficulty": 3})
    for read in (run.rows, run.ids):
        with pytest.raises(
            RunError, match=r"instructions\.jsonl:1: .*by another version of plum-hub: use that"
        ) as told:
            list(read(Instruction))
        assert "delete" not in str(told.value)


def test_a_row_ends_with_the_checksum_of_the_line_without_it(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    with run.appending(Instruction) as append:
        append(instruction("bé\u2028"))
    line = run.path(Instruction).read_text().removesuffix("\n")
    row, stated = re.fullmatch(r'(.*),"row_crc32":"([0-9a-f]{8})"}', line).groups()  # type: ignore[union-attr]
    assert json.loads(f"{row}}}") == to_json(instruction("bé\u2028"))
    assert int(stated, 16) == zlib.crc32(f"{row}}}".encode())


def test_a_changed_bit_is_named_wherever_it_is(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    with run.appending(Instruction) as append:
        append(instruction("a"))
        append(instruction("b"))
    path = run.path(Instruction)
    whole = path.read_bytes()
    first, second = whole.splitlines(keepends=True)
    for at in range(len(first), len(whole) - 1):
        for bit in range(8):
            data = bytearray(whole)
            data[at] ^= 1 << bit
            path.write_bytes(data)
            for read in (run.rows, run.ids):
                with pytest.raises(
                    RunError, match=r"instructions\.jsonl:2: .*delete this line and run the same command"
                ):
                    list(read(Instruction))
    changed = second.replace(b'"text":"b"', b'"text":"c"')
    path.write_bytes(first + changed)
    with pytest.raises(
        RunError, match=r":2: .*its checksum is of other bytes: the line was changed after it was written"
    ):
        list(run.rows(Instruction))


def test_rows_of_earlier_versions_have_no_checksum(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    old = [instruction("a"), instruction("b")]
    run.path(Instruction).write_text("".join(json.dumps(to_json(row)) + "\n" for row in old))
    with run.appending(Instruction) as append:
        append(instruction("c"))
    assert [row.text for row in run.rows(Instruction)] == ["a", "b", "c"]
    assert [text for (text,) in run.columns(Instruction, "text")] == ["a", "b", "c"]


def test_a_changed_set_of_versions_is_named(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    run.record_environment({"python": "3.11.7"})
    path = tmp_path / "run" / "environments.jsonl"
    whole = path.read_bytes()
    for old, new in ((b"3.11.7", b"3.11.6"), (b"row_crc32", b"row_crc33"), (b"row_crc32", b"rov_crc32")):
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(RunError, match=r"environments\.jsonl:1: .*checksum"):
            list(run.environments())


def test_an_edited_recipe_is_refused_with_the_command_that_goes_on(tmp_path: Path, recipe: Recipe) -> None:
    folder = tmp_path / "run"
    Run.create(folder, recipe)
    path = folder / "recipe.yaml"
    path.write_text(path.read_text().replace("temperature: 0.8", "temperature: 0.9"))
    with pytest.raises(RunError, match=f"--run {folder}-2 --carry-over {folder}"):
        Run.open(folder)


def test_a_command_of_a_message_can_be_copied(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the folder is called."""
    folder = tmp_path / "my run"
    Run.create(folder, recipe)
    (folder / "recipe.yaml").write_text(recipe.to_yaml() + "#\n")
    for given, beside in ((folder, f"{folder}-2"), (Path(), f"{folder}-2")):
        monkeypatch.chdir(folder)
        with pytest.raises(RunError) as found:
            Run.open(given)
        recipe_path = str(given / "recipe.yaml")
        assert shlex.split(str(found.value).partition("still valid:  ")[2]) == [
            "plum-hub", "build-dataset", "--recipe", recipe_path, "--run", beside, "--carry-over", str(given),
        ]  # fmt: skip
    assert shlex.split(finished(folder))[3:] == [str(folder / "recipe.yaml"), "--run", str(folder)]


def test_a_sealed_recipe_reads_back_equal(tmp_path: Path, recipe: Recipe) -> None:
    Run.create(tmp_path / "run", recipe)
    assert Run.open(tmp_path / "run").recipe == recipe
    assert (tmp_path / "run" / "recipe.sha256").read_text().strip() == seal(recipe.to_yaml())


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="exists and is not a run folder"):
        Run.create(tmp_path, recipe)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".txt"] == ["thesis.txt"]


def test_two_processes_cannot_work_on_one_run(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    code = (
        "import sys; from pathlib import Path; from plum_hub.run import Run\n"
        "with Run.open(Path(sys.argv[1])).lock(): print('held')"
    )
    with run.lock():
        other = subprocess.run(
            [sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, check=False
        )
        assert "another plum-hub process" in other.stderr
    alone = subprocess.run([sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, check=False)
    assert alone.stdout == "held\n"


def test_a_full_disk_keeps_whole_rows_only(tmp_path: Path, recipe: Recipe) -> None:
    """A file-size limit stands for the full disk: the kernel takes part of a line and refuses the rest."""
    run = Run.create(tmp_path / "run", recipe)
    code = (
        "import resource, signal, sys; from pathlib import Path; from plum_hub.errors import RunError\n"
        "from plum_hub.run import Run; from plum_hub.records import Instruction\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "run = Run.open(Path(sys.argv[1]))\n"
        "try:\n"
        "    with run.appending(Instruction) as append:\n"
        "        for n in range(99): append(Instruction(id=str(n), text='t' * 50, source='s', revision='r', row='0'))\n"
        "except RunError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, check=False)
    assert "cannot be written" in done.stdout
    assert "run the same command again" in done.stdout
    assert run.path(Instruction).read_bytes().endswith(b"\n")
    assert len(list(run.rows(Instruction))) > 3


def test_a_read_only_folder_is_one_clear_line(recipe: Recipe) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        Run.create(Path("/proc/plum-hub-run"), recipe)  # where nobody may write, root included


def many(run: Run, start: int) -> list[str]:
    """Append enough rows for their small columns to be kept; return their ids."""
    rows = [instruction(f"{number} {'x' * 100_000}") for number in range(start, start + 100)]
    with run.appending(Instruction) as append:
        for row in rows:
            append(row)
    return [row.id for row in rows]


def test_columns_are_parsed_once_for_as_long_as_the_file_is_the_same(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    path, wanted = run.path(Instruction), many(run, 0)
    assert [name for (name,) in run.columns(Instruction, "id")] == wanted
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-9] + b"_" + content[-8:])  # in place, and at the time of before: nobody can tell
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [name for (name,) in run.columns(Instruction, "id")] == wanted
    (shard,) = run.shards
    assert shard.limited(["00000"]).ids(Instruction) == set(wanted)
    for reading in (lambda: run.columns(Instruction, "id", "text"), lambda: run.tables(Instruction)):
        with pytest.raises(RunError, match=r"instructions\.jsonl:100: not a row"):
            list(reading())
    os.utime(path)
    with pytest.raises(RunError, match=r"instructions\.jsonl:100: not a row"):
        list(run.columns(Instruction, "id"))
    path.write_bytes(content)
    more = many(run, 100)
    assert [name for (name,) in run.columns(Instruction, "id")] == wanted + more


def test_columns_of_a_reading_that_was_cut_short_are_not_kept(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    wanted = many(run, 0)
    assert next(run.columns(Instruction, "id")) == (wanted[0],)
    both = zip(run.columns(Instruction, "id"), run.columns(Instruction, "id"), strict=True)
    assert list(both) == [((name,), (name,)) for name in wanted]
    both = zip(run.columns(Instruction, "id"), run.columns(Instruction, "id"), strict=True)
    assert list(both) == [((name,), (name,)) for name in wanted]


def test_columns_are_read_where_no_temporary_file_can_be_written(tmp_path: Path, recipe: Recipe) -> None:
    run = Run.create(tmp_path / "run", recipe)
    wanted = many(run, 0)
    code = (
        "import resource, signal, sys; from pathlib import Path; from plum_hub.run import Run\n"
        "from plum_hub.records import Instruction\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "run = Run.open(Path(sys.argv[1]))\n"
        "for _ in range(2): assert [name for (name,) in run.columns(Instruction, 'id')] == sys.argv[2:]\n"
    )
    subprocess.run([sys.executable, "-c", code, str(run.folder), *wanted], check=True)


def test_a_suite_keeps_its_cases() -> None:
    suite = TestSuite(
        id="1", instruction_id="2", response_id="3", entry_point="f", starter_code="", reference="",
        cases=(TestCase(kind="call", call="f(1)", expected="2"), TestCase(kind="stdio", stdin="1\n", stdout="2\n")),
    )  # fmt: skip
    row = json.loads(json.dumps(to_json(suite)))
    assert "stdin" not in row["cases"][0]
    assert from_json(TestSuite, row) == suite


def test_a_prepared_digest_is_the_same() -> None:
    last = {"b": [1, "é"], "a": None}
    for one, other in (("0f", "a0"), ('quo"te\\', "é\ud800\n"), ("", "x,y")):
        assert digests_with(last)(one, other) == digest(one, other, last)


def test_names_in_other_letters_stay_apart() -> None:
    assert slug("me/Plum Starter@v1.0.0") == "plum-starter"
    assert slug("données.jsonl").startswith("donn-es-")
    assert len({slug(name) for name in ("训练一", "训练二", "run", "")}) == 3


def test_digest_sees_content_not_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(1) != digest("1")
