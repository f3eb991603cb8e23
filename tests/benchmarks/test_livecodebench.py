"""LiveCodeBench's files as they are published, and as they should not be."""

import base64
import gzip
import json
import os
import pickle
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from plum_hub.benchmarks.livecodebench import ContestSelection, LiveCodeBench
from plum_hub.benchmarks.livecodebench.encoded import decode_tests
from plum_hub.benchmarks.livecodebench.files import SHARDS
from plum_hub.errors import BenchmarkError
from plum_hub.execution.base import Call, Reinterpretation, Stdio

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "livecodebench"
V6 = ContestSelection(release="v6")
Row = dict[str, Any]


def encoded(text: object, protocol: int = 4) -> str:
    """As LiveCodeBench encodes private tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(text, protocol))).decode()


def column_of(kind: str, *pairs: tuple[str, str]) -> str:
    return json.dumps([{"input": given, "output": expected, "testtype": kind} for given, expected in pairs])


def row(number: int, **changes: object) -> Row:
    """Odd ones ask for a method, even ones for a program."""
    functional = number % 2 == 1
    kind = "functional" if functional else "stdin"
    return {
        "question_title": f"Title {number}",
        "question_content": f"Question {number}",
        "platform": "leetcode" if functional else "atcoder",
        "question_id": f"q{number:03}",
        "contest_id": "c1",
        "contest_date": f"2025-0{number % 3 + 1}-15T0{number % 2}:00:00",
        "starter_code": "class Solution:\n    def f(self, a: List[int]) -> int:\n        " if functional else "",
        "difficulty": ("easy", "medium", "hard")[number % 3],
        "public_test_cases": column_of(kind, ("[1, 2]\n3", "[4]") if functional else ("1 2\n", "3\n")),
        "private_test_cases": encoded(column_of(kind, ('"a\\"b"\nnull', "1.5") if functional else ("5 6\n", "11\n"))),
        "metadata": json.dumps({"func_name": "f"} if functional else {}),
    } | changes


def rows() -> list[Row]:
    return [row(number) for number in range(SHARDS[6].problems)]


def write(path: Path, content: list[Row]) -> Path:
    text = "".join(f"{json.dumps(one)}\n" for one in content).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def load(source: Path, selection: ContestSelection = V6) -> LiveCodeBench:
    benchmark = LiveCodeBench(selection, source)
    list(benchmark.problems())
    return benchmark


@pytest.mark.parametrize("name", ["test6.jsonl", "test6.jsonl.gz"])
def test_published_files_are_read_without_their_script(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, rows()[::-1])
    benchmark = load(tmp_path)
    program, method = list(benchmark.problems())[:2]

    assert (program.id, program.entry_point, program.cpu_seconds) == ("q000", None, 12.0)
    assert program.suites["base"] == (
        Stdio(stdin="1 2\n", stdout="3\n", comparison="livecodebench", cpu_seconds=6.0),
        Stdio(stdin="5 6\n", stdout="11\n", comparison="livecodebench", cpu_seconds=6.0),
    )
    assert program.suites["base:strict"] == (
        Reinterpretation(case=0, comparison="words"),
        Reinterpretation(case=1, comparison="words"),
    )
    assert (method.id, method.entry_point, method.tags["difficulty"]) == ("q001", "Solution", "medium")
    texts = ("('[1, 2]', '3')", """('"a\\\\"b"', 'null')""")
    assert method.suites["base:strict"] == tuple(
        Call(
            expression=f"Solution().f(*__plum_map__(__plum_import__('json').loads, {text}))",
            expected=value,
            cpu_seconds=6.0,
        )
        for text, value in zip(texts, ("[4]", "1.5"), strict=True)
    )
    assert {case.comparison for case in method.suites["base"] if isinstance(case, Call)} == {"as_list"}
    assert benchmark.caveat == ""
    assert benchmark.revision.startswith("sha256:")


def test_a_compressed_copy_is_the_same_version(tmp_path: Path) -> None:
    plain, packed = write(tmp_path / "test6.jsonl", rows()), write(tmp_path / "test6.jsonl.gz", rows())

    assert load(plain).revision == load(packed).revision


def test_a_file_of_several_releases_says_which_row_is_of_which(tmp_path: Path) -> None:
    several = [one | {"release": "release_v6"} for one in rows()] + [row(900, release="release_v5")]
    path = write(tmp_path / "livecodebench_mine.jsonl", several)

    assert len(list(load(path).problems())) == SHARDS[6].problems
    with pytest.raises(BenchmarkError, match="1 problems of release_v5, expected 167"):
        load(path, ContestSelection(release="v5"))


def test_missing_private_tests_are_said(tmp_path: Path) -> None:
    changed = rows()
    changed[0]["private_tests_complete"] = False
    changed[2] = row(2, public_test_cases="[]", private_test_cases="[]")
    benchmark = load(write(tmp_path / "test6.jsonl", changed))

    assert benchmark.caveat == (
        "1 of 174 problems have only part of their private tests here, so that a score is an upper bound of the "
        "official one; left out, because they have no tests: q002"
    )
    assert next(benchmark.problems()).tags["tests"] == "partial"


def test_problems_are_chosen(tmp_path: Path) -> None:
    source = write(tmp_path / "test6.jsonl", rows())

    def dates(**choice: Any) -> set[str]:
        return {one.tags["date"] for one in load(source, ContestSelection(release="v6", **choice)).problems()}

    assert dates(start=date(2025, 2, 15), end=date(2025, 2, 16)) == {"2025-02-15T00:00:00", "2025-02-15T01:00:00"}
    assert dates(end=date(2025, 1, 15)) == {"2025-01-15T00:00:00"}, "later in the day is later, as LiveCodeBench has it"
    leetcode = load(source, ContestSelection(release="v6", platforms=("leetcode",), difficulties=("hard",))).problems()
    assert {(one.tags["platform"], one.tags["difficulty"]) for one in leetcode} == {("leetcode", "hard")}
    with pytest.raises(BenchmarkError, match=r"no problem in v6 2026-01-01\.\.: widen"):
        load(source, ContestSelection(release="v6", start=date(2026, 1, 1)))


@pytest.mark.parametrize(
    ("release", "numbers"),
    [("release_v1", [1]), ("release_v3", [1, 2, 3]), ("v5", [5]), ("v4_v6", [4, 5, 6]), ("v2_v2", [2])],
)
def test_releases(release: str, numbers: list[int]) -> None:
    assert list(ContestSelection(release=release).releases) == numbers


@pytest.mark.parametrize("release", ["release_v7", "v0", "v5_v4", "release_v1_v2", "release_latest", "", "v6 "])
def test_unknown_releases_are_refused(release: str) -> None:
    with pytest.raises(BenchmarkError, match="give one from release_v1 to release_v6"):
        ContestSelection(release=release)


@pytest.mark.parametrize("choice", [{"platforms": ("spoj",)}, {"difficulties": ()}, {"difficulties": ("Easy",)}])
def test_unknown_choices_are_refused(choice: dict[str, Any]) -> None:
    with pytest.raises(BenchmarkError, match="LiveCodeBench has no"):
        ContestSelection(**choice)


class Harm:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_text_is_read_and_no_function(tmp_path: Path, protocol: int) -> None:
    text = json.dumps(["é\n\ud83d"]) + "\u20ac"
    harmed = tmp_path / "harmed"

    assert decode_tests(encoded(text, protocol), "f:1") == text
    with pytest.raises(BenchmarkError, match=r"f:1: private tests contain a pickle that is not a string \(.*GLOBAL\)"):
        decode_tests(encoded(Harm(harmed), protocol), "f:1")
    assert not harmed.exists()


def packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not base64!", "neither JSON nor compressed"),
        ("AAAA", "neither JSON nor compressed"),
        ("", "are truncated"),
        (encoded("[]")[:-8], "are truncated"),
        (packed(b""), "damaged pickle"),
        (packed(b"nonsense"), "damaged pickle"),
        (packed(pickle.dumps("[]")[:-3]), "damaged pickle"),
        (packed(b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fab."), "damaged pickle"),
        (packed(b"\x80\x04."), "0 strings"),
        (packed(b"\x80\x04\x8c\x01ar\xff\xff\xff\x7f\x8c\x01b."), "2 strings"),  # a memo of 16 GB, were it made
        (encoded(["[]"]), "is not a string"),
        (encoded(b"[]", 2), "is not a string"),
        (packed(b"\x80\x02\x82\x01."), "is not a string"),  # an extension's code
        (packed(b"Pid\n."), "is not a string"),  # a persistent id
        (packed(b"\0" * 5_000_000), "more than 4000000 bytes"),
    ],
)
def test_what_is_no_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BenchmarkError, match=reason):
        decode_tests(text, "f:1", max_bytes=4_000_000)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question_id": "q001"}, r"test6\.jsonl:1: .*|test6\.jsonl:2: question 'q001' is a duplicate"),
        ({"metadata": '{"func_name": "f(); import os"}'}, "not a method name"),
        ({"metadata": "[]"}, "metadata is not a JSON dict"),
        ({"metadata": '{"func_name": "f"}'}, "public_test_cases contains something other than a functional test"),
        ({"public_test_cases": '[{"input": "1", "output": 2, "testtype": "stdin"}]'}, "other than a stdin test"),
        ({"public_test_cases": '{"input": "1"}'}, "public_test_cases is not a JSON list"),
        ({"private_test_cases": "[" * 100_000}, "private_test_cases is damaged"),
        ({"private_test_cases": encoded("[1, 2")}, "private_test_cases is damaged"),
        ({"private_test_cases": None}, "has no text in private_test_cases"),
        ({"contest_date": "soon"}, "contest_date is 'soon'"),
        ({"platform": "spoj"}, "platform is 'spoj'"),
        ({"difficulty": "Easy"}, "difficulty is 'Easy'"),
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, changes: Row, reason: str) -> None:
    with pytest.raises(BenchmarkError, match=reason) as caught:
        load(write(tmp_path / "test6.jsonl", [row(0, **changes), *rows()[1:]]))
    assert "test6.jsonl:" in str(caught.value)


def test_arguments_that_are_no_json_are_found(tmp_path: Path) -> None:
    bad = row(1, public_test_cases=column_of("functional", ("[1,", "2")))

    with pytest.raises(BenchmarkError, match="public_test_cases is damaged"):
        load(write(tmp_path / "test6.jsonl", [rows()[0], bad, *rows()[2:]]))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("test6.jsonl", cut, r"test6\.jsonl:175: is not JSON, the file is damaged or truncated"),
        ("test6.jsonl.gz", cut, "truncated or not gzip"),
        ("test6.jsonl.gz", lambda path: path.write_bytes(b"{}\n"), "truncated or not gzip"),
        ("test6.jsonl", lambda path: path.write_bytes(b"[]\n"), "is not a JSON object"),
        ("test6.jsonl", lambda path: path.write_bytes("é\n".encode("latin1")), "is not JSON"),
        ("test6.jsonl", lambda path: path.write_bytes(b""), "0 problems of release_v6, expected 175"),
        ("test6.jsonl", lambda path: write(path, rows()[:-1]), "174 problems of release_v6.*another version"),
        ("test5.jsonl", Path.stat, r"contains neither test6\.jsonl nor"),
        ("contests.jsonl", Path.stat, "contains neither"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, name: str, damage: Callable[[Path], object], reason: str) -> None:
    damage(write(tmp_path / name, rows()))

    with pytest.raises(BenchmarkError, match=reason):
        load(tmp_path)


def test_a_file_that_says_nothing_of_its_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"contests\.jsonl:1: its release is unknown"):
        load(write(tmp_path / "contests.jsonl", rows()))
    with pytest.raises(BenchmarkError, match="does not exist"):
        load(tmp_path / "nothing")
    write(tmp_path / "test6.jsonl", rows())
    with pytest.raises(BenchmarkError, match=r"lacks test5\.jsonl"):
        load(tmp_path, ContestSelection(release="v5_v6"))


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "test6.jsonl", rows())
    problem = next(load(path).problems())
    path.write_bytes(b"")

    with pytest.raises(BenchmarkError, match=r"test6\.jsonl:1: is not JSON"):
        problem.suites["base"]


@pytest.mark.shared
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/livecodebench is not there")
@pytest.mark.parametrize(
    ("selection", "problems"),
    [
        (ContestSelection(release="release_v1"), 400),
        (ContestSelection(), 1054),
        (ContestSelection(release="release_v5", start=date(2024, 8, 1), end=date(2025, 2, 1)), 279),
        (ContestSelection(release="release_v6", start=date(2025, 2, 1), end=date(2025, 5, 1)), 131),
    ],
)
def test_windows_hold_as_many_problems_as_others_report(selection: ContestSelection, problems: int) -> None:
    benchmark = load(DATA, selection)

    assert len(list(benchmark.problems())) == problems
    assert "upper bound" in benchmark.caveat


@pytest.mark.shared
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/livecodebench is not there")
def test_the_published_encoding_gives_the_same_suites(tmp_path: Path) -> None:
    (path,) = DATA.glob("*.jsonl.gz")
    with gzip.open(path) as file:
        published = [json.loads(line) for line in file]
    published = [one for one in published if one.pop("release") == "release_v6"]
    for one in published:
        one["private_test_cases"] = encoded(one["private_test_cases"])
        del one["private_tests_complete"]
    write(tmp_path / "test6.jsonl", published)

    ours = {one.id: one for one in load(tmp_path).problems()}
    assert len(ours) == 175
    for problem in load(DATA).problems():
        assert dict(ours[problem.id].suites) == dict(problem.suites)
        assert ours[problem.id].text == problem.text
