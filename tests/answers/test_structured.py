"""JSON answers become suites by the rules of other answers; what is cut, broken or of other types is told apart."""

import json
from typing import Any

import pytest

from plum_hub.answers.structured import as_sections
from plum_hub.answers.suite import ParsedSuite, Unusable, parse_suite
from plum_hub.prompts import answer_schema, conversation, prompt_digest

STARTER = 'def f(x: int) -> int:\n    """Return the double of x, which is no string."""\n    pass\n'
SOLUTION = "def f(x: int) -> int:\n    if x < 0:\n        raise ValueError\n    return 2 * x\n"
CASES: list[Any] = [
    {"role": "typical", "call": "f(1)", "expected": "2"},
    {"role": "edge", "call": "f(0)", "expected": "0"},
    {"role": "large", "call": "f(10 ** 9)", "expected": "2000000000"},
    {"role": "invalid", "call": "f(-1)", "expected": "raises ValueError"},
]


def answer(cases: Any = CASES, solution: Any = SOLUTION, starter: Any = STARTER) -> str:
    return json.dumps({"starter_code": starter, "solution": solution, "cases": cases}, indent=1)


def test_a_json_answer_is_the_suite_that_its_sections_would_be() -> None:
    sections = (
        f"### Starter code\n```python\n{STARTER}```\n### Solution\n```python\n{SOLUTION}```\n### Tests\n```python\n"
        "assert f(1) == 2  # typical\nassert f(0) == 0  # edge\nassert f(10 ** 9) == 2000000000  # large\n"
        "with pytest.raises(ValueError):  # invalid\n    f(-1)\n```\n"
    )
    suite = parse_suite(answer())
    assert isinstance(suite, ParsedSuite)
    assert suite == parse_suite(sections)
    assert list(suite.roles.values()) == ["typical", "edge", "large", "invalid"]
    assert suite.entry_point == "f"
    for wrapped in (f"```json\n{answer()}\n```", f"\n{answer()}\nI hope this helps."):
        assert parse_suite(wrapped) == suite


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"role": "edge", "call": "f(7)", "expected": 14}, ("edge", "f(7)", "14")),
        ({"role": "odd", "call": "f(7)", "expected": "14"}, ("unspecified", "f(7)", "14")),
        ({"call": "f(7)", "expected": "14"}, ("unspecified", "f(7)", "14")),
        ({"role": "edge", "call": "f(7) - 1", "expected": "13"}, ("edge", "f(7) - 1", "13")),
        ({"role": "edge", "call": "f(7) == 14", "expected": "True"}, ("edge", "f(7) == 14", "True")),
        ({"role": "edge", "call": "f(7)  # double", "expected": "\n14\n"}, ("edge", "f(7)", "14")),
        ({"role": "edge", "call": "[f(7),\n f(8)]", "expected": [14, 16]}, ("edge", "[f(7), f(8)]", "[14, 16]")),
    ],
)
def test_a_case_is_read_as_it_is_meant(case: Any, expected: tuple[str, str, str]) -> None:
    suite = parse_suite(answer([case, *CASES]))
    assert isinstance(suite, ParsedSuite)
    first = suite.cases[0]
    assert (suite.roles.get(first, "unspecified"), first.call, first.expected) == expected


@pytest.mark.parametrize(
    "case",
    [
        None, 3, "f(7)", {}, {"call": None, "expected": "1"}, {"call": "f(7", "expected": "14"},
        {"call": "f(7)", "expected": "fourteen is the answer"}, {"call": "f(7)", "expected": ""},
        {"call": "x = f(7)", "expected": "14"}, {"call": "f(7); f(8)", "expected": "14"},
        {"call": "f(7)", "expected": "raises an error"}, {"call": ["f(7)"], "expected": "14"},
    ],
)  # fmt: skip
def test_what_is_no_case_costs_no_other_case(case: Any) -> None:
    assert parse_suite(answer([*CASES[:2], case, *CASES[2:]])) == parse_suite(answer())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (answer()[:300], "syntax_error"),
        (answer()[:-3], "syntax_error"),
        ('{"starter_code": "def f(x):', "syntax_error"),
        ('{"starter_code": ' + "[" * 100_000, "syntax_error"),
        (answer(solution=SOLUTION[:40]), "syntax_error"),
        (answer(solution=None), "no_reference"),
        (answer(solution=""), "no_reference"),
        (answer([]), "no_entry_point"),
        (answer(None), "no_entry_point"),
        (answer(CASES[:1]), "too_few_cases"),
        (answer([*CASES, {"role": "edge", "call": "f(1)", "expected": "3"}]), "contradictory"),
    ],
)
def test_a_bad_json_answer_has_a_counted_reason(text: str, reason: str) -> None:
    found = parse_suite(text)
    assert isinstance(found, Unusable)
    if reason != "no_entry_point":
        assert found.reason == reason
    if reason == "syntax_error" and not text.endswith("}"):
        assert "JSON is cut off or broken" in found.detail or found.detail == "nested too deeply"


def test_code_may_hold_fences_and_real_line_breaks() -> None:
    fenced = SOLUTION.replace("    if", '    """Example:\n\n    ```python\n    f(1)\n    ```\n    """\n    if')
    for solution in (fenced, f"```python\n{SOLUTION}```"):
        suite = parse_suite(answer(solution=solution))
        assert isinstance(suite, ParsedSuite), suite
        assert "return 2 * x" in suite.reference
    assert parse_suite(answer().replace("\\n", "\n")) == parse_suite(answer())


def test_other_answers_stay_as_they_are() -> None:
    for text in ("", "{", '{"solution": "x"}', f"### Solution\n```python\n{SOLUTION}```\n"):
        assert as_sections(text) is text


def test_the_examples_of_the_prompt_follow_its_schema() -> None:
    schema = answer_schema("suite_structured")
    assert schema is not None
    case = schema["properties"]["cases"]["items"]["properties"]
    turns = conversation("suite_structured", instruction="Sort.")
    assert len(turns) == 5
    for turn in turns[1::2]:
        example = json.loads(turn["content"])
        assert list(example) == schema["required"] == list(schema["properties"])
        for one in example["cases"]:
            assert list(one) == list(case)
            assert one["role"] in case["role"]["enum"]
        suite = parse_suite(turn["content"])
        assert isinstance(suite, ParsedSuite)
        assert [suite.roles[one] for one in suite.cases] == [one["role"] for one in example["cases"]]
    assert answer_schema("suite") is None
    assert prompt_digest("suite_structured") not in {prompt_digest("suite"), prompt_digest("suite_roles")}
