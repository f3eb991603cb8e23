"""Rows of other tools: what was asked stands beside the answers, and a label or a mark says what they are worth."""

import json
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import TrainingError
from plum_hub.release.schemas import Method
from plum_hub.training.data import read_data
from tests.training import toy
from tests.training.test_forms import OTHER, SHAREGPT, TURNS, assistant, rows_of, user

TASK = "Write a Python function add(a, b)."
RIGHT, WRONG = "def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b"
ASKED = [user(TASK)]
PAIR = {"chosen": RIGHT, "rejected": WRONG}
MADE = {"prompt": ASKED, "chosen": [assistant(RIGHT)], "rejected": [assistant(WRONG)]}
HUMAN = {"from": "human", "value": TASK}


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": TASK, **PAIR},
        {"instruction": TASK, "input": "", **PAIR, "chosen_model": "x"},
        {"question": TASK, **PAIR},
        {"query": TASK, **PAIR},
        {"problem": TASK, **PAIR},
        {"input": TASK, **PAIR, "prompt": None},
        {"question": TASK, "input": "unused", **PAIR},
        {"instruction": TASK, "chosen": [assistant(RIGHT)], "rejected": [assistant(WRONG)]},
        {"conversations": [HUMAN], **{key: {"from": "gpt", "value": text} for key, text in PAIR.items()}},
        {"messages": ASKED, **PAIR},
        {"prompt": TASK, "chosen": [assistant(RIGHT)], "rejected": [assistant(WRONG)]},
        {"prompt": ASKED, **PAIR},
        {"prompt": ASKED, "chosen": assistant(RIGHT), "rejected": assistant(WRONG)},
        {"prompt": ASKED, "chosen": RIGHT, "rejected": [assistant(WRONG)]},
        {"prompt": json.dumps(ASKED), **PAIR},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_a_task_beside_a_pair_is_its_prompt(tmp_path: Path, row: dict[str, Any], name: str) -> None:
    if name == "t.jsonl":
        assert rows_of(tmp_path / name, [row], "dpo") == [MADE]
        return
    import pyarrow as pa
    from pyarrow import parquet

    if isinstance(row["chosen"], str) != isinstance(row["rejected"], str):
        return  # Parquet has one type a column
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / name)
    (found,) = read_data(str(tmp_path / name), "dpo", "auto").rows
    assert {key: found[key] for key in MADE} == MADE


def test_the_input_of_a_pair_belongs_to_its_task(tmp_path: Path) -> None:
    for column in ("input", "context"):
        (row,) = rows_of(tmp_path / "t.jsonl", [{"instruction": TASK, column: "1 2", **PAIR}], "dpo")
        assert row["prompt"] == [user(f"{TASK}\n\n1 2")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instruction": TASK, "question": TASK, **PAIR}, "l:1: instruction and question may each be the prompt"),
        ({"input": ASKED, **PAIR}, "l:1: its input is no text of a task.*rename a column to prompt"),
        ({"question": {"text": TASK}, **PAIR}, "l:1: its question is no text of a task"),
        ({"question": f"USER: {TASK} ASSISTANT: {RIGHT}", **PAIR}, "l:1: its question is no text of a task"),
        (
            {"messages": TURNS, "chosen": [assistant(RIGHT)], "rejected": [assistant(WRONG)]},
            "l:1: its chosen and rejected have no beginning in common",
        ),
    ],
    ids=str,
)
def test_a_pair_whose_task_is_not_clear_is_refused(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        rows_of(tmp_path / "t.jsonl", [row], "dpo")


def test_a_conversation_beside_whole_pairs_is_not_their_prompt(tmp_path: Path) -> None:
    row = {"prompt": "add 1 and 2", "messages": TURNS, "chosen": TURNS, "rejected": OTHER}  # as in UltraFeedback
    made = {"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": OTHER[1:]}
    assert rows_of(tmp_path / "t.jsonl", [row], "dpo") == [made]
    assert rows_of(tmp_path / "t.jsonl", [row], "sft") == [{"messages": TURNS}]


LABELLED: list[list[dict[str, Any]]] = [
    [{"messages": TURNS, "label": True}, {"messages": OTHER, "label": False}],
    [{"messages": TURNS, "kto_tag": True}, {"messages": OTHER, "kto_tag": False}],
    [{"conversations": SHAREGPT, "label": "true"}, {"conversations": OTHER, "label": "false"}],
    [{"conversation": TURNS, "label": 1}, {"conversation": OTHER, "label": 0}],
    [
        {"instruction": "add 1 and 2", "output": turns[1]["content"], "kto_tag": tag}
        for turns, tag in ((TURNS, True), (OTHER, False))
    ],
    [{"prompt": "add 1 and 2", "completion": turns[1:], "label": turns is TURNS} for turns in (TURNS, OTHER)],
    [{"prompt": TURNS[:1], "completion": turns[1]["content"], "label": turns is TURNS} for turns in (TURNS, OTHER)],
]


@pytest.mark.parametrize("number", range(len(LABELLED)))
def test_a_labelled_conversation_is_an_answer_with_its_label(tmp_path: Path, number: int) -> None:
    """sft learnt what is labelled as wrong, too."""
    path, rows = tmp_path / "t.jsonl", LABELLED[number]
    assert rows_of(path, rows, "kto") == [
        {"prompt": TURNS[:1], "completion": turns[1:], "label": turns is TURNS} for turns in (TURNS, OTHER)
    ]
    assert rows_of(path, rows, "sft") == [{"prompt": TURNS[:1], "completion": TURNS[1:]}]
    assert rows_of(path, rows, "dpo") == [{"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": OTHER[1:]}]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"messages": TURNS[:1], "label": True}], "l:1: its label is of no answer, since its messages do not end"),
        ([{"messages": [], "label": True}], "l:1: its label is of no answer"),
        ([{"messages": TURNS, "label": True}, {"messages": OTHER, "label": None}], "l:2: its label is null"),
        ([{"messages": TURNS, "label": True}, {"messages": OTHER, "label": "bad"}], "l:2: has label, messages, and"),
        ([{"messages": TURNS[1:], "label": True}], "l:1: prompt, completion must all be texts"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["kto", "sft"])
