"""Read an answer that is JSON, by the schema of the prompt `suite_structured`, as the sections that other answers have.

So it is parsed by the same rules. What a server without a schema makes of the prompt is read too: values that are no
strings, code in a fence, unknown roles.
"""

import ast
import json
import re
from typing import Any

from plum_hub.answers.roles import role_of
from plum_hub.answers.source import parse

_BEGIN = re.compile(r'\s*(?:```(?:json)?\s*)?(?=\{\s*"starter_code"\s*:)')
_FENCED = re.compile(r"\s*```\w*\n(?P<code>.*?)\n?```\s*", re.DOTALL)
_RAISES = re.compile(r"raises?[\s:(]+(?P<error>[A-Za-z_][\w.]*)\W*")


def as_sections(text: str) -> str:
    """Rewrite a JSON answer as the three sections that the prompt `suite` asks for.

    Args:
        text: The answer.

    Returns:
        The sections; an answer that does not begin as such an object is unchanged.

    Raises:
        ValueError: The JSON is cut off or broken; the message says where.
        RecursionError: It is nested too deeply.
    """
    begin = _BEGIN.match(text)
    if begin is None:
        return text
    try:
        answer, _ = json.JSONDecoder(strict=False).raw_decode(text, begin.end())
    except json.JSONDecodeError as error:
        raise ValueError(f"the answer's JSON is cut off or broken: {error}") from error
    cases = answer.get("cases")
    tests = "\n".join(filter(None, map(_test, cases if isinstance(cases, list) else [])))
    codes = [("Starter code", _code(answer.get("starter_code"))), ("Solution", _code(answer.get("solution")))]
    longest = max(map(len, re.findall("`+", f"{codes}{tests}")), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n\n".join(f"### {title}\n{fence}python\n{code}\n{fence}" for title, code in [*codes, ("Tests", tests)])


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    fenced = _FENCED.fullmatch(text)
    return (fenced["code"] if fenced else text).strip("\n")


def _test(case: Any) -> str:
    """Return the source of a case; "" if it is not an expression with its value or error."""
    if not isinstance(case, dict):
        return ""
    call, expected = _expression(case.get("call")), case.get("expected")
    role = role_of(str(case.get("role")))
    raised = _RAISES.fullmatch(expected.strip()) if isinstance(expected, str) else None
    if call and raised:
        return f"with pytest.raises({raised['error']}):  # {role}\n    {call}"
    value = _expression(expected) if isinstance(expected, str) else repr(expected)
    return f"assert {call} == {value}  # {role}" if call and value else ""


def _expression(value: Any) -> str:
    """Return the source of an expression, in one line; "" if the value is none."""
    tree = parse(value.strip()) if isinstance(value, str) else None
    match tree:
        case ast.Module(body=[ast.Expr(value=inner)]):
            return _one_line(inner)
    return ""


def _one_line(node: ast.expr) -> str:
    source = ast.unparse(node)
    binds_closer = ast.Call | ast.Constant | ast.Name | ast.Attribute | ast.Subscript | ast.List | ast.Dict | ast.Tuple
    return source if isinstance(node, binds_closer) else f"({source})"
