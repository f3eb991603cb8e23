"""What is left out, for which reason, and which of the rest a limit chooses."""

import json
import tracemalloc
from pathlib import Path

import pytest
from pydantic import ValidationError

from plum_hub.instructions import InstructionsConfig, PaperSettings, load, paper_settings
from plum_hub.instructions.sources import source_rows
from plum_hub.records import Drop, Instruction, digest
from tests.instructions.reading import ADD, JOIN, LAST, reasons, walk, write_lines


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n\t ", "empty"),
        (17, "not_text"),
        (["a", "list"], "not_text"),
        ("Write a Python function about \ud800 half a pair", "not_text"),
        ("Add two numbers.", "too_short"),
        (ADD * 200, "too_long"),
        ("Write a Java method that adds two numbers and returns them.", "not_python"),
        (f"  {ADD.upper()}  ", "exact_duplicate"),
        (ADD.replace("two numbers", "two numbers!"), "near_duplicate"),
    ],
)
def test_every_row_left_out_has_a_reason(tmp_path: Path, value: object, reason: str) -> None:
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [{"text": ADD}, {"text": value}, {"text": LAST}]))
    assert [row.text for row in kept] == [ADD, LAST]
    assert reasons(drops) == {reason: 1}
    assert drops[0].stage == "instructions"
    assert drops[0].detail == (kept[0].id if "duplicate" in reason else "row 2")


@pytest.mark.parametrize("source", ["", "/*/*.jsonl"])
def test_of_several_files_a_row_that_is_left_out_names_its_file(tmp_path: Path, source: str) -> None:
    for name, rows in (("a", [ADD]), ("b", ["too short", LAST, None])):
        (tmp_path / "d" / name).mkdir(parents=True)
        write_lines(tmp_path / "d" / name / "train.jsonl", [{"text": text} for text in rows])
    _, drops = walk(f"{tmp_path}/d{source}")
    assert [drop.detail for drop in drops] == ["row 2, b/train.jsonl:1", "row 4, b/train.jsonl:3"]


def test_the_row_behind_an_instruction_is_the_one_that_it_was_made_of(tmp_path: Path) -> None:
    """Sets of several languages have each task once for every language."""
    text = "Write a function that returns the last item of a list or None."
    rows = [{"text": text, "lang": lang, "test": f"a {lang} test"} for lang in ("java", "python", "python")]
    config = InstructionsConfig(source=str(write_lines(tmp_path / "t.jsonl", [*rows, {"text": ADD, "test": "own"}])))
    found = {name: row["test"] for name, row in source_rows(config, {"test"})}
    assert found == {digest(text): "a python test", digest(ADD): "own"}
    assert [row.row for row in load(config).rows if isinstance(row, Instruction)] == ["2", "4"]


def test_a_row_without_the_column_is_empty(tmp_path: Path) -> None:
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [{"text": ADD}, {"note": "no text here"}]))
    assert (len(kept), reasons(drops)) == (1, {"empty": 1})


def test_equal_rows_left_out_are_told_apart(tmp_path: Path) -> None:
    _, drops = walk(write_lines(tmp_path / "t.jsonl", [{"text": ADD}] + [{"text": None}] * 3 + [{"text": ADD}] * 2))
    assert len({drop.id for drop in drops}) == len(drops) == 5


def test_white_space_around_and_windows_line_ends_are_not_part_of_a_task(tmp_path: Path) -> None:
    kept, _ = walk(write_lines(tmp_path / "t.jsonl", [{"text": f"\n{ADD}\r\nBe quick.  "}]))
    assert kept[0].text == f"{ADD}\nBe quick."
    assert kept[0].id == digest(kept[0].text)


def test_python_only_and_lengths_and_similarity_are_settings(tmp_path: Path) -> None:
    java = "Write a Java method that adds two numbers and returns them."
    path = write_lines(
        tmp_path / "t.jsonl", [{"text": text} for text in (ADD, ADD.replace("two", "2"), java, "Sum a list")]
    )
    assert reasons(walk(path)[1]) == {"near_duplicate": 1, "not_python": 1, "too_short": 1}
    assert walk(path, python_only=False, near_duplicates=1.0, min_characters=1)[1] == []
    assert reasons(walk(path, max_characters=len(java))[1])["too_long"] == 2