def test_a_label_of_no_answer_is_refused(tmp_path: Path, rows: list[dict[str, Any]], said: str, method: Method) -> None:
    with pytest.raises(TrainingError, match=said.replace("sft", method)):
        rows_of(tmp_path / "t.jsonl", rows, method)


@pytest.mark.parametrize(
    ("row", "ignored"),
    [
        ({"messages": TURNS, "label": "coding"}, ("label",)),
        ({"text": "def f(): pass", "label": 0}, ("label",)),
        ({"messages": [*OTHER[:1], OTHER[1] | {"weight": 0}, *TURNS]}, ("weight of messages",)),
        ({"messages": [*OTHER[:1], OTHER[1] | {"train": False}, *TURNS]}, ("train of messages",)),
        ({"messages": [TURNS[0], TURNS[1] | {"weight": 1, "train": True}]}, ()),
        ({"messages": TURNS, "system": "Be short."}, ("system",)),
    ],
    ids=str,
)
def test_what_says_that_something_is_not_to_be_learnt_is_named(
    tmp_path: Path, row: dict[str, Any], ignored: tuple[str, ...]
) -> None:
    data = read_data(str(toy.write(tmp_path / "t.jsonl", [row])), "sft", "auto")
    assert (len(data.rows), data.ignored_columns) == (1, ignored)


@pytest.mark.parametrize("turns", [[user("a")], [{"role": "system", "content": "a"}, user("b")], [HUMAN]], ids=str)
def test_a_conversation_without_an_answer_is_refused(tmp_path: Path, turns: list[dict[str, str]]) -> None:
    rows = [{"messages": TURNS}, {"messages": turns}]
    with pytest.raises(TrainingError, match=r"l:2: its messages hold no answer, only turns of role .*'user'"):
        rows_of(tmp_path / "t.jsonl", rows, "sft")


CALL = {"name": "add", "arguments": {"a": 1, "b": 2}}
CALLED = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": CALL}]}
ONLY_CALLED = {"role": "assistant", "tool_calls": CALLED["tool_calls"]}


