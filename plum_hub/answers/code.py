"""Extract the program from a model's answer.

The program is kept as the model wrote it: nothing is reordered, cut out or repaired, except for invisible characters,
and what shows code rather than being it, such as prompts and line numbers. This module only decides which fenced
blocks, or which lines of an answer without fences, belong to the program.
"""

import ast
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from textwrap import dedent

from plum_hub.answers.blocks import Block, ParsedAnswer, read_answer
from plum_hub.answers.source import (
    DefinitionNode,
    definitions,
    is_program,
    is_stub,
    longest_valid_prefix,
    missing_names,
    parse,
    stored_names,
)  # fmt: skip

EXTRACTION = "5"
"""Version of the extraction rules. It is part of a verdict's id, because the rules decide which program is judged:
raise it whenever an answer could give a different program.
"""

_CODE_LINE = re.compile(
    r"(?:from [\w.]+ import \S|import [\w.]+(?: as \w+)?(?:, [\w.]+(?: as \w+)?)*\s*(?:#.*)?$"
    r"|(?:async )?def \w+\s*\(|class \w+\s*[(:]|@\w|[A-Za-z_][\w.]*(?:, ?\w+)* [-+*/|&]?= \S|print\("
    r"|(?:for|while|if|with) .*:$)"
)
_COMPLETE = 5
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2009\u202f\u3000"), " ")
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"), "")
_OBJECT = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_TAG = re.compile(r"</?(?:answer|solution|code|pre|python)(?:\s[^<>]*)?>", re.IGNORECASE)
_NUMBER = re.compile(r" *(\d{1,9})(?: ?[|:.)])?(?:[ \t]|$)", re.ASCII)
_MAGIC = re.compile(r"%{1,2}[a-z]|![a-z]|\?{1,2}\w")
_PROMPT = re.compile(r"^(?:>>>|\.\.\.)(?: |$)")
_CELL = re.compile(r"In ?\[[\d *]*\]:[ \t]?")
_CELL_LINE = re.compile(r"\s*\.{3,}:[ \t]?")
_OUT = re.compile(r"Out ?\[[\d *]*\]:")


def extract_code(text: str, entry_point: str | None) -> str | None:
    """Extract the program that answers a task.

    A fenced block that defines the entry point is preferred; of several, the last complete one, because models
    correct themselves; what stands after the last fence counts as a block if it is one. It is joined with the other
    blocks that define names it lacks, and with later ones that only define its helpers anew, for the same uses; blocks
    of example usage are left out. Without an entry point, the last complete block that reads input is chosen, else the
    longest that parses. Text without a fence, or before a stray one, is a program if it parses as one. If the prompt
    ends inside the program, the caller must prepend it to the answer.

    Args:
        text: The model's answer, verbatim.
        entry_point: The function or class that the program must define; None or "" for a script.

    Returns:
        The source, which need not parse; None if there is no code.
    """
    answer = read_answer(text)
    name = entry_point or ""
    for candidate in map(_readable, (answer.text, answer.preamble)):
        if is_program(parse(candidate), name):
            return candidate.strip("\n") + "\n"
    after = _pieces(_readable(answer.epilogue).split("\n"), name) if name and answer.blocks else ()
    corrections = [piece for piece in after if _completeness(piece.code, name) == _COMPLETE]
    return (
        choose_program([*answer.blocks, *corrections], name)
        or _plain_program(answer.prose, name)
        or _wrapped(answer, name)
        or (choose_program(answer.blocks, "") if name else None)
        or (_mislabelled(answer.blocks, name) if name else None)
    )


def choose_program(blocks: Sequence[Block], name: str) -> str | None:
    """Choose the program among fenced blocks.

    Args:
        blocks: Blocks in the order of the answer.
        name: The name that the program must define; "" for any program.

    Returns:
        The chosen block joined with the blocks that it needs; None if no block qualifies.
    """
    candidates = [replace(block, code=_readable(block.code)) for block in blocks if block.may_be_python]
    chosen = _defining(candidates, name) if name else _script(candidates)
    return None if chosen is None else _joined(chosen, candidates, name)


def _defines(code: str, name: str) -> bool:
    """Tell if code defines a name at its top level; decided by a regular expression if the code does not parse."""
    if (tree := parse(code)) is not None:
        return _definition(tree, name) is not None
    return re.search(rf"^(?:(?:async )?def|class) {re.escape(name)}\b", code, re.MULTILINE) is not None


