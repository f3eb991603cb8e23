"""Rows of users: read to the last by the one reader of their files, with their tools, and refused by row and turn where
the model's chat template refuses them."""

import gzip
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import TrainingError
from plum_hub.instructions.hub import read_folder
from plum_hub.release.schemas import Method
from plum_hub.training.data import read_data
from plum_hub.training.lengths import NOT_SHOWN
from plum_hub.training.run import TrainingRequest, check, prepare
from plum_hub.training.settings import compose
from tests.training import toy

pytestmark = pytest.mark.filterwarnings("default")

PLAIN = [{"prompt": f"add {n}", "completion": f"a + {n}", "label": n % 2 == 0, "note": n} for n in range(4)]
LINES = [json.dumps(row) for row in PLAIN]
TOOL = {"type": "function", "function": {"name": "run_tests", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.jsonl", "\n".join(LINES).encode()),
        ("t.jsonl", ("\n\n".join(LINES) + "\n \n").encode()),
        ("t.jsonl", ("\ufeff" + "\r\n".join(LINES)).encode()),
        ("t.jsonl.gz", gzip.compress("\n".join(LINES).encode())),
        ("t.json", f"[{','.join(LINES)}]".encode()),
        ("t.json", "\n".join(LINES).encode()),
        ("t.ndjson", "\n".join(LINES).encode()),
    ],
)
def test_every_row_of_a_users_file_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    rows = read_data(str(path), "kto", "auto").rows
    assert [(row["prompt"], row["label"]) for row in rows] == [(row["prompt"], row["label"]) for row in PLAIN]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LINES[0] + "\n\n" + LINES[1][:-5], r"t\.jsonl:3 is not valid JSON"),
        (LINES[0] + "\n[1]\n", r"t\.jsonl:2 is a JSON list"),
        (LINES[0] + "\n" + LINES[1].replace("add 1", "add \\ud800"), "l:2: prompt, completion must all be texts"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(content)
    with pytest.raises(TrainingError, match=said):
        read_data(str(path), "kto", "auto")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.txt", b"prompt,completion\na,b\n", r"rows\.txt: unknown kind of file: rename or convert it to \.jsonl"),
        ("rows.jsonl.zst", b"\x28\xb5\x2f\xfd....", r"rows\.jsonl\.zst is damaged or not Zstandard"),
        ("saved/dataset_info.json", b"{}", "saved is a folder without data files"),
        ("shards/a.jsonl", b"{}", "sft needs in every row"),
        ("model/config.json", b"{}", "model holds a model, and no rows"),
    ],
)
def test_what_is_nothing_to_train_on_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=said):
        read_data(str(path if path.parent == tmp_path else path.parent), "sft", "auto")


@pytest.mark.parametrize("source", ["data/rows.jsonl", "./rows.parquet", "./rows", "/nowhere/rows", "a/b/c", "rows"])
def test_a_file_that_is_not_there_is_not_looked_up_on_a_hub(source: str) -> None:
    with pytest.raises(TrainingError, match=f"{source.removeprefix('./')} does not exist.* name a run, a "):
        read_data(source, "sft", "http://127.0.0.1:9")


def folder_of(path: Path, **files: bytes) -> Path:
    (path / "data").mkdir(parents=True)
    for name, content in files.items():
        (path / "data" / name.replace("__", ".")).write_bytes(content)
    return path


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def parquet(rows: list[dict[str, Any]], path: Path) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as files

    files.write_table(pa.Table.from_pylist(rows), path)
    return path.read_bytes()


