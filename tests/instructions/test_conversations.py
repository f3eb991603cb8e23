"""Conversations in every form in which datasets keep them: the first thing that a person says is the task."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import InstructionsError
from plum_hub.instructions import InstructionsConfig, load
from tests.instructions.reading import ADD, JOIN, LAST, reasons, walk, write_lines

ANSWER = "def add(a, b):\n    return a + b"
TURNS = [{"role": "user", "content": ADD}, {"role": "assistant", "content": ANSWER}]
PARTS = [{"type": "text", "text": ADD}]


@pytest.mark.parametrize(
    "value",
    [
        TURNS,
        json.dumps(TURNS),
        repr(TURNS),
        [json.dumps(turn) for turn in TURNS],
        json.dumps({"messages": TURNS}),
        {"role": ["user", "assistant"], "content": [ADD, ANSWER]},
        {"from": ["human", "gpt"], "value": [ADD, ANSWER]},
        [["user", ADD], ["assistant", ANSWER]],
        [{"role": "user", "content": PARTS}, {"role": "assistant", "content": ANSWER}],
        [{"role": "user", "content": PARTS[0]}],
        [{"role": "user", "content": [{"type": "text", "text": {"value": ADD, "annotations": []}}]}],
        [{"role": "user", "parts": [{"text": ADD}]}, {"role": "model", "parts": [{"text": ANSWER}]}],
        [{"role": "User ", "content": ADD}],
        [{"role": "prompter", "text": ADD}],
        [{"from": "human", "value": ADD}],
        [{"role": "developer", "content": "Write code."}, *TURNS],
        [{"role": "System", "content": "Write code."}, *TURNS],
        [{"from": None, "value": None, **turn} for turn in TURNS],
        [{"from": None, "role": None}, None, *TURNS],
        [{"from": math.nan, "value": math.nan, **turn} for turn in TURNS],
        [{"from": "", "value": "", **turn} for turn in TURNS],
        [{"role": "user", "content": [*PARTS, {"type": None, "text": None}]}],
        repr(tuple(TURNS)),
        f"array({TURNS!r}, dtype=object)",
        repr(TURNS).replace("}, {", "}\n {"),  # as numpy prints it
        repr([{"role": "user", "content": PARTS}]).replace(repr(PARTS), f"array({PARTS!r}, dtype=object)"),
        json.dumps(json.dumps(TURNS)),
        "\ufeff" + json.dumps(TURNS),
        [{}, *TURNS, {}, {"role": "", "content": ""}],
        [{"role": "user", "content": ""}, {"role": "user", "content": " "}, *TURNS],
        [{"role": "tool", "content": "[]"}, {"role": "context", "content": "a.py"}, *TURNS],
        [{"from": "sys", "value": "Write code."}, {"from": "function", "value": "{}"}, {"from": "human", "value": ADD}],
        [{"sender": "human", "message": ADD}, {"sender": "ai", "message": ANSWER}],
        [{"role": "input", "text": ADD}, {"role": "output", "text": ANSWER}],
        [{"human": ADD, "assistant": ANSWER}, {"human": "Thanks.", "assistant": "Bye."}],
        [{"system": "Write code.", "input": ADD, "output": ANSWER}],
        [{"role": "user", "content": json.dumps(PARTS)}, {"role": "assistant", "content": "[{1: 2}]"}],
        [{"user": ADD}, {"assistant": ANSWER}],
        [{"system": "Write code."}, {"human": ADD}, {"gpt": ANSWER}],
        [{"prompt": ADD, "completion": ANSWER}],
        {"messages": json.dumps(TURNS)},
        json.dumps(TURNS).replace("\\n", "\n"),  # line breaks as they stand
        [{"role": "<|system|>", "content": "Write code."}, {"role": "<|user|>", "content": ADD}],
        [{"role": "system_message", "content": "Write code."}, {"role": "User 1:", "content": ADD}],
        [{"role": "assistant", "content": ""}, {"role": "assistant", "content": None}, *TURNS],
        [*TURNS, {"role": None, "content": None, "weight": 0.0, "train": False, "tool_calls": [], "f": {"a": None}}],
    ],
)
@pytest.mark.parametrize("column", ["messages", "conversations", "prompt"])
def test_every_form_of_a_conversation_gives_its_opening(tmp_path: Path, column: str, value: object) -> None:
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [{column: value}]))
    assert ([row.text for row in kept], drops) == ([ADD], [])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([{"role": "narrator", "content": ADD}], "unknown_speaker"),
        ([{"role": "assistant", "content": ADD}], "not_first_turn"),
        ([{"role": "assistant", "content": "Hello!"}, *TURNS], "not_first_turn"),
        ([{"role": "tool", "content": ADD}], "empty"),
        ([], "empty"),
        (None, "empty"),
        ([{"role": "user", "content": None}], "empty"),
        ([{"role": "user", "content": [*PARTS, {"type": "image_url", "image_url": "x"}]}], "not_text"),
        ([{"role": "user", "content": 7}], "not_text"),
        ([ADD, ANSWER], "unreadable_turns"),
        ([*TURNS, 5], "unreadable_turns"),
        ({"role": ["user"], "content": [ADD, ANSWER]}, "unreadable_turns"),
        ([{"role": "user", "utterance": ADD}], "unreadable_turns"),
        ([{"role": "user profile", "content": "A student."}, *TURNS], "unknown_speaker"),
        (json.dumps(TURNS)[:-9], "unreadable_turns"),
        ("[array({'role': 'user'})]", "unreadable_turns"),
        ("[" * 3000 + "]" * 3000, "unreadable_turns"),
        (17, "unreadable_turns"),
    ],
)
def test_what_is_no_opening_is_left_out_with_its_reason(tmp_path: Path, value: object, reason: str) -> None:
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [{"messages": TURNS}, {"messages": value}]))
    assert (len(kept), reasons(drops)) == (1, {reason: 1})


@pytest.mark.parametrize("column", ["messages", "prompt", "text"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(TURNS)[:-9],
        json.dumps(TURNS).replace('"', '""'),
        "\n".join(map(json.dumps, TURNS)),
        "messages: " + json.dumps(TURNS),
        "# chat\n" + repr(TURNS),
        json.dumps([{"speaker": "user", "text": ADD}, {"speaker": "bot", "text": ANSWER}])[:-9],
        f"```json\n{json.dumps(TURNS)}\n```",
        repr(json.dumps(TURNS).encode()),
        json.dumps(TURNS).replace('"', "&quot;"),
        f"[{{role: 'user', content: '{ADD}'}}, {{role: 'assistant', content: '{ANSWER}'}}]",
        f"[Message(role='user', content='{ADD}'), Message(role='assistant', content='{ANSWER}')]",
        f"<user>{ADD}</user>\n<assistant>{ANSWER}</assistant>",
        f"[User] {ADD}\n[Assistant] {ANSWER}",
        f"[gMASK]<sop><|user|>\n{ADD}<|assistant|>\n{ANSWER}",
        f"[SYSTEM_PROMPT]Write code.[/SYSTEM_PROMPT][INST]{ADD}[/INST]{ANSWER}",
        f"<|im_start|>user\n{ADD}<|im_end|>\n<|im_start|>assistant\n{ANSWER}<|im_end|>",
        f"<s>[INST] {ADD} [/INST] {ANSWER}</s>",
        f"<|user|>\n{ADD}\n<|assistant|>\n{ANSWER}",
        f"<start_of_turn>user\n{ADD}<end_of_turn>\n<start_of_turn>model\n{ANSWER}",
        f"Below is an instruction.\n\n### Instruction:\n{ADD}\n\n### Response:\n{ANSWER}",
        f"### Human: {ADD}\n### Assistant: {ANSWER}",
        f"\n\nHuman: {ADD}\n\nAssistant: {ANSWER}",
        f"USER: {ADD}\nASSISTANT: {ANSWER}",
        f"### Human: {ADD}### Assistant: {ANSWER}",
        f"A chat between a curious user and an assistant. USER: {ADD} ASSISTANT: {ANSWER}</s>",
    ],
)
def test_a_conversation_in_one_text_is_no_task(tmp_path: Path, column: str, text: str) -> None:
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [{column: text}]))
    assert (kept, reasons(drops)) == ([], {"unreadable_turns": 1})


@pytest.mark.parametrize(
    "text",
    [
        f"### Instruction:\n{ADD}\n\n### Response:\n",
        f"{ADD}\nInput: 1 2\nOutput: 3",
        f"Question: {ADD}\nAnswer: in one line.",
        f"{ADD} Call it on lines such as\nUser: 1\nAssistant: 2",
        "{role: 'user', n: 3} is such a record of JavaScript. Write a Python function that reads it.",
        '{"role": "admin", "content": 3} is such a record. Write a Python function that reads its role.',
        f"{ADD} The template ends with <|im_start|>assistant",
        f"Turns: {json.dumps(TURNS)} {ADD}",
        f"Problem: {ADD}\nInput: 1 2\nOutput:\ndef add(a, b):\n    # your code",
        f"Problem: {ADD}\nOutput:\n```python\nclass Solution:\n    def add(self, a: int) -> int:\n        pass\n```",
    ],
)
def test_a_task_that_only_looks_like_a_conversation_is_kept(tmp_path: Path, text: str) -> None:
    assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", [{"prompt": text}]))[0]] == [text.strip()]


@pytest.mark.parametrize("column", ["conversation", "dialog", "dialogue", "chat", "turns", "chosen"])
def test_a_conversation_is_found_under_its_usual_names(tmp_path: Path, column: str) -> None:
    rows = [{"id": number, column: [{"role": "user", "content": text}]} for number, text in enumerate([ADD, JOIN])]
    assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", rows))[0]] == [ADD, JOIN]


def test_a_row_may_have_its_turns_in_another_column_than_the_first(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"messages": TURNS}, {"conversations": [{"from": "human", "value": JOIN}]}]
    path = write_lines(tmp_path / "t.jsonl", rows)
    assert [row.text for row in walk(path)[0]] == [ADD, JOIN]
    assert reasons(walk(path, column="messages")[1]) == {"empty": 1}
    padded = [{"messages": None, "conversations": [], **row} for row in rows]
    assert [row.text for row in walk(write_lines(path, padded))[0]] == [ADD, JOIN]
    with pytest.raises(InstructionsError, match="several possible task columns, conversations and messages"):
        walk(write_lines(path, [*padded, rows[0] | rows[1]]))


def test_json_of_a_text_in_a_column_of_turns_is_that_text(tmp_path: Path) -> None:
    kept, _ = walk(write_lines(tmp_path / "t.jsonl", [{"messages": json.dumps(ADD)}, {"messages": f'"{JOIN}" it is'}]))
    assert [row.text for row in kept] == [ADD, f'"{JOIN}" it is']
    texts = [f"{ADD}\nGive 'a\\n'.", f'"{JOIN}"', rf'"{LAST} \n" "']
    rows = [{"prompt": json.dumps(texts[0])}, {"prompt": texts[1]}, {"prompt": texts[2]}]
    assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", rows))[0]] == texts


def test_a_first_line_keeps_the_indentation_that_others_have(tmp_path: Path) -> None:
    code = "    def add(a, b):\n        # adds\n\nComplete this Python function."
    rows = [{"prompt": f"\n{code}\n"}, {"prompt": f"    {JOIN}  "}]
    assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", rows))[0]] == [code, JOIN]


def test_of_a_dataset_with_a_row_for_each_turn_only_the_openings_are_tasks(tmp_path: Path) -> None:
    rows = [
        {"message_id": "a", "parent_id": None, "text": ADD, "role": "prompter"},
        {"message_id": "b", "parent_id": "a", "text": f"{ANSWER}  # Python", "role": "assistant"},
        {"message_id": "c", "parent_id": "b", "text": JOIN, "role": "prompter"},
        {"message_id": "d", "parent_id": math.nan, "text": LAST, "role": "prompter"},
    ]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert [row.text for row in kept] == [ADD, LAST]
    assert reasons(drops) == {"not_first_turn": 2}


def test_a_row_that_has_its_whole_conversation_is_an_opening(tmp_path: Path) -> None:
    rows = [
        {"message_id": "b", "parent_id": "a", "messages": TURNS},
        {"message_id": 7, "parent_id": -1, "messages": [{"role": "user", "content": JOIN}]},
        {"message_id": 8, "parent_id": 7, "messages": [{"role": "user", "content": LAST}]},  # may be a turn a row
    ]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert ([row.text for row in kept], reasons(drops)) == ([ADD, JOIN], {"not_first_turn": 1})


def test_a_list_in_one_text_is_no_task(tmp_path: Path) -> None:
    rows = [{"prompt": JOIN}, *({"prompt": json.dumps(value)} for value in ([ADD, ANSWER], [[ADD, ANSWER]], PARTS))]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert ([row.text for row in kept], reasons(drops)) == ([JOIN, ADD], {"not_text": 2})


def test_a_question_with_its_input_is_taken_out_of_json_with_its_answer(tmp_path: Path) -> None:
    row = {"instruction": JOIN, "input": "['a', 'b']", "output": ANSWER}
    kept, _ = walk(write_lines(tmp_path / "t.jsonl", [{"text": json.dumps(row)}]))
    assert [one.text for one in kept] == [f"{JOIN}\n\n['a', 'b']"]


def test_a_row_with_earlier_turns_beside_it_is_no_opening(tmp_path: Path) -> None:
    rows = [
        {"instruction": ADD, "history": []},
        {"instruction": JOIN, "history": None},
        {"instruction": LAST, "history": [["Hi", "Hello"]]},
        {"instruction": TEXTS[-1], "history": [["", ""], [None], {"role": None}]},
    ]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert ([row.text for row in kept], reasons(drops)) == ([ADD, JOIN, TEXTS[-1]], {"not_first_turn": 1})


@pytest.mark.parametrize(
    "said", ["<noinput>", "<No input>", "N/A", "Not applicable.", "nan", "None", "null", "", " ", None]
)
def test_an_input_that_says_there_is_none_is_no_part_of_the_task(tmp_path: Path, said: str | None) -> None:
    for column in ("input", "context"):  # Alpaca's, and Dolly's
        rows = [{"instruction": ADD, column: said}, {"instruction": JOIN, column: "['a', 'b']"}]
        kept, _ = walk(write_lines(tmp_path / "t.jsonl", rows))
        assert [row.text for row in kept] == [ADD, f"{JOIN}\n\n['a', 'b']"]


def test_less_usual_columns_are_read_where_there_is_no_usual_one(tmp_path: Path) -> None:
    for row in ({"query": ADD, "answer": ANSWER}, {"conversation": TURNS}, {"query": JOIN, "prompt": ADD}):
        assert [one.text for one in walk(write_lines(tmp_path / "t.jsonl", [row]))[0]] == [ADD]


def test_a_text_in_brackets_is_a_task_all_the_same(tmp_path: Path) -> None:
    text = "[Python] Write a function that adds two numbers [easy]"
    assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", [{"prompt": text}]))[0]] == [text]
    assert reasons(walk(write_lines(tmp_path / "u.jsonl", [{"prompt": PARTS}, {"prompt": ["a"]}]))[1]) == {
        "not_text": 1
    }


def sharegpt(name: object, text: str, turns: int = 2) -> dict[str, Any]:
    spoken = [{"from": ("human", "gpt")[number % 2], "value": text} for number in range(turns)]
    return {"id": name, "conversations": spoken}


TEXTS = (ADD, JOIN, LAST, ADD.replace("add", "subtract").replace("sum", "difference"))


@pytest.mark.parametrize(
    "ids",
    [
        (0, 1, 2, 3),
        ("oasst1_5921", "oasst1_5922", "oasst1_5924", "oasst1_6000"),
        ("identity_0", "identity_1", "identity_2", "identity_4"),
        ("talk_0", "talk_1", "talk_3", "talk_5"),
        ("dialog1_4", "dialog1_6", "dialog1_8", "dialog1_10"),
        ("train-17", "0001_2", "3_4", "x_²"),
    ],
)
def test_an_id_that_ends_in_a_number_is_no_position(tmp_path: Path, ids: tuple[object, ...]) -> None:
    theirs = [sharegpt(name, text, turns=1) for name, text in zip(ids, TEXTS, strict=True)]
    ours = [
        {"id": row["id"], "messages": [{"role": "user", "content": row["conversations"][0]["value"]}]} for row in theirs
    ]
    for number, rows in enumerate((theirs, ours)):
        kept, drops = walk(write_lines(tmp_path / f"{number}.jsonl", rows))
        assert ([row.row for row in kept], drops) == ([str(name) for name in ids], [])


@pytest.mark.parametrize(
    "ids",
    [
        ("CodeFee_1",),
        ("CodeFee_1", "MathBot_3"),
        ("CodeFee_0", "CodeFee_2"),
        ("conv_0", "conv_2"),
        ("conv_0", "conv_2", "conv_3", "conv_5"),
        ("conv_0", "conv_7", "chat_0", "chat_9"),
        ("conv_0", "chat_0", "conv_2", "chat_2"),
        ("QWJhYvA_8",),
    ],
)
def test_an_id_is_a_position_only_where_the_source_shows_pieces(tmp_path: Path, ids: tuple[str, ...]) -> None:
    rows = [sharegpt(name, text) for name, text in zip(ids, TEXTS, strict=False)]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert ([row.row for row in kept], drops) == (list(ids), [])


def test_a_source_shows_its_pieces_ahead_of_the_row_that_they_decide(tmp_path: Path) -> None:
    rows = [sharegpt("i6IyJda_10", JOIN), sharegpt("QWJhYvA_0", ADD), sharegpt("QWJhYvA_7", LAST)]
    path = write_lines(tmp_path / "t.jsonl", rows)
    assert [row.row for row in walk(path)[0]] == ["QWJhYvA_0"]
    with path.open("a") as file:
        file.write("torn")
    found = load(InstructionsConfig(source=str(path))).rows
    assert [next(found).id for _ in rows]
    with pytest.raises(InstructionsError, match=r"t\.jsonl:4 is not valid JSON"):
        next(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{ADD} Call it my\\_add, and keep `a_b`.", f"{ADD} Call it my_add, and keep `a_b`."),
        (f"{ADD} It turns a_b into a\\_b.", f"{ADD} It turns a_b into a\\_b."),
    ],
)
def test_of_sharegpt_underscores_are_unescaped_where_all_were_escaped(tmp_path: Path, text: str, found: str) -> None:
    kept, _ = walk(write_lines(tmp_path / "t.jsonl", [sharegpt("QWJhYvA_0", text)]))
    assert [row.text for row in kept] == [found]


def test_later_pieces_of_sharegpt_are_no_openings(tmp_path: Path) -> None:
    rows = [
        sharegpt("QWJhYvA_0", ADD, turns=8),
        sharegpt("QWJhYvA_8", JOIN),
        sharegpt("i6IyJda_10", JOIN),
        sharegpt("other_0", LAST, turns=4),
        sharegpt("other_4", JOIN),  # follows upon an opening, behind its turns
    ]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert [row.row for row in kept] == ["QWJhYvA_0", "other_0"]
    assert reasons(drops) == {"not_first_turn": 3}


def test_backslashes_are_taken_out_of_sharegpt_alone(tmp_path: Path) -> None:
    text = "Write a Python function `esc(s)` that turns 'a-b' into 'a\\_b' for LaTeX."
    plain = text.replace("\\_", "_")
    of_sharegpt = [sharegpt("QWJhYvA_0", text), {"id": "QWJhYvA_0", "prompt": text, "first_turn": True}]
    others = [
        {"id": "QWJhYvA_0", "messages": [{"role": "user", "content": text}]},
        sharegpt("esc_1", text),
        sharegpt("CodeFee_1", text),
        {"conversations": [{"from": "human", "value": text}]},
    ]
    for wanted, rows in ((plain, of_sharegpt), (text, others)):
        for number, row in enumerate(rows):
            assert [one.text for one in walk(write_lines(tmp_path / f"{number}.jsonl", [row]))[0]] == [wanted]


@pytest.mark.parametrize(
    "column",
    [
        "lang", "language", "languages", "programming_language", "code_language", "Language", "LANG", "language_name",
        "programmingLanguage", "Programming Language", "code-lang", "ProgLang", "target_language", "solution_language",
        "answerLang", "primary_languages",
    ],
)  # fmt: skip
def test_a_language_beside_a_conversation_decides(tmp_path: Path, column: str) -> None:
    silent = "Write a function that returns the last item of a list or None."
    named = {
        "Python": True, "python3.11": True, "Python 3": True, "PyPy 3-64": True, "text/x-python": True, "Jupyter": True,
        "java, python": True, '["python"]': True, "javascript": False, "C++17": False, "GNU C++17 (64)": False,
        "JavaScript (Node.js)": False, "Java SE 8": False, "T-SQL": False, ".js": False, '["java"]': False,
        "Rust": False,
    }  # fmt: skip
    for value, wanted in named.items():
        row = {"messages": [{"role": "user", "content": silent if wanted else ADD}], column: value}
        kept, drops = walk(write_lines(tmp_path / "t.jsonl", [row]))
        assert (len(kept), reasons(drops)) == ((1, {}) if wanted else (0, {"not_python": 1})), value
    row = {"messages": [{"role": "user", "content": ADD}], column: [{"name": "Java", "bytes": 3}]}
    assert reasons(walk(write_lines(tmp_path / "t.jsonl", [row]))[1]) == {"not_python": 1}
    answered = [{"role": "user", "content": silent}, {"role": "assistant", "content": "The last one, or nothing."}]
    row = {"messages": answered, column: "en"}  # names no programming language
    assert reasons(walk(write_lines(tmp_path / "t.jsonl", [row]))[1]) == {"no_python": 1}
    both = {"language": "en", "programming_language": "python", "messages": [{"role": "user", "content": silent}]}
    assert len(walk(write_lines(tmp_path / "t.jsonl", [both]))[0]) == 1


@pytest.mark.parametrize("column", ["metadata", "meta", "Info", "extra_info"])
@pytest.mark.parametrize("as_text", [json.dumps, repr, dict])
def test_a_language_within_metadata_decides_where_no_column_does(
    tmp_path: Path, column: str, as_text: Callable[[dict[str, Any]], Any]
) -> None:
    silent = [{"role": "user", "content": "Write a function that returns the last item of a list or None."}]
    silent += [{"role": "assistant", "content": "The last one, or nothing."}]
    named = [({"Language": "Python", "n": 1}, 1), ({"code": {"lang": "javascript"}}, 0), ({"language": "en"}, 0)]
    for value, wanted in named:
        row = {"messages": silent, column: as_text(value)}
        assert len(walk(write_lines(tmp_path / "t.jsonl", [row]))[0]) == wanted, value
        beside = row | {"lang": "python"}
        assert len(walk(write_lines(tmp_path / "t.jsonl", [beside]))[0]) == 1, value


def test_the_column_may_be_missing_in_the_first_row(tmp_path: Path) -> None:
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [{"id": 1}, {"id": 2, "messages": TURNS}]))
    assert ([row.text for row in kept], reasons(drops)) == ([ADD], {"empty": 1})


@pytest.mark.parametrize("nothing", [None, [], ""])
def test_a_column_that_is_empty_in_every_row_is_not_the_task(tmp_path: Path, nothing: object) -> None:
    rows = [{"question": text, "messages": nothing, "prompt": None} for text in (ADD, JOIN)]
    path = write_lines(tmp_path / "t.jsonl", rows)
    assert [row.text for row in walk(path)[0]] == [ADD, JOIN]
    kept, drops = walk(path, column="messages")
    assert (kept, reasons(drops)) == ([], {"empty": 2})
    kept, drops = walk(write_lines(tmp_path / "u.jsonl", [rows[1], {"question": LAST, "messages": TURNS}]))
    assert ([row.text for row in kept], drops) == ([JOIN, ADD], [])  # each row by the column that it has
    assert reasons(walk(write_lines(tmp_path / "v.jsonl", [{"messages": nothing}]))[1]) == {"empty": 1}


def test_rows_of_several_kinds_are_read_by_the_column_that_each_has(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"instruction": JOIN}, {"prompt": LAST}, {"messages": TURNS}, {"query": ADD + "!"}]
    assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", rows), near_duplicates=1.0)[0]] == [
        JOIN, LAST, ADD, ADD + "!"
    ]  # fmt: skip
    (parts := tmp_path / "parts").mkdir()
    for number, row in enumerate(rows):
        write_lines(parts / f"{number}.jsonl", [row])
    assert len(walk(parts / "*.jsonl", near_duplicates=1.0)[0]) == 4
    others = [{"prompt": LAST, "text": JOIN}, {"note": LAST}, {"chosen": "def f(): ..."}]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [rows[0], *others]))
    assert ([row.text for row in kept], reasons(drops)) == ([JOIN], {"ambiguous_task": 1, "empty": 2})
    assert reasons(walk(tmp_path / "t.jsonl", column="instruction")[1]) == {"empty": 3}


def test_several_columns_are_refused_beside_one_that_is_empty(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", [{"prompt": ADD, "instruction": JOIN, "messages": None}] * 2)
    with pytest.raises(InstructionsError, match="several possible task columns, instruction and prompt"):
        walk(path)


@pytest.mark.parametrize("count", [2, 2.5, True, 0])
def test_a_number_is_no_conversation_where_another_column_has_the_task(tmp_path: Path, count: object) -> None:
    for column in ("turns", "chat", "messages"):
        rows = [{"query": ADD, column: count}, {"query": JOIN, column: count}]
        assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", rows))[0]] == [ADD, JOIN]


def test_content_that_is_nested_without_end_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"messages": [{{"role": "user", "content": {"[" * 900}"x"{"]" * 900}}}]}}\n')
    assert reasons(walk(path)[1]) == {"not_text": 1}


def test_imports_alone_are_no_task(tmp_path: Path) -> None:
    imports = "import random\nimport functools\nfrom typing import *\n\n"  # of LeetCode, beside `query`
    rows = [{"prompt": imports, "query": ADD}, {"prompt": f"{imports}def add(a, b):\n    # the sum of both\n"}]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert (len(kept), reasons(drops)) == (1, {"empty": 1})
