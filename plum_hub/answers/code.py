"""Extract the program from a model's answer.

The program is kept as the model wrote it: nothing is cut out or repaired, except for invisible characters, prose around
it, and what shows code rather than being it, such as prompts and line numbers. This module only decides which fenced
blocks, or which lines of an answer without fences, belong to the program; `versions` which of several, `joining` in
which order.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from plum_hub.answers.blocks import Block, ParsedAnswer, read_answer
from plum_hub.answers.fences import scan
from plum_hub.answers.held import has_code_tag, held_texts, without_tags
from plum_hub.answers.joining import is_whole, joined, script
from plum_hub.answers.linking import linked
from plum_hub.answers.shown import readable, replacements
from plum_hub.answers.source import DefinitionNode, breaks_off, is_program, longest_valid_prefix, missing_names, tree_of
from plum_hub.answers.versions import COMPLETE, SKETCHED, WHOLE, chosen_version, completeness, defines

EXTRACTION = "10"
"""Version of the extraction rules. It is part of a verdict's id, because the rules decide which program is judged:
raise it whenever an answer could give a different program.
"""

_CODE_LINE = re.compile(
    r"""(?x) from\ [\w.]+\ import\ \S
    | import\ [\w.]+(?:\ as\ \w+)? (?:\ *,\ *[\w.]+(?:\ as\ \w+)?)* \s*(?:\#.*)?$
    | (?:async\ )?def\ \w+\s*\( | class\ \w+\s*[(:] | @\w | print\(
    | \*?[A-Za-z_][\w.]*(?:\[(?:[^=\[\]]|\[[^=\[\]]*\])*\])*
      (?:\ *,\ *\*?[A-Za-z_][\w.]*(?:\[(?:[^=\[\]]|\[[^=\[\]]*\])*\])*)*
      (?:\ *:\ *(?:typing\.)?(?:
        int|float|str|bool|bytes|object|dict|list|set|tuple|frozenset|deque|defaultdict|Counter
        |Any|Callable|DefaultDict|Deque|Dict|Final|FrozenSet|Iterable|List|Mapping|Optional|Sequence|Set|Tuple|Union
      )\b(?:\[.*?\])?)? \ *(?:[-+*/|&%^@]|\*\*|//|<<|>>)?=(?!=)\ *\S
    | (?:for|while|if|with)\ .*:$ | try:$"""
)
_SPACED = re.compile(r"[A-Za-z_][\w.]*(?:, ?\w+)* [-+*/|&]?= \S|print\(")
_PROSE = re.compile(r"(?:[-*+>#]+ *|\d+[.)] +)?[A-Z][\w'’-]*(?:[,:!.*]* +[\w'’`*\"(-]+[,:;.)`*\"]*){2,}")
"""How a sentence begins, and no line of code that was cut: three words."""
_MOST_FAILS = 40
"""Lines that look like code and begin none, after which no program is looked for; each takes time as the rest does."""
_SHOWS = frozenset({"diff", "output", "stdout", "log"})
"""Languages of blocks that show what was printed, or edits, which are applied elsewhere."""


def extract_code(text: str, entry_point: str | None) -> str | None:
    """Extract the program that answers a task.

    A fenced block that defines the entry point is preferred; of several, the last complete one, because models
    correct themselves, unless it is called otherwise, or said to be a mistake or the original. What stands after the
    last fence counts as a block if it is one, and so does a program that a block holds as data, such as JSON. It is
    joined with the other blocks that define names it lacks, and with later ones that only define its helpers anew, for
    the same uses; blocks of example usage are left out. Without an entry point, the last whole program for standard
    input is chosen, else what is one if joined, else the longest block that parses. Text without a fence, or before a
    stray one, is a program if it parses as one. If the prompt ends inside the program, the caller must prepend it to
    the answer.

    Args:
        text: The model's answer, verbatim.
        entry_point: The function or class that the program must define; None or "" for a script.

    Returns:
        The source, which need not parse; None if there is no code.
    """
    answer = read_answer(text)
    name = entry_point or ""
    for candidate in map(readable, (answer.text, _unopened(answer) if name else "", answer.preamble)):
        if is_program(tree_of(candidate), name) and not _is_only_begun(candidate, answer.blocks, name):
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
    begun = bool(name and blocks) and completeness(code, name) == SKETCHED
    return begun and any(completeness(readable(block.code), name) == COMPLETE for block in blocks)


def _with_held(answer: ParsedAnswer, name: str) -> Iterator[Block]:
    """Yield the blocks, programs for those that hold one as data, and what corrects them behind the last fence."""
    for block in answer.blocks:
        if block.may_be_python or block.language in _SHOWS:
            yield block
            continue
        alone = ParsedAnswer(block.code, "", "", "", (block,))
        code = _held(alone, name)
        is_whole = code is not None and completeness(code, name) == COMPLETE
        yield replace(block, language="python", code=code) if code is not None and is_whole else block
    if not answer.blocks:
        return
    epilogue = readable(answer.epilogue)
    lines = epilogue.split("\n")
    pieces = [*_pieces(lines), *_set_off(lines)]
    if has_code_tag(epilogue):
        pieces += _pieces(without_tags(epilogue).split("\n"))
    if (code := _held(ParsedAnswer(epilogue, "", "", "", ()), name)) is not None:
        pieces.append(Block("python", code, "", closed=True))
    yield from (piece for piece in pieces if completeness(piece.code, name) == COMPLETE)


def choose_program(blocks: Sequence[Block], name: str) -> str | None:
    """Choose the program among fenced blocks.

    Args:
        blocks: Blocks in the order of the answer.
        name: The name that the program must define; "" for any program.

    Returns:
        The chosen block joined with the blocks that it needs; None if no block qualifies.
    """
    places = [index for index, block in enumerate(blocks) if block.may_be_python]
    candidates = linked([_without_prose(blocks[index], name) for index in places], name)
    if not name:
        code, chosen = script(candidates) or ("", None)
    elif (chosen := chosen_version(candidates, name)) is not None:
        code = joined(chosen, candidates, name)
    if chosen is None:
        return None
    place = next(place for place, block in zip(places, candidates, strict=True) if block is chosen)
    return _edited(code, blocks[place + 1 :], name)


def _without_prose(block: Block, name: str) -> Block:
    """Return a block with readable code: without the prose around its program, which is then no certain answer."""
    code = readable(block.code)
    if tree_of(code) is not None:
        return replace(block, code=code)
    lines = code.split("\n")
    begins = _PROSE.match(code) is not None
    begin = next((index for index, line in enumerate(lines) if begins and _CODE_LINE.match(line)), 0)
    program = longest_valid_prefix(lines[begin:])
    rest = "\n".join(lines[begin + program.count("\n") + 1 :]).lstrip("\n")
    is_prose = not rest.strip("`\n") or _PROSE.match(rest) is not None
    is_found = is_prose and is_program(tree_of(program), name)
    return replace(block, code=f"{program.strip(chr(10))}\n", closed=False) if is_found else replace(block, code=code)


def _edited(code: str, later: Sequence[Block], name: str) -> str:
    """Apply later blocks that are edits of the program, if it has each of the places that they change once."""
    for block in later:
        edits = replacements(block.code)
        if not edits or any(f"\n{code}".count(f"\n{old}") != 1 for old, _ in edits):
            continue
        text = f"\n{code}"
        for old, new in edits:
            text = text.replace(f"\n{old}", f"\n{new}")
        if is_program(tree_of(text), name):
            code = text[1:]
    return code


def _mislabelled(blocks: Sequence[Block], name: str) -> str | None:
    """Choose among blocks that are labelled as another language but are Python and define the name."""
    others = [replace(block, language="", code=readable(block.code)) for block in blocks if not block.may_be_python]
    programs = [block for block in others if is_program(tree_of(block.code), name)]
    return choose_program(programs, name)


def _plain_program(text: str, name: str) -> str | None:
    """Find the program in text without fences, from a line of code to the last line up to which the text parses."""
    lines = readable(text).split("\n")
    pieces = [piece for piece in _pieces(lines) if name or _may_be_script(piece.code)]
    program = choose_program(pieces, name)
    if program is not None:  # of several parts the first, unless they are a script
        return program if name or is_whole(program) else choose_program(pieces[:1], "")
    starts = [index for index, line in enumerate(lines) if _CODE_LINE.match(line)]
    if not starts:  # lines of a broken program are indented too
        return choose_program([piece for piece in _set_off(lines) if name or _may_be_script(piece.code)], name)
    rest = "\n".join(lines[starts[0] :]).strip("\n") + "\n"
    is_escaped = "\\n" in rest and rest.count("\n") == 1  # `_held` reads it
    return rest if name and defines(rest, name) and not is_escaped else None


def _may_be_script(code: str) -> bool:
    """Tell if lines are Python rather than another language, of which an assignment may parse, too."""
    tree = tree_of(code)
    if tree is None or _SPACED.match(code):
        return tree is not None
    if any(isinstance(node, (*DefinitionNode, ast.Import, ast.ImportFrom)) for node in tree.body):
        return True
    return any(isinstance(node, ast.Call) for node in ast.walk(tree)) and not missing_names(tree)


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
        code = code if tree_of(code) else longest_valid_prefix(code.split("\n")).strip("\n") + "\n"
        if is_program(tree_of(code)):
            yield Block("python", code, "", closed=True)
        start = end


def _held(answer: ParsedAnswer, name: str) -> str | None:
    """Find the program in what the answer holds as data."""
    for text in held_texts(answer, name):
        code = readable(text)
        if is_program(tree_of(code), name) and (not name or completeness(code, name) >= WHOLE):
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


def _pieces(lines: Sequence[str]) -> Iterator[Block]:
    """Yield each run of lines that is a program as a block, with the rest of a definition that breaks off."""
    start = fails = 0
    while start < len(lines) and fails < _MOST_FAILS:
        if not _CODE_LINE.match(lines[start]):
            start += 1
            continue
        program = longest_valid_prefix(list(lines[start:]))
        start += program.count("\n") + 1
        fails += not program
        if is_program(tree := tree_of(program)) and tree is not None:
            rest = list(takewhile(lambda line: not line or line[0].isspace(), lines[start:]))
            if breaks_off(tree, "\n".join(rest)) and not _PROSE.match("\n".join(rest).lstrip()):
                program, start = "\n".join([program, *rest]), start + len(rest)
            yield Block("python", program.strip("\n") + "\n", "", closed=True)