def _definition(tree: ast.Module, name: str) -> ast.stmt | None:
    """Return the last statement that binds a name, unless it is an import."""
    statement = definitions(tree).get(name)
    return None if isinstance(statement, ast.Import | ast.ImportFrom) else statement


def _defining(candidates: Sequence[Block], name: str) -> Block | None:
    """Return the last of the most complete blocks that define the name."""
    ranks = [(_completeness(block.code, name), index) for index, block in enumerate(candidates)]
    rank, index = max(((rank, index) for rank, index in ranks if rank), default=(0, 0))
    return candidates[index] if rank else None


def _completeness(code: str, name: str) -> int:
    """Rate how much of the name's definition a block contains, from 0 (nothing) to 5 (all of it)."""
    if not _defines(code, name):
        return 0
    tree = parse(code)
    if tree is None:
        prefix = parse(longest_valid_prefix(code.split("\n")))
        node = None if prefix is None else _definition(prefix, name)
        return 1 if node is None or _is_sketch(node) else 3
    node = _definition(tree, name)
    assert node is not None
    if _is_sketch(node):
        return 2
    value = getattr(node, "value", None)
    renamed = isinstance(value, ast.Name) and isinstance(definitions(tree).get(value.id), DefinitionNode)
    return _COMPLETE if renamed or isinstance(node, DefinitionNode) or isinstance(value, ast.Lambda) else 4


def _is_sketch(node: ast.stmt) -> bool:
    """Return whether a definition is empty, or leaves parts of it out with `...`."""
    if is_stub(node):
        return True
    if isinstance(node, ast.ClassDef):  # abstract methods and protocols look like sketches
        return all(isinstance(item, ast.Pass) or _is_constant(item) for item in node.body)
    parts = (part for part in ast.walk(node) if _is_constant(part))
    return isinstance(node, DefinitionNode) and any(part.value.value is ... for part in parts)  # type: ignore[attr-defined]


def _is_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _script(candidates: Sequence[Block]) -> Block | None:
    """Return the last block that is a whole program for standard input, else the longest block that parses."""
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
    """Join the chosen block with the blocks that define names it lacks, in the order of the answer.

    Earlier versions of the answer are joined only for names that no other block defines; the later definition then
    takes precedence.
    """
    tree = parse(chosen.code)
    position = next(index for index, block in enumerate(candidates) if block is chosen)
    parts = {position}
    missing = missing_names(tree) if tree is not None else set()
    for versions in (False, True):
        for index, block in enumerate(candidates):
            if not missing or index in parts or (bool(name) and _defines(block.code, name)) is not versions:
                continue
            other = parse(block.code)
            if other is None or (versions and index > position) or not missing & definitions(other).keys():
                continue
            parts.add(index)
            missing = (missing | missing_names(other)) - definitions(other).keys()
        if not name:
            break
    if name and tree is not None:
        known: dict[str, ast.stmt] = {}
        for index, block in enumerate(candidates):
            other = parse(block.code)
            if other is not None and (index in parts or _redefines(other, known, name)):
                parts.add(index)
                known |= definitions(other)
    return "\n\n".join(candidates[index].code for index in sorted(parts))


def _redefines(tree: ast.Module, known: Mapping[str, ast.stmt], name: str) -> bool:
    """Tell if code does nothing but define helpers anew, with what is known and for the same uses."""
    body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    anew = [node for node in body if isinstance(node, DefinitionNode) and node.name != name]
    return (
        0 < len(body) == len(anew)
        and all(_replaces(node, known.get(node.name)) for node in anew)
        and any(ast.dump(node) != ast.dump(known[node.name]) for node in anew)
        and missing_names(tree) <= known.keys()
    )


def _replaces(new: ast.stmt, old: ast.stmt | None) -> bool:
    """Tell if a definition can stand where another one stood: other parameters, or a part of a class, cannot."""
    if _is_sketch(new):
        return False
    match new, old:
        case (ast.FunctionDef(args=given), ast.FunctionDef(args=before)) | (
            ast.AsyncFunctionDef(args=given), ast.AsyncFunctionDef(args=before)
        ):  # fmt: skip
            fewest, needed = (len(one.args) - len(one.defaults) for one in (given, before))
            return fewest <= needed and len(before.args) <= len(given.args)
        case ast.ClassDef(), ast.ClassDef():
            return _members(old) <= _members(new)
    return False


