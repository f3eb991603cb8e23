"""TRL's standard forms: each gives the tokens that TRL's own preparation gives, or one line that says what mends it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import TrainingError
from plum_hub.release.schemas import Method
from plum_hub.training.data import read_data
from plum_hub.training.lengths import NO_ANSWER, fitting_rows
from plum_hub.training.run import TrainingRequest, load_trainer, prepare
from plum_hub.training.settings import compose
from tests.training import toy

pytestmark = pytest.mark.filterwarnings("default")


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


TURNS = [user("add 1 and 2"), assistant("a + b")]
OTHER = [user("add 1 and 2"), assistant("a - b")]
PROMPT, CHOSEN, REJECTED = "add 1 and 2: ", "add 1 and 2: return a + b", "add 1 and 2: return a - b"
SHAREGPT = [{"from": "human", "value": "add 1 and 2"}, {"from": "gpt", "value": "a + b"}]


def rows_of(path: Path, rows: list[dict[str, Any]], method: Method) -> list[dict[str, Any]]:
    found = read_data(str(toy.write(path, rows)), method, "auto").rows
    return [{key: value for key, value in row.items() if key not in ("row", "instruction_id")} for row in found]


PAIRS: list[dict[str, Any]] = [
    {"chosen": TURNS, "rejected": OTHER},
    {"chosen": [{"role": "system", "content": "Be short."}, *TURNS], "rejected": [*OTHER]},
    {"chosen": [*TURNS, user("and 3?"), assistant("a")], "rejected": [*TURNS, user("and 3?"), assistant("b")]},
    {"chosen": TURNS, "rejected": TURNS},
    {"chosen": TURNS, "rejected": [*TURNS, user("and 3?")]},
    {"chosen": CHOSEN, "rejected": REJECTED},
    {"chosen": "add: a", "rejected": "add: b"},
    {"chosen": "same", "rejected": "same"},
]


@pytest.mark.parametrize(
    ("begin", "prompt"),
    [
        ("\n\nHuman: add 3\n\nAssistant: Sure, a ", "\n\nHuman: add 3\n\nAssistant:"),
        (
            "Human: add 3\n\nAssistant: 3\n\nHuman: 4\n\nAssistant: Su",
            "Human: add 3\n\nAssistant: 3\n\nHuman: 4\n\nAssistant:",
        ),
        (
            "<|im_start|>user\n3<|im_end|>\n<|im_start|>assistant\nSure, ",
            "<|im_start|>user\n3<|im_end|>\n<|im_start|>assistant\n",
        ),
        ("### Instruction:\n3\n\n### Response:\nde", "### Instruction:\n3\n\n### Response:\n"),
        ("[INST] 3 [/INST] Su", "[INST] 3 [/INST]"),
        ("USER: 3 ASSISTANT: Su", "USER: 3 ASSISTANT:"),
    ],
)
def test_the_implicit_prompt_ends_where_the_answer_is_marked(tmp_path: Path, begin: str, prompt: str) -> None:
    row = {"chosen": begin + "yes", "rejected": begin + "no"}
    rest = begin.removeprefix(prompt)
    found = rows_of(tmp_path / "t.jsonl", [row], "dpo")
    assert found == [{"prompt": prompt, "chosen": rest + "yes", "rejected": rest + "no"}]


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_the_implicit_prompt_is_that_of_trl(tmp_path: Path, number: int) -> None:
    from trl import extract_prompt

    row = PAIRS[number]
    theirs = extract_prompt(row)
    if not theirs["prompt"]:
        with pytest.raises(TrainingError, match="l:1: its chosen and rejected have no beginning in common"):
            rows_of(tmp_path / "t.jsonl", [row], "dpo")
        return
    if isinstance(row["chosen"], list) and theirs["rejected"][0]["role"] == "user":
        with pytest.raises(TrainingError, match="l:1: its rejected begins with a turn of role 'user'"):
            rows_of(tmp_path / "t.jsonl", [row], "dpo")
        return
    assert rows_of(tmp_path / "t.jsonl", [row], "dpo") == [theirs]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"chosen": "a", "rejected": "b"}, "l:2: its chosen and rejected have no beginning in common"),
        ({"chosen": "", "rejected": ""}, "l:2: its chosen and rejected have no beginning in common"),
        ({"chosen": "a", "rejected": TURNS}, "l:2: prompt, chosen, rejected must all be"),
        (
            {"prompt": "multiply", "chosen": TURNS, "rejected": OTHER},
            "l:2: its prompt is a text, and not in the",
        ),
    ],
)
def test_a_pair_without_a_prompt_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    first = {"prompt": None, "chosen": TURNS, "rejected": OTHER}
    with pytest.raises(TrainingError, match=said):
        rows_of(tmp_path / "t.jsonl", [first, {"prompt": None} | row], "dpo")


@pytest.mark.parametrize(("place", "number"), [(0, 1), (1, 2), (2, 3)], ids=["first", "second", "last"])
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_null_among_prompts_is_named(tmp_path: Path, place: int, number: int, method: Method) -> None:
    """What both answers begin with was taken for the prompt."""
    rows: list[dict[str, Any]] = [
        {"prompt": f"add {one}: ", "chosen": "return a + b", "rejected": "return a - b"} for one in range(3)
    ]
    rows[place]["prompt"] = None
    with pytest.raises(TrainingError, match=f"l:{number}: its prompt is null, and other rows have one"):
        rows_of(tmp_path / "t.jsonl", rows, method)


def test_a_text_beside_whole_conversations_is_no_prompt(tmp_path: Path) -> None:
    row = {"prompt": "add 1 and 2", "chosen": TURNS, "rejected": OTHER}  # as in ultrafeedback_binarized
    assert rows_of(tmp_path / "t.jsonl", [row], "dpo") == [
        {"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": OTHER[1:]}
    ]


@pytest.mark.parametrize(
    "row",
    [{"prompt": "a", "chosen": "b", "rejected": "c"}, {"chosen": CHOSEN, "rejected": REJECTED}, PAIRS[0]],
    ids=["explicit", "implicit", "turns"],
)
def test_pairs_are_unpaired_for_kto_as_trl_does(tmp_path: Path, row: dict[str, Any]) -> None:
    from datasets import Dataset
    from trl import extract_prompt, unpair_preference_dataset

    rows = [row, row]
    explicit = [one if "prompt" in one else extract_prompt(one) for one in rows]
    theirs = list(unpair_preference_dataset(Dataset.from_list(explicit)))
    ours = rows_of(tmp_path / "t.jsonl", rows, "kto")
    assert sorted(ours, key=json.dumps) == sorted(
        ({key: one[key] for key in ours[0]} for one in theirs), key=json.dumps
    )
    names = [one["row"] for one in read_data(str(tmp_path / "t.jsonl"), "kto", "auto").rows]
    assert names == ["0 chosen", "0 rejected", "1 chosen", "1 rejected"]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"messages": TURNS}, {"messages": TURNS}),
        ({"messages": json.dumps(TURNS)}, {"messages": TURNS}),
        ({"messages": repr(TURNS)}, {"messages": TURNS}),
        ({"conversations": SHAREGPT}, {"messages": TURNS}),
        ({"conversations": json.dumps(SHAREGPT)}, {"messages": TURNS}),
        ({"prompt": "add 1 and 2", "messages": TURNS}, {"messages": TURNS}),  # as in ultrachat_200k
        ({"messages": TURNS, "text": "unused"}, {"messages": TURNS}),
        ({"text": PROMPT, "label": None}, {"text": PROMPT}),
        ({"prompt": "a", "completion": "b", "messages": TURNS}, {"prompt": "a", "completion": "b"}),
        ({"prompt": TURNS[:1], "completion": TURNS[1:]}, {"prompt": TURNS[:1], "completion": TURNS[1:]}),
    ],
)
def test_every_form_of_sft_is_read(tmp_path: Path, row: dict[str, Any], found: dict[str, Any]) -> None:
    assert rows_of(tmp_path / "t.jsonl", [row], "sft") == [found]


@pytest.mark.parametrize(
    ("method", "row", "said"),
    [
        (
            "kto",
            {"messages": TURNS},
            r"kto needs in every row .* \(these rows are for --method sft\); every row has",
        ),
        ("dpo", {"text": "x"}, r"\(these rows are for --method sft\)"),
        ("kto", {"prompt": "a", "completion": "b"}, r"prompt, completion and label, or .*for --method sft\)"),
        ("sft", {"prompt": "a", "chosen": "b", "rejected": "c"}, r"\(these rows are for --method kto or dpo\)"),
        ("kto", {"instruction": "a", "output": "b"}, r"every row has instruction, output: rename"),
        ("sft", {"question": "a", "answer": "b"}, r"messages, or text.*; every row has answer, question"),
        ("sft", {"messages": [user("a"), {"role": "assistant"}]}, "l:1: its messages must be a conversation"),
        ("sft", {"messages": "no turns"}, "l:1: its messages must be a conversation"),
        ("sft", {"text": TURNS}, "l:1: its text must be a text"),
    ],
)
def test_rows_of_another_method_are_told_theirs(tmp_path: Path, method: Method, row: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        rows_of(tmp_path / "t.jsonl", [row], method)


def as_numpy(turns: list[Any]) -> str:
    """Write turns as `Dataset.to_csv` does, and pandas with what it read from Parquet."""
    return f"[{chr(10).join(map(repr, turns))}]"


def test_turns_and_tools_in_a_csv_are_never_taken_for_text(tmp_path: Path) -> None:
    path, tool = tmp_path / "rows.csv", {"type": "function", "function": {"name": "f", "parameters": {}}}
    with path.open("w", newline="") as file:
        row = [as_numpy(TURNS), as_numpy(OTHER), repr([tool])]
        csv.writer(file).writerows([["chosen", "rejected", "tools"], row])
    (row,) = read_data(str(path), "dpo", "auto").rows
    assert (row["prompt"], row["chosen"], row["rejected"]) == (TURNS[:1], TURNS[1:], OTHER[1:])
    assert json.loads(row["tools"]) == [tool]
    asked = "[{'role': 'user', 'content': 'a'}]"
    path.write_text(f"prompt,completion\n\"{asked}\",\"[{{'role': 'user', 'content': Timestamp('2020')}}]\"\n")
    with pytest.raises(
        TrainingError, match=r"rows\.csv:2: its completion is a list of turns in a text that is neither JSON"
    ):
        read_data(str(path), "sft", "auto")


def test_a_csv_gives_labels_and_conversations(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    for write, truth in ((json.dumps, ("true", "FALSE")), (repr, ("1", "0")), (as_numpy, ("True", "False"))):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(
                [["prompt", "completion", "label"], *([write(TURNS[:1]), write(TURNS[1:]), one] for one in truth)]
            )
        rows = read_data(str(path), "kto", "auto").rows
        assert [(row["prompt"], row["completion"], row["label"]) for row in rows] == [
            (TURNS[:1], TURNS[1:], True), (TURNS[:1], TURNS[1:], False),
        ]  # fmt: skip
    path.write_text("prompt,completion,label\na,b,\n")
    with pytest.raises(TrainingError, match=r"rows\.csv:2: its label is null, and must be true or false"):
        read_data(str(path), "kto", "auto")


LM_ROWS: dict[str, Callable[[int], dict[str, Any]]] = {
    "messages": lambda number: {"messages": [user(f"add {number}"), assistant("a"), user("and 3?"), assistant("b")]},
    "text": lambda number: {"text": f"def add(a): return a + {number}"},
}


@pytest.mark.parametrize("form", list(LM_ROWS))
def test_trl_learns_every_token_of_a_language_modelling_row(tmp_path: Path, tiny: Path, form: str) -> None:
    rows = [LM_ROWS[form](number) for number in range(4)]
    source = toy.write(tmp_path / "rows.jsonl", rows)
    settings = compose([one for one in toy.SETTINGS if not one.startswith("beta")], method="sft")
    ready = prepare(TrainingRequest(str(source), str(tiny), tmp_path / "out", settings))
    trainer, _ = load_trainer(ready)
    prepared = sorted(trainer.train_dataset, key=lambda row: row["row"])
    for row, one, length in zip(rows, prepared, ready.fitting.tokens, strict=True):
        tokens = (
            ready.tokenizer.apply_chat_template(row["messages"], return_dict=True)["input_ids"]
            if form == "messages"
            else ready.tokenizer(text=row["text"] + ready.tokenizer.eos_token)["input_ids"]
        )
        assert one["input_ids"] == one["labels"] == tokens
        assert length == len(tokens)


def test_a_conversation_of_which_nothing_is_rendered_is_left_out(tmp_path: Path, tiny: Path) -> None:
    rows = read_data(str(toy.write(tmp_path / "t.jsonl", [{"messages": TURNS}])), "sft", "auto").rows
    tokenizer = prepare(
        TrainingRequest(str(toy.write(tmp_path / "k.jsonl", toy.rows())), str(tiny), None, compose(toy.SETTINGS))
    ).tokenizer
    tokenizer.chat_template = "{% for m in messages %}{% endfor %}"
    with pytest.raises(TrainingError, match=NO_ANSWER):
        fitting_rows(rows, tokenizer, 100)
    tokenizer.chat_template = None
    with pytest.raises(TrainingError, match="the model's tokenizer has no chat template"):
        fitting_rows(rows, tokenizer, 100)


def test_columns_of_alpaca_are_a_question_and_its_answer(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add", "input": "1 2", "output": "3"},
        {"instruction": "Add", "input": "", "output": "0"},
        {"instruction": "Add", "input": "<noinput>", "output": "0"},
    ]
    asked = [[user("Add\n\n1 2")], [user("Add")], [user("Add")]]
    made = [
        {"prompt": prompt, "completion": [assistant(row["output"])]} for prompt, row in zip(asked, rows, strict=True)
    ]
    assert rows_of(tmp_path / "a.jsonl", rows, "sft") == made
    labelled = [row | {"label": False} for row in rows]
    assert rows_of(tmp_path / "b.jsonl", labelled, "kto") == [row | {"label": False} for row in made]
    assert rows_of(tmp_path / "c.jsonl", [row | {"text": "whole"} for row in rows], "sft") == [{"text": "whole"}] * 3
    for bad in ({"instruction": "Add", "output": None}, {"instruction": ["Add"], "output": "0"}):
        with pytest.raises(TrainingError, match=r"l:2: its (output is null|instruction is \[.*\]), and must be"):
            rows_of(tmp_path / "d.jsonl", [rows[0], bad], "sft")


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "User", "content": "add 1 and 2"}, {"role": " ASSISTANT ", "content": "a + b"}],
        [{"role": "human", "content": "add 1 and 2"}, {"role": "gpt", "content": "a + b"}],
        {"role": ["user", "assistant"], "content": ["add 1 and 2", "a + b"]},
        {"from": ["human", "gpt"], "value": ["add 1 and 2", "a + b"]},
        [{"input": "add 1 and 2", "output": "a + b"}],
        [
            {"role": "user", "content": [{"type": "text", "text": "add 1 and 2"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "a + b"}]},
        ],
    ],
    ids=["case", "speakers", "columns", "columns of ShareGPT", "exchanges", "parts"],
)
def test_turns_are_those_that_a_chat_template_knows(tmp_path: Path, turns: Any) -> None:
    assert rows_of(tmp_path / "t.jsonl", [{"messages": turns}], "sft") == [{"messages": TURNS}]


def test_columns_of_turns_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="l:1: its messages must be a conversation"):
        rows_of(tmp_path / "t.jsonl", [{"messages": {"role": ["user"], "content": ["a", "b"]}}], "sft")
