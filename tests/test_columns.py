"""Rows by columns are the rows that objects would be, or the same error."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plum_hub.columns import RecordSchema
from plum_hub.engines.scripted import ScriptedConfig
from plum_hub.errors import RunError
from plum_hub.lines import appending, whole_blocks
from plum_hub.recipe import Recipe
from plum_hub.records import (
    Drop,
    Instruction,
    Preference,
    Record,
    Sample,
    SuiteRoles,
    SuiteVote,
    TestSuite,
    Verdict,
    to_json,
)
from plum_hub.run import Run
from tests.release.rows import CHAT, judged, preference, sample, suite, verdict

KINDS: dict[type[Record], list[Any]] = {
    Sample: [sample("a"), replace(sample("b"), code=None, text='é "quoted"\n\u2028 line')],
    Verdict: [replace(verdict(sample("a"), "no_code"), cases=(), cpu_seconds=None), verdict(sample("b"), "failed")],
    Preference: [preference("a", label=True, prompt=CHAT), preference("b", label=False, prompt=CHAT)],
    Instruction: [suite()[0], replace(suite()[0], license=None)],
    TestSuite: [suite()[1]],
    SuiteRoles: [SuiteRoles(id="a", instruction_id="i", roles=["typical", "unspecified"])],
    SuiteVote: [SuiteVote(id="a", instruction_id="i", responses=["r1", "r2"], shares=[1.0, 2 / 3])],
    Drop: [Drop(id="a", stage="samples", reason="refused", instruction_id="i")],
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    engine = ScriptedConfig(model="answers.jsonl")
    return Run.create(tmp_path / "run", Recipe(policy=engine, generator=engine).filled())


def written(run: Run, kind: type[Record], rows: list[dict[str, Any]]) -> None:
    run.path(kind).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_table_holds_the_rows(run: Run, kind: type[Record]) -> None:
    rows = KINDS[kind]
    written(run, kind, [to_json(row) for row in rows])
    with run.path(kind).open("a") as file:
        file.write('{"id":"torn')
    [table] = run.tables(kind)
    assert table.equals(RecordSchema.of(kind, conversational=kind is Preference).table(rows))
    assert list(run.columns(kind, "id", "instruction_id" if kind is not Instruction else "text")) == [
        (row.id, row.text if kind is Instruction else row.instruction_id) for row in rows
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_table_has_no_checksums(run: Run, kind: type[Record]) -> None:
    """Also of a file whose first rows are of an earlier version, which wrote none."""
    rows = [*KINDS[kind], *KINDS[kind]]
    written(run, kind, [to_json(row) for row in KINDS[kind]])
    with appending(run.path(kind)) as append:
        for row in KINDS[kind]:
            append(to_json(row))
    assert run.path(kind).read_text().count('"row_crc32":') == len(KINDS[kind])
    [table] = run.tables(kind)
    assert table.equals(RecordSchema.of(kind, conversational=kind is Preference).table(rows))


def test_a_changed_row_is_named_where_it_is_looked_up(run: Run) -> None:
    with appending(run.path(Sample)) as append:
        for number in range(9):
            append(to_json(replace(sample(f"s{number}"), text="x" * 50_000)))  # more than is read ahead
    path = run.path(Sample)
    [ids] = run.matching(Sample, "id", [["s7", "s2"]])
    assert ids["id"].to_pylist() == ["s7", "s2"]
    found = run.matching(Sample, "id", [["s2"], ["s7"]])
    next(found)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[7] = lines[7].replace(b'"finish_reason":"stop"', b'"finish_reason":"stoq"')
    path.write_bytes(b"".join(lines))  # after the ids were read
    with pytest.raises(RunError, match=r"samples\.jsonl:8: .*its checksum"):
        next(found)


def test_what_an_older_version_did_not_write_has_its_default(run: Run) -> None:
    rows = [to_json(one) for _, one in judged(["failed", "passed"])]
    for row in rows:
        del row["output"], row["cases"][0]["judged"]
    written(run, Verdict, rows)
    [table] = run.tables(Verdict)
    assert table["output"].to_pylist() == ["", ""]
    assert table["cases"].to_pylist()[0][0]["judged"] == "outside"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"surplus": 1}, "unknown keys"),
        ({"text": None}, "None"),
        ({"index": "first"}, "first"),
        ({"index": 2**70}, "too"),
        ({"code": 5}, "int"),
    ],
)
def test_a_line_that_is_no_row_is_named(run: Run, change: dict[str, Any], why: str) -> None:
    good = to_json(sample("a"))
    written(run, Sample, [good, good | change, good])
    with pytest.raises(RunError, match=rf"samples\.jsonl:2: not a row of samples.*{why}.*delete this line"):
        list(run.tables(Sample))


def test_lines_that_are_no_json_are_named(run: Run) -> None:
    good = json.dumps(to_json(sample("a")))
    for bad in ("", "[1]", good[:-3], f"{good} {good}", '{"id": "\\ud800"}'):
        run.path(Sample).write_text(f"{good}\n{good}\n{bad}\n{good}\n")
        with pytest.raises(RunError, match=r"samples\.jsonl:3:"):
            list(run.tables(Sample))


def test_a_line_of_no_utf8_is_named(run: Run) -> None:
    good = json.dumps(to_json(sample("a"))).encode()
    run.path(Sample).write_bytes(b"\n".join([good, good.replace(b"def", b"\xff"), b""]))
    assert b"\xff" in run.path(Sample).read_bytes()
    with pytest.raises(RunError, match=r"samples\.jsonl:2: not a row of samples .*utf-8.*delete this line"):
        list(run.tables(Sample))


def test_matching_rows_come_in_the_order_that_is_asked(run: Run) -> None:
    pairs = judged(["passed"] * 30)
    written(run, Verdict, [to_json(row) for _, row in reversed(pairs)])
    names = [row.id for row, _ in pairs]
    found = run.matching(Verdict, "sample_id", [names[:10], names[10:]])
    assert [name for table in found for name in table["sample_id"].to_pylist()] == names
    lines = run.path(Verdict).read_text().splitlines(keepends=True)
    run.path(Verdict).write_text("".join([*lines[:4], lines[4].replace('"status"', '"state"'), *lines[5:]]))
    with pytest.raises(RunError, match=r"verdicts\.jsonl:5: .*state"):
        list(run.matching(Verdict, "sample_id", [names]))


def test_blocks_end_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n" + b"x" * 50 + b"\nfour\ntorn")
    for size in (1, 5, 8, 64, 1000):
        blocks = list(whole_blocks(path, size))
        assert b"".join(block for _, block in blocks) == path.read_bytes()[:-4]
        before = 0
        for number, block in blocks:
            assert number == before + 1
            before += block.count(b"\n")
    assert list(whole_blocks(tmp_path / "none")) == []


def test_many_rows_and_a_very_long_one(run: Run) -> None:
    rows = [sample(f"s{number}", suite="x" * 500) for number in range(9_000)]  # of which threads read parts
    rows.insert(4_000, replace(rows[0], id="long", text="y" * (1 << 22)))
    written(run, Sample, [to_json(row) for row in rows])
    assert [name for (name,) in run.columns(Sample, "id")] == [row.id for row in rows]
    assert max(len(text) for (text,) in run.columns(Sample, "text")) == 1 << 22
