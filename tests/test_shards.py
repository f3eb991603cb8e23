"""Runs of several shards: the same rows and the same release as one shard gives, kept through kills, in one view."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import plum_hub as api
from plum_hub.pipeline.shards import SHARD_INSTRUCTIONS, RunProgress, shard_size
from plum_hub.pipeline.source_reader import SourceReader
from plum_hub.pipeline.status import summarise
from plum_hub.progress import LoggedProgress
from plum_hub.records import Drop, Instruction, Preference, Response, Sample, TestSuite, Verdict, to_json
from plum_hub.run import FILES, Run
from tests.rehearsal import command, plum_hub, write_rehearsal

SMALL = """
import sys
from plum_hub.pipeline import shards
shards.UNIT, shards.SHARD_INSTRUCTIONS = 1, int(sys.argv.pop(1))
from plum_hub.cli import main
main()
"""
"""The command line with shards of so many instructions (first argument)."""
TASKS = 11


def sharded(size: int, arguments: list[str]) -> list[str]:
    assert arguments[:3] == [sys.executable, "-m", "plum_hub"]
    return [sys.executable, "-c", SMALL, str(size), *arguments[3:]]


def facts(run: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of a run in order, without what may differ between two runs of a program."""
    opened, found = Run.open(run), {}
    for kind in FILES:
        rows = [to_json(row) for row in opened.rows(kind)]  # type: ignore[type-var]
        for row in rows:
            row.pop("cpu_seconds", None)
            row.pop("peak_memory_mb", None)
        found[FILES[kind]] = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
    return found