def test_files_of_a_dataset_may_differ_in_what_nobody_needs(tmp_path: Path) -> None:
    first, second = ([row | {"note": note} for row in PLAIN] for note in (None, {"a": 1}))
    third = [{key: value for key, value in row.items() if key != "note"} | {"more": "x"} for row in PLAIN]
    folders = [
        folder_of(tmp_path / "a", train__jsonl=lines(first), train2__jsonl=lines(second), train3__jsonl=lines(third)),
        folder_of(
            tmp_path / "b",
            **{f"train-{n}__parquet": parquet(rows, tmp_path / "p") for n, rows in enumerate((first, second, third))},
        ),
    ]
    for folder in folders:
        rows = [row for _, row in read_folder(folder, "me/rows", {"prompt", "completion", "label"})]
        assert [row["prompt"] for row in rows] == [row["prompt"] for row in PLAIN] * 3
        assert [row["label"] for row in rows] == [row["label"] for row in PLAIN] * 3


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train__jsonl": lines(PLAIN), "train2__jsonl": lines(PLAIN)[:-9]}, r"train2\.jsonl:4 is not valid JSON"),
        ({"train__parquet": b"PAR1 no"}, r"train\.parquet is not readable Parquet"),
        ({"train__csv": b'prompt,label\n"a,1\n', "train2__csv": b"x\n1\n"}, r"train\.csv:2 is not valid CSV .*quote"),
        ({"train__zip": b"PK\x03\x04 no"}, "the dataset me/rows cannot be read .*zip"),
        (
            {"train__csv__gz": gzip.compress(b"prompt,label\na,1\n" * 99)[:-20]},
            r"train\.csv\.gz is damaged or not",
        ),
        ({"train__jsonl": b"version https://git-lfs.github.com/spec/v1\n"}, r"train\.jsonl is a pointer of Git LFS"),
        ({"train__parquet": b"version https://git-lfs.github.com/spec/v1\n"}, r"train\.parquet is a pointer of Git"),
        ({"test__jsonl": lines(PLAIN)}, "has no split `train`, only test"),
    ],
)
def test_a_file_of_a_dataset_that_cannot_be_read_is_one_line(
    tmp_path: Path, files: dict[str, bytes], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plum_hub.errors import InstructionsError

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(InstructionsError, match=said) as caught:
        list(read_folder(folder_of(tmp_path / "data", **files), "me/rows"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        (
            "t.jsonl",
            LINES[0][:-1] + ', "label": false}',
            r"t\.jsonl:2 has the key 'label' twice in one object: .*jq -c",
        ),
        ("t.jsonl", '{"prompt": [{"role": "user", "role": "system"}]}', r"t\.jsonl:2 has the key 'role' twice"),
        ("t.json", LINES[0][:-1] + ', "label": false}', r"t\.json has the key 'label' twice"),
    ],
)
def test_a_key_that_an_object_has_twice_is_refused(tmp_path: Path, name: str, line: str, said: str) -> None:
    content = [LINES[0], line, LINES[1]]
    (tmp_path / name).write_text("\n".join(content) if name == "t.jsonl" else f"[{','.join(content)}]")
    with pytest.raises(TrainingError, match=said):
        read_data(str(tmp_path / name), "kto", "auto")


def test_a_row_is_named_by_the_line_of_its_own_file(tmp_path: Path) -> None:
    for name, more in (("a.jsonl", []), ("b.jsonl", [{"prompt": "x"}])):
        (tmp_path / name).write_bytes(b"\n" + lines([*PLAIN, *more]))
    with pytest.raises(TrainingError, match=r"/b\.jsonl:6: has prompt, and lacks completion, label"):
        read_data(str(tmp_path), "kto", "auto")


@pytest.mark.parametrize("method", ["kto", "dpo"])
def test_the_place_of_a_row_is_that_of_what_it_was_made_of(tmp_path: Path, method: Method) -> None:
    pairs = [{"prompt": f"add {n}", "chosen": "a", "rejected": "b"} for n in range(2)]
    rows = [{"prompt": "add 9", "completion": one, "label": one == "a"} for one in ("b", "c", "a", "a")]
    for content, places in ((pairs, {"kto": [1, 1, 2, 2], "dpo": [1, 2]}), (rows, {"kto": [1, 2, 3, 4], "dpo": [3]})):
        path = tmp_path / "t.jsonl"
        path.write_bytes(lines(content))
        data = read_data(str(path), method, "auto")
        assert data.places is not None
        found = [data.places(number) for number in range(len(data.rows))]
        assert found[: len(places[method])] == [f"{path}:{line}" for line in places[method]]


@pytest.fixture
def templated(tiny: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes the tiny model with another chat template."""

    def made(template: str) -> Path:
        folder = tmp_path / "templated"
        shutil.copytree(tiny, folder)
        (folder / "chat_template.jinja").write_text(template)
        return folder

    return made


PLAINLY = "{% for m in messages %}<|im_start|>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + PLAINLY
)
ALTERNATE = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}" + PLAINLY
)
SYSTEM = {"role": "system", "content": "Write code."}
USER = {"role": "user", "content": "add 3"}


@pytest.mark.parametrize(
    ("template", "prompt", "said"),
    [
        (NO_SYSTEM, [SYSTEM, USER], "l:2: .* refuses turn 1 of 2, of role 'system' .System role not supported"),
        (ALTERNATE, [SYSTEM, USER], "l:2: .* refuses turn 1 of 2, of role 'system' .Conversation roles must alt"),
        (ALTERNATE, [USER, USER], "l:2: .* refuses turn 2 of 2, of role 'user'"),
        (
            ALTERNATE,
            [USER, {"role": "assistant", "content": "Yes?"}],
            "l:2: .* refuses turn 3 of 3, of role 'assistant'",
        ),
        ("{{ messages[1]['content'] + 1 }}", [USER], "l:1: .* refuses turn 1 of 1, of role 'user'"),
        ("{{ messages[0]['content'] + 1 }}", [USER], r"l:1: .* refuses turn 1 .*can only concatenate str"),
        ("{% if %}", [USER], r"template cannot be used .it is not valid Jinja: Expected an expression"),
        ("{{ messages | no_filter }}", [USER], "template cannot be used .it is not valid Jinja: No filter named"),
    ],
)
def test_a_turn_that_the_chat_template_refuses_is_named(
    templated: Callable[[str], Path], tmp_path: Path, template: str, prompt: list[dict[str, str]], said: str
) -> None:
    first, second, *rest = toy.rows()
    source = toy.write(tmp_path / "rows.jsonl", [first, second | {"prompt": prompt}, *rest])
    with pytest.raises(TrainingError, match=said) as caught:
        prepare(TrainingRequest(str(source), str(templated(template)), None, compose(toy.SETTINGS)))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_several_templates_and_no_default_is_named_and_not_a_row(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    shutil.copytree(tiny, folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    named = [{"name": name, "template": PLAINLY} for name in ("rag", "tool_use")]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": named}))
    source = toy.write(tmp_path / "rows.jsonl", toy.rows())
    with pytest.raises(
        TrainingError, match=r"^the model's chat template cannot be used .there are several, rag, tool_use"
    ):
        prepare(TrainingRequest(str(source), str(folder), None, compose(toy.SETTINGS)))
    source = toy.write(tmp_path / "rows.jsonl", [row | {"tools": [TOOL]} for row in toy.rows()])
    assert prepare(TrainingRequest(str(source), str(folder), None, compose(toy.SETTINGS))).rows


WITH_TOOLS = "{% for tool in tools or [] %}[{{ tool['function']['name'] }}]{% endfor %}" + PLAINLY


@pytest.mark.parametrize("as_text", [True, False])
def test_the_template_gets_a_rows_tools(templated: Callable[[str], Path], tmp_path: Path, as_text: bool) -> None:
    tools = json.dumps([TOOL]) if as_text else [TOOL]
    rows = [row | {"tools": tools if number % 12 < 6 else None} for number, row in enumerate(toy.rows())]
    source = toy.write(tmp_path / "rows.jsonl", rows)
    ready = prepare(TrainingRequest(str(source), str(templated(WITH_TOOLS)), None, compose(toy.SETTINGS)))
    assert ready.data.ignored_columns == ()
    found = check(ready)
    assert found.same_prompt == found.cut == 0
    bare = toy.write(tmp_path / "bare.jsonl", toy.rows())
    without = prepare(TrainingRequest(str(bare), ready.base.model, None, compose(toy.SETTINGS)))
    longer = {
        row["row"]: tokens - before
        for row, tokens, before in zip(ready.fitting.rows, ready.fitting.tokens, without.fitting.tokens, strict=True)
    }
    assert {bool(longer[str(number)]) == (row["tools"] is not None) for number, row in enumerate(rows)} == {True}
    for method in ("dpo", "sft"):  # made of labelled rows
        made = read_data(str(source), method, "auto").rows
        assert {(row["prompt"][0]["content"], row["tools"] is None) for row in made} == {
            (f"add {number}", number % 2 == 1) for number in range(12)
        }


def test_columns_that_are_not_read_are_named(tmp_path: Path) -> None:
    kwargs = [row | {"chat_template_kwargs": {"enable_thinking": False}} for row in toy.rows()]
    assert read_data(str(toy.write(tmp_path / "a.jsonl", kwargs)), "kto", "auto").ignored_columns == (
        "chat_template_kwargs",
    )
    beside = [row | {"system": "Write code.", "note": 1} for row in toy.rows()]
    assert read_data(str(toy.write(tmp_path / "d.jsonl", beside)), "kto", "auto").ignored_columns == ("system",)
    plain = [row | {"tools": [TOOL]} for row in PLAIN]
    assert read_data(str(toy.write(tmp_path / "b.jsonl", plain)), "kto", "auto").ignored_columns == ("tools",)
    wrong = [row | {"tools": "run_tests"} for row in toy.rows()]
    with pytest.raises(TrainingError, match="l:1: its tools are not a list of objects"):
        read_data(str(toy.write(tmp_path / "c.jsonl", wrong)), "kto", "auto")


ASKED, ANSWERED = {"role": "user", "content": "add 1"}, {"role": "assistant", "content": "a + 1"}
CALLS = [
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {name: 1}}}]}
    for name in ("a", "b")
]


def test_a_turn_has_no_fields_of_other_turns(tmp_path: Path) -> None:
    prompts = [[ASKED | {"name": "bob"}, call, {"role": "tool", "content": "1"}] for call in CALLS]
    tools = [[TOOL], [TOOL | {"function": {"name": "g", "parameters": {"properties": {"x": {"type": "string"}}}}}]]
    rows = [
        {"prompt": prompt, "completion": [ANSWERED], "label": True, "tools": own}
        for prompt, own in zip(prompts, tools, strict=True)
    ]
    parquet(rows, tmp_path / "t.parquet")
    found = read_data(str(tmp_path / "t.parquet"), "kto", "auto").rows
    assert [row["prompt"] for row in found] == prompts
    assert [json.loads(row["tools"]) for row in found] == tools


def test_turns_of_a_parquet_map_are_turns(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet as files

    kind = pa.list_(pa.map_(pa.string(), pa.string()))
    columns = {"prompt": pa.array([[[*ASKED.items()]]], kind), "completion": pa.array([[[*ANSWERED.items()]]], kind)}
    files.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert read_data(str(tmp_path / "t.parquet"), "sft", "auto").rows[0]["prompt"] == [ASKED]


@pytest.mark.parametrize("as_text", [json.dumps, lambda turns: json.dumps(turns, indent=1) + "\n"])
def test_a_conversation_in_json_text_is_a_conversation(tmp_path: Path, as_text: Callable[[Any], str]) -> None:
    rows = [{"prompt": as_text([ASKED]), "chosen": as_text([ANSWERED]), "rejected": as_text([ANSWERED])}]
    (row,) = read_data(str(toy.write(tmp_path / "t.jsonl", rows)), "dpo", "auto").rows
    assert (row["prompt"], row["chosen"], row["rejected"]) == ([ASKED], [ANSWERED], [ANSWERED])
    for text in ("[1, 2]", "[]", '[{"role": "user"}]', '[{"role": "user", "content": "x"}'):
        plain = toy.write(tmp_path / "u.jsonl", [{"prompt": text, "completion": text}])
        assert read_data(str(plain), "sft", "auto").rows[0]["prompt"] == text


@pytest.mark.parametrize("first", [ASKED, {"role": "system", "content": "Write code."}])
def test_an_answer_with_the_turns_of_its_prompt_is_refused(tmp_path: Path, first: dict[str, str]) -> None:
    rows = [{"prompt": [ASKED], "chosen": [first, ANSWERED], "rejected": [ANSWERED]}]
    with pytest.raises(TrainingError, match=f"l:1: its chosen begins with a turn of role '{first['role']}'"):
        read_data(str(toy.write(tmp_path / "t.jsonl", rows)), "dpo", "auto")


@pytest.mark.parametrize("tools", [[json.dumps(TOOL)], json.dumps([TOOL]), [TOOL, None]])
def test_every_form_of_tools_is_read(tmp_path: Path, tools: object) -> None:
    rows = [{"prompt": [ASKED], "completion": [ANSWERED], "tools": own} for own in (tools, "null", None, [], "", "[]")]
    if tools == [TOOL, None]:
        with pytest.raises(TrainingError, match="l:1: its tools are not a list of objects"):
            read_data(str(toy.write(tmp_path / "t.jsonl", rows)), "sft", "auto")
        return
    first, *others = read_data(str(toy.write(tmp_path / "t.jsonl", rows)), "sft", "auto").rows
    assert json.loads(first["tools"]) == [TOOL]
    assert {row["tools"] for row in others} == {None}


@pytest.mark.parametrize("column", ["prompt", "tools"])
def test_a_row_that_is_nested_without_end_is_named(tmp_path: Path, column: str) -> None:
    deep = "[" * 900 + "]" * 900
    row = json.dumps({"prompt": [ASKED], "completion": [ANSWERED], column: [ASKED | {"more": 0}]})
    (tmp_path / "t.jsonl").write_text(row.replace('"more": 0', f'"more": {deep}'))
    before = sys.getrecursionlimit()  # libraries that other tests import may have raised it
    sys.setrecursionlimit(1000)
    try:
        with pytest.raises(TrainingError, match="l:1: "):
            read_data(str(tmp_path / "t.jsonl"), "sft", "auto")
    finally:
        sys.setrecursionlimit(before)


QWEN = (  # as Qwen2.5's, which passes over every role that it does not name
    "{% if messages[0]['role'] == 'system' %}<|im_start|>system\n{{ messages[0]['content'] }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' or m.role == 'assistant' or (m.role == 'system' and not loop.first) "
    "%}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEVELOPER = {"role": "developer", "content": "Write code."}
HIDES_SYSTEM = PLAINLY.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")


@pytest.mark.parametrize("form", ["prompt", "messages"])
@pytest.mark.parametrize(
    ("template", "turn"), [(QWEN, DEVELOPER), (HIDES_SYSTEM, SYSTEM), (QWEN.replace("'user'", "'human'"), USER)]
)
def test_a_turn_that_the_template_passes_over_is_not_lost_in_silence(
    templated: Callable[[str], Path], tmp_path: Path, form: str, template: str, turn: dict[str, str]
) -> None:
    def row(*turns: dict[str, str]) -> dict[str, Any]:
        return {"messages": [*turns, ANSWERED]} if form == "messages" else {"prompt": turns, "completion": [ANSWERED]}

    settings = compose([one for one in toy.SETTINGS if not one.startswith("beta")], method="sft")
    model = templated(template)
    bad = toy.write(tmp_path / "bad.jsonl", [row(turn, USER)])
    with pytest.raises(TrainingError, match="renders nothing of a system, developer or user turn, which the model"):
        prepare(TrainingRequest(str(bad), str(model), None, settings))
    if turn is not USER:
        mixed = toy.write(tmp_path / "mixed.jsonl", [row(turn, USER), row(USER), row(USER | {"content": " add  1\n"})])
        found = prepare(TrainingRequest(str(mixed), str(model), None, settings)).fitting
        assert (dict(found.left_out), [one["row"] for one in found.rows]) == ({NOT_SHOWN: 1}, ["1", "2"])


def test_a_role_that_the_template_does_not_know_is_named(templated: Callable[[str], Path], tmp_path: Path) -> None:
    rows = [{"messages": [ASKED, {"role": role, "content": "x"}, ANSWERED]} for role in ("tool", "critic")]
    source = toy.write(tmp_path / "rows.jsonl", rows)
    settings = compose([one for one in toy.SETTINGS if not one.startswith("beta")], method="sft")
    model = templated(PLAINLY)
    with pytest.raises(TrainingError, match=r"l:2: .* does not know the role 'critic' of turn 2 of 3: rename it to"):
        prepare(TrainingRequest(str(source), str(model), None, settings))
    (model / "chat_template.jinja").write_text(PLAINLY + "{# critic #}")
    assert len(prepare(TrainingRequest(str(source), str(model), None, settings)).fitting.rows) == 2
