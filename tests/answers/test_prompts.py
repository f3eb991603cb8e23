import hashlib
from pathlib import Path

import pytest

import plum_hub.prompts
from plum_hub.answers.suite import ParsedSuite, parse_suite
from plum_hub.prompts import conversation, prompt_digest, render


def test_a_value_may_hold_braces_and_placeholders() -> None:
    prompt = render("solve_chat", instruction="Print {{ starter_code }} and {x} and {{x}}", starter_code="d = {{}}")

    assert "Print {{ starter_code }} and {x} and {{x}}" in prompt
    assert "```python\nd = {{}}\n```" in prompt


@pytest.mark.parametrize("values", [{"instruction": "x"}, {"instruction": "x", "starter_code": "y", "other": "z"}])
def test_values_and_placeholders_must_be_the_same(values: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        render("solve_chat", **values)


@pytest.mark.parametrize("name", ["suite", "suite_roles", "solve_chat", "solve_completion"])
def test_the_digest_names_the_text_of_the_file(name: str) -> None:
    text = (Path(plum_hub.prompts.__file__).parent / f"{name}.md").read_bytes()

    assert prompt_digest(name) == hashlib.sha256(text).hexdigest()[:16]


def test_a_completion_prompt_ends_where_the_program_begins() -> None:
    assert render("solve_completion", instruction="x", starter_code="y").endswith("\n```python\n")


def test_the_examples_in_the_suite_prompt_are_themselves_usable_answers() -> None:
    turns = conversation("suite", instruction="Sort {{ instruction }}.\n<!-- user -->")

    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert turns[-1]["content"].startswith("Task:\nSort {{ instruction }}.\n<!-- user -->\n")
    for turn in turns[1::2]:
        suite = parse_suite(turn["content"])
        assert isinstance(suite, ParsedSuite)
        assert [case.kind for case in suite.cases] == ["call"] * 4
        namespace: dict[str, object] = {}
        exec(suite.reference, namespace)  # our own text
        for case in suite.cases:
            assert repr(eval(case.call or "", namespace)) == case.expected


def test_a_prompt_without_turns_is_one_of_the_users() -> None:
    (turn,) = conversation("solve_chat", instruction="Add.", starter_code="def add(): ...")

    assert turn == {
        "role": "user",
        "content": render("solve_chat", instruction="Add.", starter_code="def add(): ...").strip(),
    }
