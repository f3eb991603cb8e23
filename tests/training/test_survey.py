"""Rows that differ in what they have, columns that are not read, and values that are none of a form."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa  # noqa: TID253 - the tests make real files
import pytest
from pyarrow import parquet  # noqa: TID253

from plum_hub.errors import TrainingError
from plum_hub.release.schemas import Method
from plum_hub.training.data import read_data
from tests.training import toy

ASKED, ANSWERED = {"role": "user", "content": "add 1"}, {"role": "assistant", "content": "a + 1"}
PLAIN = {"prompt": "q", "completion": "good"}
TURNS = [ASKED, ANSWERED]


def refusal(path: Path, method: Method = "sft") -> str:
    with pytest.raises(TrainingError) as refused:
        read_data(str(path), method, "auto")
    return str(refused.value)


def columns(path: Path, method: Method = "sft") -> list[dict[str, Any]]:
    kept = read_data(str(path), method, "auto").rows
    return [{name: value for name, value in row.items() if name not in ("row", "instruction_id")} for row in kept]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([PLAIN | {"label": True}, PLAIN | {"label": False}, PLAIN], "l:3: has completion, prompt, and lacks label"),
        ([PLAIN, PLAIN | {"label": False}, PLAIN], "l:2: has completion, label, prompt, and other rows have no label"),
        (
            [PLAIN | {"kto_tag": True}, PLAIN, PLAIN | {"kto_tag": False}],
            "l:2: has completion, prompt, and lacks label",
        ),
        ([{"messages": TURNS, "label": True}, {"messages": TURNS}], "l:2: has messages, and lacks prompt, completion"),
        ([{"messages": TURNS, "label": 5}, {"messages": TURNS, "label": 1}], "l:1: has label, messages, and its label"),
        ([{"messages": TURNS}, PLAIN, {"messages": TURNS}], "l:2: has completion, prompt, and lacks messages"),
        ([{"messages": TURNS}, {"messages": TURNS, **PLAIN}], "and other rows have no|and lacks"),
    ],
    ids=str,
)
def test_rows_of_which_some_have_a_label_are_refused(tmp_path: Path, rows: list[dict[str, Any]], said: str) -> None:
    """What is labelled as wrong was learnt where a single row had no label."""
    assert re.search(said, refusal(toy.write(tmp_path / "t.jsonl", rows)))


def test_files_of_which_some_have_a_label_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, row in (("a", PLAIN | {"label": False}), ("b", PLAIN)):
        parquet.write_table(pa.Table.from_pylist([row]), folder / f"{name}.parquet")
    assert "b.parquet:1: has completion, prompt, and lacks label" in refusal(folder)


def test_a_folder_of_views_says_which_file_to_name(tmp_path: Path) -> None:
    toy.write(tmp_path / "dpo.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}])
    toy.write(tmp_path / "kto.jsonl", [PLAIN | {"label": True}, PLAIN | {"label": False}])
    toy.write(tmp_path / "sft.jsonl", [PLAIN])
    for method in ("kto", "sft"):
        assert refusal(tmp_path, method).endswith(f"of different forms: name one, such as {tmp_path / method}.jsonl")


@pytest.mark.parametrize("as_file", ["t.jsonl", "t.parquet"])
def test_columns_that_are_null_everywhere_are_none(tmp_path: Path, as_file: str) -> None:
    rows = [{"prompt": None, "completion": None, "system": None, "messages": TURNS}] * 2
    if as_file == "t.jsonl":
        toy.write(tmp_path / as_file, rows)
    else:
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / as_file)
    assert columns(tmp_path / as_file) == [{"messages": TURNS}] * 2
    said = refusal(toy.write(tmp_path / "u.jsonl", [{"prompt": None, "completion": "a"}]))
    assert "every row has completion, prompt (prompt null in all of them): rename" in said


@pytest.mark.parametrize(
    ("more", "ignored"),
    [
        ({"system": None, "images": None, "documents": [], "tool_choice": ""}, ()),
        ({"system": float("nan"), "chat_template_kwargs": {}}, ()),
        ({"system": "Be short.", "images": ["a.png"]}, ("system", "images")),
        ({"assistant_masks": [0, 1], "completion_mask": None}, ("assistant_masks",)),
        ({"messages": [ASKED, ANSWERED | {"loss": False}, *TURNS]}, ("loss of messages",)),
        ({"messages": [ASKED, ANSWERED | {"loss": True}]}, ()),
        ({"messages": [ASKED | {"weight": 0.0}, ANSWERED]}, ("weight of messages",)),
    ],
    ids=str,
)
def test_only_what_says_something_is_named_as_not_read(
    tmp_path: Path, more: dict[str, Any], ignored: tuple[str, ...]
) -> None:
    path = toy.write(tmp_path / "t.jsonl", [{"messages": TURNS} | more])
    assert read_data(str(path), "sft", "auto").ignored_columns == ignored


def test_columns_of_a_table_are_named_if_they_say_something(tmp_path: Path) -> None:
    rows = [{"messages": TURNS, "system": system, "history": None} for system in (None, "Be short.")]
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.Table.from_pylist([row | {"images": [b"1"]} for row in rows]), path)
    assert read_data(str(path), "sft", "auto").ignored_columns == ("system", "images")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "its messages must be a conversation .*; it is null"),
        (5, "it is 5"),
        (float("nan"), "it is NaN, a missing value"),
        ([], "it is an empty list"),
        (["a"], r"it has no object with role and content in turn 1 of 1"),
        ([ASKED, {"role": "assistant"}], "it has no content in turn 2 of 2"),
        ([ASKED, {"role": "assistant", "content": None}], "it has no content in turn 2 of 2"),
        ([ASKED, {"content": "a"}], "it has no role in turn 2 of 2"),
        ([ASKED, {"role": "assistant", "content": 7}], "it has a content that is 7 in turn 2 of 2"),
        ([ASKED, {"role": "assistant", "content": "\ud83d"}], r"a content that has half of a character \(\\ud83d\)"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ANSWERED],
            "it has a content with parts of type image_url, where only text is learnt, in turn 1 of 2",
        ),
        (
            [ASKED, {"role": "assistant", "content": [{"type": "thinking"}, {"type": "tool_use"}]}],
            "parts of type thinking, tool_use",
        ),
    ],
    ids=str,
)
def test_what_is_no_conversation_is_said(tmp_path: Path, value: object, said: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in (TURNS, value)))
    assert re.search(f"l:2: .*{said}", refusal(path))


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"completion": None}, "its completion is null"),
        ({"completion": TURNS[1:]}, "its prompt is a conversation"),
        ({"prompt": {"a": 1}}, "its prompt is an object"),
        ({"completion": "\ud83d"}, r"its completion has half of a character (\ud83d)"),
        ({"prompt": True}, "its prompt is true"),
    ],
    ids=str,
)
def test_what_is_no_text_is_said(tmp_path: Path, odd: dict[str, Any], said: str) -> None:
    must = "must all be texts, or all conversations (lists of role and content), in this row as in the first"
    path = toy.write(tmp_path / "t.jsonl", [PLAIN, PLAIN | odd])
    assert f"l:2: prompt, completion {must}; {said}" in refusal(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instruction": 5, "output": "a"}, "l:2: its instruction is 5, and must be a text"),
        ({"instruction": "a", "output": None}, "l:2: its output is null, and must be a text"),
    ],
    ids=str,
)
def test_a_task_that_is_no_text_is_said(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    assert said in refusal(toy.write(tmp_path / "t.jsonl", [{"instruction": "a", "output": "b"}, row]))


def test_bytes_are_no_text(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist([{"text": b"\xff"}]), tmp_path / "t.parquet")
    assert "its text must be a text; it is of type bytes" in refusal(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("rows", "method", "said"),
    [
        ([], "kto", "has no rows for kto; the file is empty"),
        ([PLAIN | {"label": False}], "sft", "has no rows for sft; no answer is chosen: add rows with the label true"),
        ([PLAIN | {"label": True}], "dpo", "has no rows for dpo; no prompt has both a chosen and a rejected answer"),
    ],
)
def test_a_file_without_rows_for_a_method_says_what_is_missing(
    tmp_path: Path, rows: list[dict[str, Any]], method: Method, said: str
) -> None:
    assert said in refusal(toy.write(tmp_path / "t.jsonl", rows), method)


@pytest.mark.parametrize("source", ["{}:alt", "{}/:alt", "local/rows:test", "hf://datasets/local/rows@v1:test"])
def test_a_column_in_an_address_is_refused(tmp_path: Path, source: str) -> None:
    path = toy.write(tmp_path / "t.jsonl", [PLAIN | {"alt": "b"}])
    source = source.format(path.parent if "/:" in source else path)
    with pytest.raises(TrainingError, match=r"names the column '(alt|test)', and a training reads"):
        read_data(source, "sft", "embedded")


JSON_ANSWER = json.dumps([{"role": "assistant", "content": "hi"}])


PROGRAM = "[{'role': 'user', 'content': x}]"


@pytest.mark.parametrize("other", [JSON_ANSWER, "plain", PROGRAM])
def test_a_plain_answer_may_be_json_of_turns(tmp_path: Path, other: str) -> None:
    rows = [{"prompt": "Give the JSON of a turn", "completion": answer} for answer in (JSON_ANSWER, other)]
    assert columns(toy.write(tmp_path / "t.jsonl", rows)) == rows


def test_plain_answers_of_pairs_may_be_json_of_turns(tmp_path: Path) -> None:
    asking = json.dumps([ASKED])
    for chosen, rejected in ((JSON_ANSWER, JSON_ANSWER), (JSON_ANSWER, "no"), (asking, "no")):
        rows = [{"prompt": "q", "chosen": chosen, "rejected": rejected}]
        assert columns(toy.write(tmp_path / "t.jsonl", rows), "dpo") == rows
    whole = [
        {"prompt": "add 1", "chosen": json.dumps(TURNS), "rejected": json.dumps([ASKED, ANSWERED | {"content": "b"}])}
    ]
    (row,) = columns(toy.write(tmp_path / "t.jsonl", whole), "dpo")
    assert (row["prompt"], row["chosen"]) == ([ASKED], [ANSWERED])


def test_a_text_among_prompts_that_are_turns_in_texts_leaves_them_texts(tmp_path: Path) -> None:
    rows = [{"prompt": json.dumps([ASKED]), "completion": "a"}, {"prompt": "b", "completion": JSON_ANSWER}]
    assert columns(toy.write(tmp_path / "t.jsonl", rows)) == rows


def test_a_null_among_arguments_is_a_value(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": None, "y": {"z": None}}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {"default": None}}}}}
    turn = {"role": "assistant", "tool_calls": [call | {"id": None}], "content": None}
    path = toy.write(tmp_path / "t.jsonl", [{"messages": [ASKED | {"name": None}, turn], "tools": [tool]}])
    (row,) = columns(path)
    assert row["messages"] == [ASKED, {"role": "assistant", "tool_calls": [call]}]
    assert json.loads(row["tools"]) == [tool]


@pytest.mark.parametrize("method", ["kto", "dpo"])
def test_labels_that_are_classes_keep_their_meaning(tmp_path: Path, method: Method) -> None:
    from datasets import Dataset

    rows = [PLAIN | {"label": "chosen"}, PLAIN | {"completion": "bad", "label": "rejected"}]
    Dataset.from_list(rows).class_encode_column("label").to_parquet(tmp_path / "t.parquet")
    found = columns(tmp_path / "t.parquet", method)
    if method == "kto":
        assert [(row["completion"], row["label"]) for row in found] == [("good", True), ("bad", False)]
    else:
        assert [(row["chosen"], row["rejected"]) for row in found] == [("good", "bad")]
