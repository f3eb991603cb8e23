"""Read tests that are not assertions: printed examples, doctests, and pairs of input and output."""

import ast
import doctest
import re
from collections.abc import Iterator

from plum_hub.answers.assertions import make_call_case, read_assertion
from plum_hub.answers.blocks import read_answer
from plum_hub.answers.source import parse
from plum_hub.records import TestCase

_COMMENT = re.compile(
    r"(?i)#\s*(?:expected\s*)?(?:output|result|returns?|prints?|should (?:return|print|be))?\s*(?:is\s)?[:=\->]*\s*"
    r"(.+?)\s*$"
)
_QUOTED_ASSERTION = re.compile(r"`(assert [^`\n]+)`")
_INPUT_LABEL = re.compile(r"(?i)\binputs?\b[^:]{0,20}:?\W*$")
_OUTPUT_LABEL = re.compile(r"(?i)\boutputs?\b[^:]{0,20}:?\W*$")
_PAIR = re.compile(
    r"(?ims)^\W*(?:\w+ ){0,2}input[ \d]*:[ \t]*\n?(?P<stdin>.*?)\n\W*(?:\w+ ){0,2}output[ \d]*:[ \t]*\n?(?P<stdout>.*?)"
    r"(?=\n\s*\n|\n\W*(?:\w+ ){0,2}input[ \d]*:|\Z)"
)


def printed_cases(text: str) -> Iterator[TestCase]:
    """Read examples in the text: `>>> f(2)` with its value below, `print(f(2))  # Output: 4`, assertions in backticks.

    Args:
        text: The model's answer.

    Yields:
        A call case for each example whose value is a literal.
    """
    answer = read_answer(text)
    for quoted in _QUOTED_ASSERTION.findall(answer.prose):
        for node in (parse(quoted) or ast.Module(body=[], type_ignores=[])).body:
            yield from (case for case in read_assertion(node) if case.kind == "call")
    for block in answer.blocks:
        if not block.may_be_python:
            continue
        yield from _doctests(block.code)
        if (tree := parse(block.code)) is not None:
            yield from _commented(tree, block.code.split("\n"))


def stdio_cases(text: str) -> Iterator[TestCase]:
    """Read pairs of input and output: blocks with these labels, or `Input: ...` followed by `Output: ...`.

    Args:
        text: The model's answer.

    Yields:
        A case of standard input and output for each pair.
    """
    answer = read_answer(text)
    stdin: str | None = None
    for block in answer.blocks:
        if _OUTPUT_LABEL.search(block.label) and stdin is not None:
            yield TestCase(kind="stdio", stdin=stdin, stdout=block.code)
            stdin = None
        elif _INPUT_LABEL.search(block.label):
            stdin = block.code
    for source in (*(block.code for block in answer.blocks if not block.is_python), answer.prose):
        for pair in _PAIR.finditer(source):
            if not pair["stdin"].strip(" `\n"):
                continue
            yield TestCase(kind="stdio", stdin=_plain(pair["stdin"]), stdout=_plain(pair["stdout"]))


def _plain(text: str) -> str:
    return text.strip().strip("`").strip("\n") + "\n"


def _doctests(code: str) -> Iterator[TestCase]:
    try:
        examples = doctest.DocTestParser().get_examples(code)
    except ValueError:  # a prompt without a space is not a doctest
        return
    for example in examples:
        call, expected = parse(example.source), parse(example.want.strip())
        match call, expected:
            case ast.Module(body=[ast.Expr(value=value)]), ast.Module(body=[ast.Expr(value=expected_value)]):
                if (case := make_call_case(value, expected_value)) is not None:
                    yield case


def _commented(tree: ast.Module, lines: list[str]) -> Iterator[TestCase]:
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[ast.Call() as call], keywords=[])):
                comment = _COMMENT.search(lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset or 0 :])
                expected = parse(comment[1]) if comment else None
                match expected:
                    case ast.Module(body=[ast.Expr(value=value)]) if (case := make_call_case(call, value)) is not None:
                        yield case