def test_a_column_of_programming_languages_decides_and_one_of_tongues_does_not(tmp_path: Path) -> None:
    rows = [
        {"problem": "Write a function that sorts a list of numbers.", "lang": "Rust"},
        {"problem": "Port this old Java method so that it sorts names.", "lang": "python"},
    ]
    assert [row.text for row in walk(write_lines(tmp_path / "a.jsonl", rows))[0]] == [rows[1]["problem"]]
    tongues = [{"question": row["problem"], "language": "en"} for row in rows]
    assert [row.text for row in walk(write_lines(tmp_path / "b.jsonl", tongues))[0]] == [rows[0]["problem"]]


def test_an_alpaca_row_carries_its_input(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Return the largest of these numbers.", "input": "[3, 9, 2]"},
        {"instruction": ADD, "input": ""},
    ]
    kept, _ = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert [row.text for row in kept] == ["Return the largest of these numbers.\n\n[3, 9, 2]", ADD]


@pytest.mark.parametrize(("value", "text"), [([1, 2], "[1, 2]"), (5, "5"), (0, "0"), ({"é": [1]}, '{"é": [1]}')])
def test_an_input_of_any_type_is_part_of_the_task(tmp_path: Path, value: object, text: str) -> None:
    rows = [{"Instruction": ADD, "INPUT": value}, {"Instruction": JOIN, "INPUT": None}, {"Instruction": LAST}]
    kept, _ = walk(write_lines(tmp_path / "t.jsonl", rows), column="Instruction")
    assert [row.text for row in kept] == [f"{ADD}\n\n{text}", JOIN, LAST]


def test_an_input_without_an_end_is_left_out_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"instruction": "{ADD}", "input": {"[" * 900}{"]" * 900}}}\n')
    kept, drops = walk(tmp_path / "t.jsonl")
    assert len(kept) + len(drops) == 1


def test_an_id_that_is_missing_is_the_number_of_the_row(tmp_path: Path) -> None:
    rows = [{"id": name, "text": text} for name, text in zip((float("nan"), 7.0, ""), (ADD, JOIN, LAST), strict=True)]
    assert [row.row for row in walk(write_lines(tmp_path / "t.jsonl", rows))[0]] == ["1", "7", "3"]


def chat(piece: str, *turns: tuple[str, str]) -> dict[str, object]:
    return {"id": piece, "conversations": [{"from": speaker, "value": value} for speaker, value in turns]}


def test_of_a_chat_only_an_opening_request_for_testable_python_is_kept(tmp_path: Path) -> None:
    ask = "Write a python function is\\_even(n) that returns True for even numbers"
    rows = [
        chat("QWJhYvA_0", ("human", ask), ("gpt", "Sure")),
        chat("QWJhYvA_8", ("human", JOIN)),
        chat("QWJhYvB_0", ("gpt", "Here you are"), ("human", LAST)),
        chat("QWJhYvC_0", ("system", "Be kind."), ("human", ADD)),
        chat("QWJhYvD_0", ("human", "Write a poem about the four seasons, please")),
        chat("QWJhYvE_0", ("human", "Write a python function that downloads a website and returns its title")),
        chat("QWJhYvF_0", ("human", "What is the best way to get better at python?")),
        {"id": "QWJhYvG_0", "conversations": []},
    ]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert [(row.row, row.text) for row in kept] == [("QWJhYvA_0", ask.replace("\\_", "_")), ("QWJhYvC_0", ADD)]
    assert reasons(drops) == {"not_first_turn": 2, "empty": 1, "no_python": 1, "not_a_request": 2}
    kept, drops = walk(tmp_path / "t.jsonl", requests_only=False, python_only=False)
    assert (len(kept), reasons(drops)) == (5, {"not_first_turn": 2, "empty": 1})


SILENT = "Write a function that returns the largest even one of a list of integers."
SERVED = "You are tasked with creating a Python class that keeps images in a database behind an API."


def talk(task: str, answer: str | None = None) -> list[dict[str, str]]:
    said = [] if answer is None else [{"role": "assistant", "content": answer}]
    return [{"role": "user", "content": task}, *said]


@pytest.mark.parametrize("column", ["messages", "conversations", "prompt", "chosen"])
@pytest.mark.parametrize("answer", [None, "```python\ndef f(xs): ...\n```", "print(max(xs))"])
def test_tasks_that_are_kept_as_conversations_are_tasks(tmp_path: Path, column: str, answer: str | None) -> None:
    plain, _ = walk(write_lines(tmp_path / "p.jsonl", [{"instruction": text} for text in (SILENT, SERVED)]))
    path = write_lines(tmp_path / "t.jsonl", [{column: talk(text, answer)} for text in (SILENT, SERVED)])
    kept, drops = walk(path)
    assert ([row.text for row in kept], drops) == ([row.text for row in plain], [])
    kept, drops = walk(path, requests_only=True)
    assert ([row.text for row in kept], reasons(drops)) == ([SILENT], {"not_a_request": 1})


