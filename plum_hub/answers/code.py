"""The program in a model's answer.

The program is kept as the model wrote it: nothing is reordered or cut out of it, and nothing is repaired but characters
that cannot be seen. What is decided here is only where it begins and ends: which fenced blocks belong to it, or which
lines where nothing is fenced.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from plum_hub.answers.blocks import Block, read_answer
from plum_hub.answers.source import (
    DefinitionNode,
    definitions,
    is_program,
    is_stub,
    longest_valid_prefix,
    missing_names,
    parse,
)  # fmt: skip

EXTRACTION = "2"
"""Version of the rules by which a program is found in an answer. It is part of a verdict's id, since those rules decide
what was judged: raise it whenever an answer could give another program."""

_CODE_LINE = re.compile(
    r"(?:from [\w.]+ import \S|import [\w.]+(?: as \w+)?(?:, [\w.]+(?: as \w+)?)*\s*(?:#.*)?$"
    r"|(?:async )?def \w+\s*\(|class \w+\s*[(:]|@\w|[A-Za-z_][\w.]*(?:, ?\w+)* [-+*/|&]?= \S|print\("
    r"|(?:for|while|if|with) .*:$)"
)
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2009\u202f\u3000"), " ")
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"), "")
_PROMPT = re.compile(r"^(?:>>>|\.\.\.)(?: |$)")


def extract_code(text: str, entry_point: str | None) -> str | None:
    """The program that answers a task.

    A fenced block that defines the entry point is preferred, the last complete one if there are several, because models
    correct themselves; it is joined with those other blocks that define a name it misses, and blocks of example usage
    stay out. Without an entry point it is the last block that reads input and is complete, else the longest that
    parses. Text without a fence, or before a stray one, is a program if it reads as one.
    A prompt that ends inside the program must be put before its answer by the caller.

    Args:
        text: the model's answer, word for word.
        entry_point: the function or class that the program must define; None or "" for a script.

    Returns:
        The source, which need not parse; None when there is no code.
    """
    answer = read_answer(text)
    name = entry_point or ""
    for whole in map(_readable, (answer.text, answer.preamble)):
        if is_program(parse(whole), name):
            return whole.strip("\n") + "\n"
    return (
        choose_program(answer.blocks, name)
        or _plain_program(answer.prose, name)
        or (choose_program(answer.blocks, "") if name else None)
        or (_mislabelled(answer.blocks, name) if name else None)
    )


def choose_program(blocks: Sequence[Block], name: str) -> str | None:
    """The program among the blocks: the one that defines `name` ("" for any program), with those that it needs."""
    candidates = [replace(block, code=_readable(block.code)) for block in blocks if block.may_be_python]
    chosen = _defining(candidates, name) if name else _script(candidates)
    return None if chosen is None else _joined(chosen, candidates, name)


def _defines(code: str, name: str) -> bool:
    """Whether the code defines the name at its top level, judged by eye where it does not parse."""
    if (tree := parse(code)) is not None:
        return _definition(tree, name) is not None
    return re.search(rf"^(?:(?:async )?def|class) {re.escape(name)}\b", code, re.MULTILINE) is not None


def _definition(tree: ast.Module, name: str) -> ast.stmt | None:
    """The statement that binds a name last; to import it from elsewhere is not to define it."""
    statement = definitions(tree).get(name)
    return None if isinstance(statement, ast.Import | ast.ImportFrom) else statement


def _defining(candidates: Sequence[Block], name: str) -> Block | None:
    """The last of the most complete blocks that define the name."""
    found = [(_completeness(block.code, name), place) for place, block in enumerate(candidates)]
    rank, place = max(((rank, place) for rank, place in found if rank), default=(0, 0))
    return candidates[place] if rank else None


def _completeness(code: str, name: str) -> int:
    """How much of the name's definition a block holds: 0 nothing, 5 all of it."""
    if not _defines(code, name):
        return 0
    tree = parse(code)
    if tree is None:
        begun = parse(longest_valid_prefix(code.split("\n")))
        node = None if begun is None else _definition(begun, name)
        return 1 if node is None or _is_sketch(node) else 3
    node = _definition(tree, name)
    assert node is not None
    if _is_sketch(node):
        return 2
    return 5 if isinstance(node, DefinitionNode) or isinstance(getattr(node, "value", None), ast.Lambda) else 4