def content(run: Path) -> dict[str, str]:
    """The digests of a release's rows; those of `samples` hold CPU seconds, which no two runs have in common."""
    digests: dict[str, str] = json.loads((run / "release" / "dataset" / "manifest.json").read_text())["content"]
    assert digests.pop("samples")
    return digests


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rehearsal and two runs of it: of one shard, and of three."""
    folder = tmp_path_factory.mktemp("shards")
    write_rehearsal(folder, TASKS)
    done = plum_hub(command(folder, "--quiet", run="whole"))
    assert done.returncode == 0, done.stderr
    assert Run.open(folder / "whole").names == ("00000",)
    done = plum_hub(sharded(4, command(folder, run="split")))
    assert done.returncode == 0, done.stderr
    (folder / "shown").write_text(done.stderr)
    return folder


def test_shards_change_neither_rows_nor_release(whole: Path) -> None:
    run = Run.open(whole / "split")
    assert run.names == ("00000", "00001", "00002")
    assert [sum(1 for _ in shard.rows(Instruction)) for shard in run.shards] == [4, 4, 3]
    for shard in run.shards:  # everything made of an instruction lies beside it
        own = shard.ids(Instruction)
        for kind in (Response, TestSuite, Sample, Verdict, Preference):
            assert {name for (name,) in shard.columns(kind, "instruction_id")} <= own
    assert facts(whole / "split") == facts(whole / "whole")
    assert content(whole / "split") == content(whole / "whole")
    shown = [line.split("  ")[0].split(": ") for line in (whole / "shown").read_text().splitlines() if ": " in line]
    ends = {parts[0]: parts[1] for parts in shown}  # the last line of each stage; a slow machine shows more
    assert (ends["responses"], ends["suites"], ends["samples"]) == ("44/44", "44/44", "66/66")


def test_status_views_and_training_see_all_shards(whole: Path) -> None:
    counts = [summarise(Run.open(whole / name)).as_json() for name in ("whole", "split")]
    assert counts[0] == counts[1]
    seen = [api.views(whole / name, rule="plum", out=whole / f"{name}-rows") for name in ("whole", "split")]
    assert seen[0].as_json()["views"] == seen[1].as_json()["views"]
    for name in ("kto", "dpo", "sft"):
        texts = [(whole / f"{run}-rows" / f"{name}.jsonl").read_text() for run in ("whole", "split")]
        assert texts[0] == texts[1] != ""


def test_a_killed_build_of_shards_is_completed(whole: Path) -> None:
    slow = sharded(3, command(whole, "--quiet", run="killed", delay=0.02))
    for file, rows in (("responses", 2), ("samples", 3)):
        process = subprocess.Popen(slow)
        path = whole / "killed" / "shards" / "00002" / f"{file}.jsonl"
        while not (path.exists() and path.read_bytes().count(b"\n") >= rows):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(slow, check=False).returncode == 0
    assert len(Run.open(whole / "killed").names) == 4
    assert facts(whole / "killed") == facts(whole / "whole")
    assert content(whole / "killed") == content(whole / "whole")


def test_a_run_that_has_one_large_shard_keeps_it(whole: Path) -> None:
    path = whole / "whole" / "shards" / "00000" / "preferences.jsonl"
    labelled = path.read_bytes()
    path.unlink()
    done = plum_hub(sharded(4, command(whole, "--quiet", run="whole")))
    assert done.returncode == 0, done.stderr
    assert Run.open(whole / "whole").names == ("00000",)
    assert path.read_bytes() == labelled


def test_rows_are_carried_over_between_runs_of_other_shards(whole: Path) -> None:
    again = sharded(5, command(whole, "--quiet", "--carry-over", str(whole / "split"), run="again"))
    assert plum_hub(again).returncode == 0
    verdicts = [
        sorted(Run.open(whole / name).columns(Verdict, "id", "cpu_seconds", "peak_memory_mb"))
        for name in ("split", "again")
    ]
    assert verdicts[0] == verdicts[1]  # measured once: none was judged again


def test_published_suites_and_tests_of_rows_find_their_shards(whole: Path) -> None:
    tasks = whole / "tests.jsonl"
    (whole / "mute.jsonl").write_text('{"texts": ["No idea."]}\n')
    with tasks.open("w") as file:
        for number in range(7):
            asserts = [f"assert triple_{number}({value}) == {3 * value}" for value in (1, 2, 5)]
            row = {"instruction": f"Write a Python function `triple_{number}(x)` that gives three times x.",
                   "test_list": asserts, "code": f"def triple_{number}(x):\n    return 3 * x\n"}  # fmt: skip
            file.write(json.dumps(row) + "\n")
    for size, name in ((100, "rows-whole"), (2, "rows-split")):
        options = ["--quiet", "--suites", "rows", "--set", "samples.per_instruction=1"]
        arguments = command(whole, *options, run=name)
        arguments[arguments.index("--instructions") + 1] = str(tasks)
        arguments[arguments.index("--model") + 1] = f"scripted:{whole / 'mute.jsonl'}"
        done = plum_hub(sharded(size, arguments))
        assert "no instruction has a chosen sample" in done.stderr or done.returncode == 0, done.stderr
    suites = [list(Run.open(whole / name).columns(TestSuite, "id")) for name in ("rows-whole", "rows-split")]
    assert suites[0] == suites[1]
    assert len(suites[0]) == 7
    assert len(Run.open(whole / "rows-split").names) == 4


def test_a_source_is_read_once_by_shards_that_come_in_order() -> None:
    opened = 0

    def source() -> Iterator[tuple[str, int]]:
        nonlocal opened
        opened += 1
        yield from [("a", 1), ("b", 2), ("b", 3), ("x", 0), ("c", 4), ("d", 5)]

    reader: SourceReader[int] = SourceReader(source)
    assert list(reader.take({"a", "b"})) == [("a", 1), ("b", 2), ("b", 3)]
    assert list(reader.take({"c"})) == [("c", 4)]
    assert list(reader.take({"d"})) == [("d", 5)]
    assert opened == 1
    assert list(reader.take({"b", "none"})) == [("b", 2), ("b", 3)]  # out of order, and one that is not there
    assert list(reader.take(set())) == []
    assert opened == 2


def test_progress_of_shards_is_one_view() -> None:
    shown = LoggedProgress()
    view = RunProgress(shown, {"00000": 10, "00001": 30})
    first, second = view.of("00000"), view.of("00001")
    first.begin("samples", 20, 5)
    assert (shown.total, shown.done) == (80, 5)  # 2 for each of 40 instructions
    first.advance(10)
    second.begin("samples", 50, 20)
    assert (shown.total, shown.done) == (70, 35)
    second.begin("samples", 50, 25)  # again, after its worker died
    second.advance(25)
    first.advance(5)
    assert (shown.total, shown.done) == (70, 70)
    assert first.beside() is not second.beside()
    first.beside().begin("verdicts", 20, 0)
    second.beside().begin("verdicts", 50, 0)
    assert view.beside().inner.total == 70  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("instructions", "workers", "size", "shards"),
    [(None, 1, SHARD_INSTRUCTIONS, None), (100, 1, SHARD_INSTRUCTIONS, 1), (100, 4, 64, 2), (10_000, 4, 1280, 8),
     (2048 * 4, 4, 2048, 4), (2048 * 4 + 1, 4, 1088, 8), (6000, 3, 2048, 3)],
)  # fmt: skip
def test_every_worker_gets_as_many_shards(instructions: int | None, workers: int, size: int, shards: int) -> None:
    found = shard_size(instructions, workers)
    assert found == size
    if instructions is not None:
        assert -(-instructions // found) == shards


def test_a_view_of_several_shards_does_not_append(whole: Path) -> None:
    run = Run.open(whole / "split")
    with pytest.raises(ValueError, match="has 3 shards"), run.appending(Drop):
        pass
