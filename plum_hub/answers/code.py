"""Extract the program from a model's answer.

The program is kept as the model wrote it: nothing is reordered, cut out or repaired, except for invisible characters,
and what shows code rather than being it, such as prompts and line numbers. This module only decides which fenced
blocks, or which lines of an answer without fences, belong to the program.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from plum_hub.answers.blocks import Block, ParsedAnswer, read_answer
from plum_hub.answers.fences import scan
from plum_hub.answers.held import has_code_tag, held_texts, without_tags
from plum_hub.answers.shown import readable, replacements
from plum_hub.answers.source import (
    DefinitionNode,
    definitions,
    futures_first,
    is_program,
    is_stub,
    loaded_names,
    longest_valid_prefix,
    missing_names,
    parse,
    stored_names,
)  # fmt: skip

EXTRACTION = "7"
"""Version of the extraction rules. It is part of a verdict's id, because the rules decide which program is judged:
raise it whenever an answer could give a different program.
"""

_CODE_LINE = re.compile(
    r"(?:from [\w.]+ import \S|import [\w.]+(?: as \w+)?(?:, [\w.]+(?: as \w+)?)*\s*(?:#.*)?$"
    r"|(?:async )?def \w+\s*\(|class \w+\s*[(:]|@\w|[A-Za-z_][\w.]*(?:, ?\w+)* [-+*/|&]?= \S|print\("
    r"|(?:for|while|if|with) .*:$)"
)
_SHOWS = frozenset({"diff", "output", "stdout", "log"})
"""Languages of blocks that show what was printed, or edits, which are applied elsewhere."""
_SKETCHED, _WHOLE, _COMPLETE = 2, 3, 5
"""How much of a definition there is, at least: its head; all of it, as far as can be seen; all of it for certain."""


def extract_code(text: str, entry_point: str | None) -> str | None:
    """Extract the program that answers a task.

    A fenced block that defines the entry point is preferred; of several, the last complete one, because models
    correct themselves; what stands after the last fence counts as a block if it is one, and so does a program that a
    block holds as data, such as JSON. It is joined with the other blocks that define names it lacks, and with later
    ones that only define its helpers anew, for the same uses; blocks of example usage are left out. Without an entry
    point, the last complete block that reads input is chosen, else the longest that parses. Text without a fence, or
    before a stray one, is a program if it parses as one. If the prompt ends inside the program, the caller must
    prepend it to the answer.

    Args:
        text: The model's answer, verbatim.
        entry_point: The function or class that the program must define; None or "" for a script.

    Returns:
        The source, which need not parse; None if there is no code.
    """
    answer = read_answer(text)
    name = entry_point or ""
    for candidate in map(readable, (answer.text, _unopened(answer) if name else "", answer.preamble)):
        if is_program(parse(candidate), name) and not _is_only_begun(candidate, answer.blocks, name):
            return candidate.strip("\n") + "\n"
    return (
        choose_program(list(_with_held(answer, name)) if name else answer.blocks, name)
        or (_plain_program(without_tags(answer.prose), name) if has_code_tag(answer.prose) else None)
        or _plain_program(answer.prose, name)
        or _held(answer, name)
        or (choose_program(answer.blocks, "") if name else None)
        or (_mislabelled(answer.blocks, name) if name else None)
    )


def _unopened(answer: ParsedAnswer) -> str:
    """Return the code of an answer that begins behind the fence, up to the one that ends it, which no string has."""
    begin = next((index for index, line in enumerate(answer.preamble.split("\n")) if _CODE_LINE.match(line)), None)
    if begin is None or not answer.blocks:
        return ""
    blocks = scan("\n".join(["```python", *answer.text.split("\n")[begin:]])).blocks
    return blocks[0].code if blocks else ""


def _is_only_begun(code: str, blocks: Sequence[Block], name: str) -> bool:
    """Tell if code declares the name, and a block defines it, as where the task's own code is repeated first."""
    begun = bool(name and blocks) and _completeness(code, name) == _SKETCHED
    return begun and any(_completeness(readable(block.code), name) == _COMPLETE for block in blocks)


def _with_held(answer: ParsedAnswer, name: str) -> Iterator[Block]:
    """Yield the blocks, programs for those that hold one as data, and what corrects them behind the last fence."""
    for block in answer.blocks:
        if block.may_be_python or block.language in _SHOWS:
            yield block
            continue
        alone = ParsedAnswer(block.code, "", "", "", (block,))
        code = _held(alone, name)
        is_whole = code is not None and _completeness(code, name) == _COMPLETE
        yield replace(block, language="python", code=code) if code is not None and is_whole else block
    if not answer.blocks:
        return
    epilogue = readable(answer.epilogue)
    lines = epilogue.split("\n")
    pieces = [*_pieces(lines, name), *_set_off(lines)]
    if has_code_tag(epilogue):
        pieces += _pieces(without_tags(epilogue).split("\n"), name)
    if (code := _held(ParsedAnswer(epilogue, "", "", "", ()), name)) is not None:
        pieces.append(Block("python", code, "", closed=True))
    yield from (piece for piece in pieces if _completeness(piece.code, name) == _COMPLETE)