@pytest.mark.parametrize(
    "turn", [CALLED, ONLY_CALLED, assistant("3") | {"reasoning_content": "1 + 2"}], ids=["empty", "absent", "reasoning"]
)
@pytest.mark.parametrize("in_one", [False, True], ids=["completion", "messages"])
def test_a_labelled_answer_keeps_all_that_its_turn_holds(tmp_path: Path, turn: dict[str, Any], in_one: bool) -> None:
    """sft and dpo learnt an empty answer of a turn that calls a tool, or ended in a traceback."""
    path = tmp_path / "t.jsonl"
    rows: list[dict[str, Any]] = [
        {"messages": [*ASKED, one], "label": label}
        if in_one
        else {"prompt": ASKED, "completion": [one], "label": label}
        for one, label in ((turn, True), (assistant("no"), False))
    ]
    assert rows_of(path, rows, "sft") == [{"prompt": ASKED, "completion": [turn]}]
    assert rows_of(path, rows, "dpo") == [{"prompt": ASKED, "chosen": [turn], "rejected": [assistant("no")]}]
    assert rows_of(path, rows, "kto")[0] == {"prompt": ASKED, "completion": [turn], "label": True}


@pytest.mark.parametrize(
    "task",
    [
        "Task: Translate this function to Java.\nCode:\ndef f(x):\n    return x + 1",
        "Question: what does this print?\nCode: print(1 + 1)",
        "### Problem:\nMend it.\n\n### Output:\nimport os\nprint(os.name)",
    ],
    ids=["translate", "print", "headings"],
)
def test_a_program_in_a_task_is_no_answer_where_the_answer_is_elsewhere(tmp_path: Path, task: str) -> None:
    path, asked = tmp_path / "t.jsonl", [user(task)]
    assert rows_of(path, [{"instruction": task, "output": "x"}], "sft") == [
        {"prompt": asked, "completion": [assistant("x")]}
    ]
    assert rows_of(path, [{"question": task, "chosen": "2", "rejected": "3"}], "dpo") == [
        {"prompt": asked, "chosen": [assistant("2")], "rejected": [assistant("3")]}
    ]


def test_a_whole_conversation_is_no_task_beside_its_answer(tmp_path: Path) -> None:
    row = {"instruction": f"<|im_start|>user\n{TASK}<|im_end|>\n<|im_start|>assistant\n{RIGHT}", "output": RIGHT}
    with pytest.raises(TrainingError, match="l:1: its instruction is no text of a task"):
        rows_of(tmp_path / "t.jsonl", [row], "sft")


@pytest.mark.parametrize(
    ("turn", "found"),
    [
        *(({"from": name, "value": "x"}, user("x")) for name in ("user", "prompter", "Human", "student")),
        *(({"from": name, "value": "x"}, assistant("x")) for name in ("chatgpt", "bot", "model", "AI", "claude")),
        *(
            ({"from": name, "value": "x"}, {"role": "tool", "content": "x"})
            for name in ("observation", "tool", "function_response", "ipython", "function")
        ),
        ({"from": "developer", "value": "x"}, {"role": "developer", "content": "x"}),
        ({"role": "Critic", "content": "x"}, {"role": "Critic", "content": "x"}),
        ({"from": "function_call", "value": json.dumps(CALL)}, CALLED),
        ({"from": "tool_call", "value": json.dumps([CALL])}, CALLED),
        ({"from": "function_call", "value": "add(1, 2)"}, {"role": "function_call", "content": "add(1, 2)"}),
        ({"from": "function_call", "value": "[]"}, {"role": "function_call", "content": "[]"}),
    ],
    ids=str,
)
def test_speakers_are_those_that_chat_templates_know(
    tmp_path: Path, turn: dict[str, str], found: dict[str, Any]
) -> None:
    (row,) = rows_of(tmp_path / "t.jsonl", [{"conversations": [*TURNS, turn]}], "sft")
    assert row["messages"] == [*TURNS, found]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({}, "l:2: has nothing, and lacks prompt, chosen, rejected, which other rows have: fix"),
        ({"schema": 1}, "l:2: has .*, and lacks prompt, chosen, rejected"),
        ({"prompt": "a", "chosen": "b"}, "l:2: has chosen, prompt, and lacks rejected"),
        ({"messages": TURNS}, "l:2: has .*, and lacks prompt, chosen, rejected"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_row_that_lacks_what_others_have_is_named(
    tmp_path: Path, odd: dict[str, Any], said: str, method: Method
) -> None:
    row = {"prompt": "a", "chosen": "b", "rejected": "c"}
    with pytest.raises(TrainingError, match=said):
        rows_of(tmp_path / "t.jsonl", [row, odd, row], method)


def test_missing_tools_of_pandas_are_none(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "t.jsonl", [{"messages": TURNS, "tools": float("nan")}], "sft") == [{"messages": TURNS}]