def test_a_conversation_whose_answer_shows_no_python_is_left_out(tmp_path: Path) -> None:
    answers = ["SELECT 1;", "It is the last one.", "```java\nint x;\n```"]
    path = write_lines(
        tmp_path / "t.jsonl", [{"messages": talk(f"{SILENT} {n * '!'}", a)} for n, a in enumerate(answers)]
    )
    assert reasons(walk(path, near_duplicates=1.0)[1]) == {"no_python": 3}
    assert walk(path, near_duplicates=1.0, python_only=False)[1] == []


@pytest.mark.parametrize("name", ["QWJhYvA_0", "u32rui1_0"])
def test_in_sharegpt_the_answer_does_not_count(tmp_path: Path, name: str) -> None:
    rows = [chat(name, ("human", text), ("gpt", "```python\nf()\n```")) for text in (SILENT, SERVED, ADD)]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert ([row.text for row in kept], reasons(drops)) == ([ADD], {"no_python": 1, "not_a_request": 1})


def test_messages_of_roles_are_read_as_well(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ADD}]}]
    assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", rows))[0]] == [ADD]


NUMBERED = [
    f"{verb} a Python function named {verb.lower()}{n} about {n * 7919}."
    for n in range(20)
    for verb in ("Write", "Make")
]


def test_a_limit_selects_by_seed_keeps_the_order_and_drops_nothing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", [{"text": text} for text in [*NUMBERED, NUMBERED[0]]])
    everything, _ = walk(path, near_duplicates=1.0)
    loaded = load(InstructionsConfig(source=str(path), limit=10, near_duplicates=1.0))
    rows = list(loaded.rows)
    chosen = [row for row in rows if isinstance(row, Instruction)]
    assert (len(chosen), loaded.beyond_limit) == (10, 30)
    assert reasons(row for row in rows if isinstance(row, Drop)) == {"exact_duplicate": 1}
    assert chosen == [row for row in everything if row in chosen]
    assert walk(path, limit=10, near_duplicates=1.0, seed=1)[0] != chosen
    assert walk(path, limit=100, near_duplicates=1.0)[0] == everything


def test_rows_added_later_displace_few_of_those_chosen(tmp_path: Path) -> None:
    few = write_lines(tmp_path / "few.jsonl", [{"text": text} for text in NUMBERED[:36]])
    more = write_lines(tmp_path / "more.jsonl", [{"text": text} for text in reversed(NUMBERED)])
    before, after = ({row.id for row in walk(path, limit=20, near_duplicates=1.0)[0]} for path in (few, more))
    assert len(before & after) >= 16


def test_loading_twice_gives_the_same_rows(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", [{"text": text} for text in [*NUMBERED, ADD, "", ADD.replace("two", "2")]])
    assert walk(path, limit=7) == walk(path, limit=7)


def test_the_papers_settings() -> None:
    assert paper_settings("oss-instruct") == paper_settings("mine.jsonl") == PaperSettings(responses=3, samples=20)
    assert paper_settings("evol-instruct-code") == PaperSettings(responses=6, samples=50)
    assert paper_settings("nickrosh/Evol-Instruct-Code-80k-v1:instruction") == PaperSettings(responses=6, samples=50)


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"near_duplicates": 0}, {"near_duplicates": 1.1}, {"sources": "starter"}]
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InstructionsConfig.model_validate(wrong)


def test_a_limit_holds_no_more_memory_for_more_instructions(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.jsonl"
        padding = "and explain each step, " * 80
        path.write_text("".join(json.dumps({"instruction": f"Sort list {n}, {padding}"}) + "\n" for n in range(rows)))
        loaded = load(InstructionsConfig(source=str(path), limit=rows // 2, near_duplicates=1.0)).rows
        tracemalloc.start()
        try:
            assert sum(isinstance(row, Instruction) for row in loaded) == rows // 2
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # imports
    assert peak(2_400) - peak(1_200) < 600 * 1_000  # the 600 instructions more that are kept are 1,900 bytes each