def choose_program(blocks: Sequence[Block], name: str) -> str | None:
    """Choose the program among fenced blocks.

    Args:
        blocks: Blocks in the order of the answer.
        name: The name that the program must define; "" for any program.

    Returns:
        The chosen block joined with the blocks that it needs; None if no block qualifies.
    """
    places = [index for index, block in enumerate(blocks) if block.may_be_python]
    candidates = [replace(blocks[index], code=readable(blocks[index].code)) for index in places]
    chosen = _defining(candidates, name) if name else _script(candidates)
    if chosen is None:
        return None
    place = next(place for place, block in zip(places, candidates, strict=True) if block is chosen)
    return _edited(_joined(chosen, candidates, name), blocks[place + 1 :], name)


def _edited(code: str, later: Sequence[Block], name: str) -> str:
    """Apply later blocks that are edits of the program, if it has each of the places that they change once."""
    for block in later:
        edits = replacements(block.code)
        if not edits or any(f"\n{code}".count(f"\n{old}") != 1 for old, _ in edits):
            continue
        text = f"\n{code}"
        for old, new in edits:
            text = text.replace(f"\n{old}", f"\n{new}")
        if is_program(parse(text), name):
            code = text[1:]
    return code


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
        return 1 if node is None or _is_sketch(node) else _WHOLE
    node = _definition(tree, name)
    assert node is not None
    if _is_sketch(node):
        return _SKETCHED
    value = getattr(node, "value", None)
    renamed = isinstance(value, ast.Name) and isinstance(definitions(tree).get(value.id), DefinitionNode)
    made = isinstance(value, ast.Call | ast.Attribute) and name not in loaded_names(value)
    defined = any(isinstance(part, DefinitionNode) and part.name == name for part in ast.walk(node))
    return _COMPLETE if renamed or made or defined or isinstance(value, ast.Lambda) else 4


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
            parts |= _start_of(tree, candidates, position)
            break
    if missing and name:  # an earlier version may have them from a module
        parts |= {index for index, block in enumerate(candidates[:position]) if _imports_all(block.code)}
    if name and tree is not None:
        known: dict[str, ast.stmt] = {}
        for index, block in enumerate(candidates):
            other = parse(block.code)
            if other is not None and (index in parts or _redefines(other, known, name)):
                parts.add(index)
                known |= definitions(other)
    if len(parts) == 1:
        return chosen.code
    return futures_first("\n\n".join(candidates[index].code for index in sorted(parts)))


def _imports_all(code: str) -> bool:
    tree = parse(code) if "*" in code else None
    return tree is not None and "*" in definitions(tree)


def _start_of(tree: ast.Module | None, candidates: Sequence[Block], position: int) -> set[int]:
    """Return the later block that starts a script which only defines functions, if there is one."""
    if tree is None or not all(isinstance(node, (*DefinitionNode, ast.Import, ast.ImportFrom)) for node in tree.body):
        return set()
    defined = definitions(tree).keys()
    for index, block in enumerate(candidates[position + 1 :], position + 1):
        match parse(block.code):
            case ast.Module(body=[ast.Expr(value=ast.Call(func=ast.Name(id=called)))]) if called in defined:
                return {index}
            case ast.Module(body=[ast.If() as guard]) if "__name__" in ast.unparse(guard.test):
                return {index}
    return set()


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
    others = [replace(block, language="", code=readable(block.code)) for block in blocks if not block.may_be_python]
    programs = [block for block in others if is_program(parse(block.code), name)]
    return choose_program(programs, name)


def _plain_program(text: str, name: str) -> str | None:
    """Find the program in text without fences, from a line of code to the last line up to which the text parses."""
    lines = readable(text).split("\n")
    pieces = list(_pieces(lines, name))
    if (program := choose_program(pieces, name)) is not None:
        return program
    starts = [index for index, line in enumerate(lines) if _CODE_LINE.match(line)]
    if not starts:  # lines of a broken program are indented too
        return choose_program(list(_set_off(lines)), name)
    rest = "\n".join(lines[starts[0] :]).strip("\n") + "\n"
    return rest if name and _defines(rest, name) else None


def _set_off(lines: Sequence[str]) -> Iterator[Block]:
    """Yield each run of lines that Markdown's indentation, or the prompt of an interpreter, sets off from prose."""
    start = 0
    while start < len(lines):
        stripped = lines[start].lstrip()
        margin = len(lines[start]) - len(stripped)
        is_prompt = stripped.startswith(">>> ")
        if not is_prompt and not (margin and _CODE_LINE.match(stripped)):
            start += 1
            continue
        end = start
        while end < len(lines) and (not lines[end].strip() or is_prompt or not lines[end][:margin].strip()):
            end += 1
        code = readable("\n".join(line[margin:] for line in lines[start:end]).strip("\n") + "\n")
        code = code if parse(code) else longest_valid_prefix(code.split("\n")).strip("\n") + "\n"
        if is_program(parse(code)):
            yield Block("python", code, "", closed=True)
        start = end


def _held(answer: ParsedAnswer, name: str) -> str | None:
    """Find the program in what the answer holds as data."""
    for text in held_texts(answer, name):
        code = readable(text)
        if is_program(parse(code), name) and (not name or _completeness(code, name) >= _WHOLE):
            return code.strip("\n") + "\n"
        if len(text) < len(answer.text) and "```" in text:
            program = extract_code(text, name)
        else:
            program = _plain_program(text, name) if "\n" in text else None
        if program:
            return program
    found = re.search(rf"\b(?:async def|def|class) {re.escape(name)}\b", answer.prose) if name else None
    program = longest_valid_prefix(answer.prose[found.start() :].split("\n")) if found else ""
    return program.rstrip("\n") + "\n" if program else None


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
