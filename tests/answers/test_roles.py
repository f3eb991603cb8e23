"""The role of each case is read as models write it; a case without one is kept, with the role `unspecified`."""

import pytest

from plum_hub.answers.roles import role_of
from plum_hub.answers.suite import ParsedSuite, parse_suite
from plum_hub.pipeline.roles import case_roles
from plum_hub.prompts import conversation
from plum_hub.records import UNSPECIFIED, TestSuite

REFERENCE = "### Solution\n```python\ndef f(x):\n    if x < 0:\n        raise ValueError\n    return 2 * x\n```\n"


def parsed(tests: str, solution: str = REFERENCE) -> ParsedSuite:
    suite = parse_suite(f"{solution}### Tests\n```python\n{tests}\n```\n", min_cases=1, max_cases=99)
    assert isinstance(suite, ParsedSuite), suite
    return suite


def roles(tests: str) -> list[str]:
    """The first letter of each case's role."""
    suite = parsed(tests)
    return [suite.roles.get(case, UNSPECIFIED)[0] for case in suite.cases]


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("# typical", "typical"),
        ("#edge", "edge"),
        ("# Edge cases", "edge"),
        ("# 3. Large input:", "large"),
        ("# role: invalid", "invalid"),
        ("# [boundary]", "edge"),
        ("# the normal case", "typical"),
        ("empty list, an edge case", "edge"),
        ("test_invalid_input", "invalid"),
        ("error", "invalid"),
        ("# the largest of all", UNSPECIFIED),
        ("# removes the edge from the graph", UNSPECIFIED),
        ("# bogus", UNSPECIFIED),
        ("", UNSPECIFIED),
    ],
)
def test_a_role_is_a_word_at_the_beginning_or_before_case(text: str, role: str) -> None:
    assert role_of(text) == role


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ("assert f(1) == 2  # typical\nassert f(0) == 0  # edge\nassert f(9) == 18  # bogus\nassert f(3) == 6", "teuu"),
        ("# Typical\nassert f(1) == 2\nassert f(2) == 4\n\n# Edge case: no\n# double\nassert f(0) == 0", "tte"),
        ("# Large\nassert f(9) == 18\n# and another one\nassert f(8) == 16", "lu"),
        ("assert f(1) == 2, 'typical case'\nassert f(0) == 0, 'wrong'", "tu"),
        ("# typical\nassert f(1) == 2\nassert f(0) == 0  # edge", "te"),
        ("assert f(1) == 2  # typical\nwith pytest.raises(ValueError):  # invalid\n    f(-1)", "ti"),
        ("assert f(1) == 2  # typical\nwith pytest.raises(ValueError):\n    f(-1)  # invalid\nassert f(3) == 6", "tiu"),
        ("assert f(1) == 2\ntry:\n    f(-2)\n    assert False\nexcept ValueError:\n    pass  # invalid", "ui"),
        (
            (
                "def test_typical():\n    assert f(1) == 2\n    assert f(0) == 0  # edge\n\n"
                "def test_more():\n    assert f(5) == 10\n\n"
                "def test_large_input():\n    # three times\n    assert f(9) == 18"
            ),
            "teuu",
        ),
        (
            (
                "class TestF(unittest.TestCase):\n    def test_edge_case(self):\n        self.assertEqual(f(0), 0)\n"
                "    def test_it(self):\n        self.assertEqual(f(1), 2)"
            ),
            "eu",
        ),
        ("for x, y in [(1, 2), (2, 4)]:  # typical\n    assert f(x) == y\nassert f(0) == 0", "ttu"),
        ("y = f(4)  # large\nassert y == 8  # edge\nxs = [1]\nxs.append(f(2))\nassert xs == [1, 4]  # typical", "et"),
        ("assert (\n    f(1)\n    == 2\n)  # typical\nassert f(2) == 4", "tu"),
        ("assert f(1) == 2 and f(0) == 0  # edge", "ee"),
        ("assert f(1) == 2  # typical\nassert f(1) == 2  # edge\nassert f(2) == 4", "tu"),
        ("assert f(1) == 2  # typical\nassert f(2) == 4  # ed\nassert f(", "tu"),
    ],
)
def test_the_nearest_text_counts(tests: str, expected: str) -> None:
    assert "".join(roles(tests)) == expected


def test_roles_change_no_suite() -> None:
    plain, marked = "assert f(1) == 2\nassert f(0) == 0", "# typical\nassert f(1) == 2\nassert f(0) == 0  # edge"
    one, other = (TestSuite.of("i", parsed(tests)) for tests in (plain, marked))
    assert one == other
    assert parsed(plain) == parsed(marked)


def test_roles_follow_a_case_under_another_name() -> None:
    other = parsed("assert g(0) == 0  # edge\nassert g(1) == 2  # typical", REFERENCE.replace("f(x)", "g(x)"))
    own = parsed("assert f(1) == 2  # large\nassert f(3) == 6\nassert f(0) == 0")
    script = ParsedSuite("", "", "", other.cases, other.roles)
    assert case_roles(TestSuite.of("i", own), [own, script, other]) == ["large", "unspecified", "edge"]


def test_the_examples_of_the_prompt_have_roles_that_hold() -> None:
    turns = conversation("suite_roles", instruction="Sort.")
    plain = conversation("suite", instruction="Sort.")
    assert [turn["role"] for turn in turns] == [turn["role"] for turn in plain]
    expected = [
        ["typical", "typical", "edge", "edge", "large"],
        ["typical", "typical", "edge", "large", "invalid"],
    ]
    for turn, wanted in zip(turns[1::2], expected, strict=True):
        suite = parse_suite(turn["content"])
        assert isinstance(suite, ParsedSuite)
        assert [suite.roles.get(case) for case in suite.cases] == wanted
        namespace: dict[str, object] = {}
        exec(suite.reference, namespace)  # our own text
        for case in suite.cases:
            if case.kind == "call":
                assert eval(case.call or "", namespace) == eval(case.expected or "")
            else:
                exec(case.statement or "", namespace)