def _is_sketch(node: ast.stmt) -> bool:
    """Whether a definition is empty, or leaves parts of it out with `...`."""
    if is_stub(node):
        return True
    if isinstance(node, ast.ClassDef):
        return False  # abstract methods and protocols are written so
    parts = (part for part in ast.walk(node) if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
    return isinstance(node, DefinitionNode) and any(part.value.value is ... for part in parts)  # type: ignore[attr-defined]


def _script(candidates: Sequence[Block]) -> Block | None:
    """The last block that is a whole program for standard input, else the longest block that parses."""
    parsed = [(block, tree) for block in candidates if is_program(tree := parse(block.code)) and tree is not None]
    whole = [block for block, tree in parsed if _reads_and_writes(block.code) and not missing_names(tree)]
    if whole:
        tagged = [block for block in whole if block.is_python]
        return (tagged or whole)[-1]
    longest = max(parsed, key=lambda one: (one[0].is_python, one[0].code.count("\n")), default=None)
    return longest[0] if longest else next((block for block in candidates if block.is_python), None)


def _reads_and_writes(code: str) -> bool:
    return bool(
        re.search(r"\binput\(|\bstdin\b|\bopen\(0", code) and re.search(r"\bprint\(|\bstdout\b|\bwrite\(", code)
    )


def _joined(chosen: Block, candidates: Sequence[Block], name: str) -> str:
    """The chosen block with the other blocks that define what it misses, in the order of the answer.

    An earlier version of the answer is only joined for what nothing else defines; the later definition then counts.
    """
    tree = parse(chosen.code)
    at = next(index for index, block in enumerate(candidates) if block is chosen)
    parts = {at}
    missing = missing_names(tree) if tree is not None else set()
    for versions in (False, True):
        for index, block in enumerate(candidates):
            if not missing or index in parts or (bool(name) and _defines(block.code, name)) is not versions:
                continue
            other = parse(block.code)
            if other is None or (versions and index > at) or not missing & definitions(other).keys():
                continue
            parts.add(index)
            missing = (missing | missing_names(other)) - definitions(other).keys()
        if not name:
            break
    return "\n\n".join(candidates[index].code for index in sorted(parts))


def _mislabelled(blocks: Sequence[Block], name: str) -> str | None:
    """A block that says it is something else, and is Python that defines the name."""
    others = [replace(block, language="") for block in blocks if not block.may_be_python]
    found = [block for block in others if is_program(parse(block.code), name)]
    return choose_program(found, name)


def _plain_program(text: str, name: str) -> str | None:
    """The program in text without fences: from a line of code to the last line that still parses."""
    lines = _readable(text).split("\n")
    found = list(_pieces(lines, name))
    if (program := choose_program(found, name)) is not None:
        return program
    starts = [index for index, line in enumerate(lines) if _CODE_LINE.match(line)]
    rest = "\n".join(lines[starts[0] :]).strip("\n") + "\n" if starts else ""
    return rest if name and _defines(rest, name) else None


def _pieces(lines: Sequence[str], name: str) -> Iterator[Block]:
    """Each run of lines that is a program, as a block; all of them for a name, else the first."""
    at = 0
    while at < len(lines):
        if not _CODE_LINE.match(lines[at]):
            at += 1
            continue
        program = longest_valid_prefix(list(lines[at:]))
        if is_program(parse(program)):
            yield Block("python", program.strip("\n") + "\n", "", closed=True)
            if not name:
                return
        at += max(1, program.count("\n") + 1) if program else 1


def _readable(code: str) -> str:
    """The code without prompts and characters that cannot be seen, where it parses without them only."""
    if _PROMPT.match(code) and parse(code) is None:
        lines = [line[4:] for line in code.split("\n") if _PROMPT.match(line)]
        return "\n".join(lines) + "\n"
    if not code.isascii() and parse(code) is None:
        cleaned = code.translate(_BLANKS | _UNSEEN)
        return cleaned if cleaned != code and parse(cleaned) is not None else code
    return code