def _members(node: ast.ClassDef) -> set[str]:
    return {name for item in node.body for name in stored_names(item)}


def _mislabelled(blocks: Sequence[Block], name: str) -> str | None:
    """Choose among blocks that are labelled as another language but are Python and define the name."""
    others = [replace(block, language="", code=_readable(block.code)) for block in blocks if not block.may_be_python]
    programs = [block for block in others if is_program(parse(block.code), name)]
    return choose_program(programs, name)


def _plain_program(text: str, name: str) -> str | None:
    """Find the program in text without fences, from a line of code to the last line up to which the text parses."""
    lines = _readable(text).split("\n")
    pieces = list(_pieces(lines, name))
    if (program := choose_program(pieces, name)) is not None:
        return program
    starts = [index for index, line in enumerate(lines) if _CODE_LINE.match(line)]
    rest = "\n".join(lines[starts[0] :]).strip("\n") + "\n" if starts else ""
    return rest if name and _defines(rest, name) else None


def _wrapped(answer: ParsedAnswer, name: str) -> str | None:
    """Find the program that is a value of a JSON object, as in a call of a tool, or stands in tags of HTML."""
    for text in (answer.text, *(block.code for block in answer.blocks), *_OBJECT.findall(answer.text)):
        with suppress(ValueError, RecursionError):
            pending: list[object] = [json.loads(text)]
            while pending:
                value = pending.pop(0)
                if isinstance(value, str) and is_program(parse(value), name):
                    return value.strip("\n") + "\n"
                pending += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    plain = _TAG.sub("\n", answer.prose)
    return None if plain == answer.prose else _plain_program(html.unescape(plain), name)


def _pieces(lines: Sequence[str], name: str) -> Iterator[Block]:
    """Yield each run of lines that is a program as a block; without a name, only the first."""
    start = 0
    while start < len(lines):
        if not _CODE_LINE.match(lines[start]):
            start += 1
            continue
        program = longest_valid_prefix(list(lines[start:]))
        if is_program(parse(program)):
            yield Block("python", program.strip("\n") + "\n", "", closed=True)
            if not name:
                return
        start += max(1, program.count("\n") + 1) if program else 1


def _readable(code: str) -> str:
    """Remove what shows code, and invisible characters, from code that parses only without them."""
    if parse(code) is not None:
        return code
    begin = code.lstrip("\n")
    if _PROMPT.match(begin):
        lines = [line[4:] for line in code.split("\n") if _PROMPT.match(line)]
        return "\n".join(lines) + "\n" if any(map(str.strip, lines)) else code
    if _CELL.match(begin):
        code = _without_cells(begin)
    plain = code if code.isascii() else code.translate(_BLANKS | _UNSEEN)
    for shown in (plain, *(remove(plain) for remove in (_without_numbers, _without_signs, _without_magics, dedent))):
        if shown != code and is_program(parse(shown)):
            return shown
    return code


def _without_cells(code: str) -> str:
    """Remove the prompts of IPython and what it printed, or the headings of a notebook's cells."""
    found: list[str] = []
    is_heading = False
    for line in code.split("\n"):
        if match := _CELL.match(line):
            found.append(line[match.end() :])
            is_heading = not found[-1].strip()
        elif match := _CELL_LINE.match(line):
            found.append(line[match.end() :])
        elif _OUT.match(line):
            is_heading = False
        elif is_heading:
            found.append(line)
    return "\n".join(found).strip("\n") + "\n"


def _without_numbers(code: str) -> str:
    """Remove the numbers of lines, if every line has its own."""
    lines = code.strip("\n").split("\n")
    found = [_NUMBER.match(line) for line in lines]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) < len(lines) or numbers != list(range(numbers[0], numbers[0] + len(lines))):
        return code
    return "".join(f"{line[match.end() :]}\n" for line, match in zip(lines, found, strict=True) if match)


def _without_signs(code: str) -> str:
    """Return what a difference of two versions leads to."""
    lines = [line for line in code.split("\n") if not line.startswith(("@@", "+++", "---", "diff ", "index ", "-"))]
    is_difference = any(line.startswith("+") for line in lines) and all(line[:1] in ("", " ", "+") for line in lines)
    return "\n".join(line[1:] for line in lines) if is_difference else code


def _without_magics(code: str) -> str:
    """Remove commands of a notebook or its shell."""
    return "\n".join("" if _MAGIC.match(line) else line for line in code.split("\n"))
