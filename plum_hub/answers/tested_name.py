"""What a suite calls the function or class under test, and tests as people write them down."""

import ast
import re
from dataclasses import dataclass
from textwrap import dedent

from plum_hub.answers.source import FunctionNode, definitions, loaded_names, missing_names, parse, substitute, unparse

_TESTED = re.compile(r"\s*(?P<name>\w+)(?:\(\))?(?:\.(?P<method>\w+)(?:\(\))?)?\s*")
_FENCED = re.compile(
    r"\s*(?P<fence>`{3,}|~{3,})[ \t]*\w*[ \t]*\r?\n(?P<code>.*?)(?:\r?\n)?[ \t]*(?P=fence)\s*", re.DOTALL
)


@dataclass(frozen=True)
class TestedName:
    """What tests call.

    Attributes:
        name: The name that a program must define.
        expression: What `candidate` stands for: the name, or a method of an object of the class.
    """

    name: str
    expression: str


def tested_name(text: str) -> TestedName | None:
    """Read what an `entry_point` names: `f`, `f()`, or a method as LeetCode's are named, `Solution().f`.

    Args:
        text: The text.

    Returns:
        The name; None if the text names nothing.
    """
    found = _TESTED.fullmatch(text)
    names = [name for name in (found["name"], found["method"]) if name] if found else []
    if not names or not all(name.isidentifier() for name in names):
        return None
    return TestedName(names[0], "().".join(names))


def readable_tests(source: str, tested: TestedName | None) -> str:
    """Bring tests into the form that a module has.

    Args:
        source: Tests of `candidate` or of a name, perhaps in a fence, indented as a whole, or with their line ends
            written as a backslash and an n.
        tested: What they test; None if unknown.

    Returns:
        Their source, of which `candidate` is what they test, and with a call of `check` where one is defined and none
        stands; unchanged if it cannot be read.
    """
    if parse(source) is None and (found := _FENCED.fullmatch(source)):
        source = found["code"] + "\n"
    if parse(source) is None and "\n" not in source.strip() and parse(lines := source.replace("\\n", "\n")) is not None:
        source = lines
    if parse(source) is None and parse(dedent(source)) is not None:
        source = dedent(source)
    is_method = tested is not None and tested.expression != tested.name
    if tested is None or not ("candidate" in source or is_method) or (tree := parse(source)) is None:
        return source
    if tested.name != "candidate" and "candidate" in missing_names(tree):
        value = ast.parse(tested.expression, mode="eval").body
        source = unparse([substitute(node, {"candidate": value}) for node in tree.body])
    if is_method and isinstance(definitions(tree).get("check"), FunctionNode) and "check" not in loaded_names(tree):
        source += f"\ncheck({tested.expression})\n"
    return source
