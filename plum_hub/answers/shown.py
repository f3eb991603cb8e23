"""Read code that is shown rather than written: behind prompts or numbers, as a difference, with unseen characters."""

import ast
import re
from collections.abc import Iterator, Sequence
from textwrap import dedent

from plum_hub.answers.source import DefinitionNode, is_program, missing_names, tree_of

_SPACES = "\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_UNSEEN = "\u00ad\u2060\u2061\u2062\u2063\u2064\ufeff" + "".join(
    chr(code)
    for first, last in ((0x200B, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069))
    for code in range(first, last + 1)
)
_PLAIN = str.maketrans(
    dict.fromkeys(_SPACES, " ") | dict.fromkeys(_UNSEEN, "") | dict.fromkeys("\u2028\u2029\x85", "\n")
)
_STRING = re.compile(
    r"""(?xs) (\#[^\n]* | "{3}.*?"{3} | '{3}.*?'{3} | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*') | [^\#"']+ | ."""
)
"""A comment or a string, as a group, or what stands between them."""
_NUMBER = re.compile(r" *(\d{1,9})(?: ?[|:.)])?(?:[ \t]|$)", re.ASCII)
_MAGIC = re.compile(r"%{1,2}[a-z]|![a-z]|\?{1,2}\w|(?:uv )?(?:pip3?|conda) install\b")
_PROMPT = re.compile(r"^(?:>>>|\.\.\.)(?: |$)")
_CELL = re.compile(r"In ?\[[\d *]*\]:[ \t]?")
_CELL_LINE = re.compile(r"\s*\.{3,}:[ \t]?")
_OUT = re.compile(r"Out ?\[[\d *]*\]:")
_PATCH = re.compile(r"\*\*\* (?:Begin|End) Patch|\*\*\* (?:Add|Update) File: |\*\*\* End of File")
_HEADS = ("@@", "+++", "---", "diff ", "index ", "-")
_MARK = re.compile(r"(?:<{5,9}|>{5,9})(?: .*)?$|={5,9}$")


def readable(code: str) -> str:
    """Remove what shows code, and invisible characters, from code that parses only without them.

    Args:
        code: A block, or other text that may be a program.

    Returns:
        The program; the code unchanged where it parses as it is, or nothing makes it a program.
    """
    if (tree := tree_of(code)) is not None:
        return _without_labels(code, tree)
    begin = code.lstrip("\n")
    if _PROMPT.match(begin):
        lines = [line[4:] for line in code.split("\n") if _PROMPT.match(line)]
        return "\n".join(lines) + "\n" if any(map(str.strip, lines)) else code
    if _CELL.match(begin):
        code = _without_cells(begin)
    plain = code if code.isascii() else code.translate(_PLAIN)
    outside = code if code.isascii() else _STRING.sub(lambda part: part[1] or part[0].translate(_PLAIN), code)
    ways = (_without_numbers, _without_signs, _without_magics, _replaced, dedent)
    texts = dict.fromkeys((outside, plain))
    for shown in (*texts, *(remove(text) for remove in ways for text in texts)):
        if shown != code and is_program(tree := tree_of(shown)) and tree is not None:
            return _without_labels(shown, tree)
    return code


def replacements(code: str) -> list[tuple[str, str]]:
    """Read the edits of a block: what stands before and after each, as whole lines.

    Args:
        code: A difference of two versions, or conflict markers as of `git merge` or a search and its replacement.

    Returns:
        The old and the new lines of each edit; nothing for other code.
    """
    lines = code.split("\n")
    if found := [(old, new) for old, new in _conflicts(lines) if old is not None]:
        return found
    if not any(line.startswith("+") for line in lines) or not all(line[:1] in ("", *" +-@di\\*") for line in lines):
        return []
    hunks: list[tuple[list[str], list[str]]] = [([], [])]
    for line in lines:
        if line.startswith(("@@", "+++ ", "--- ", "diff ", "index ", "\\")) or _PATCH.match(line):
            hunks.append(([], []))
            continue
        if line[:1] != "+":
            hunks[-1][0].append(line[1:])
        if line[:1] != "-":
            hunks[-1][1].append(line[1:])
    texts = [("\n".join(old).strip("\n") + "\n", "\n".join(new).strip("\n") + "\n") for old, new in hunks]
    return [(old, new) for old, new in texts if old.strip() and old != new]


def _without_labels(code: str, tree: ast.Module) -> str:
    """Remove lines at both ends that only name something which is not there, such as `python` or `Time: O(n)`.

    Behind a definition such a line ends the program wherever it is: no program could go on from `[DONE]`.
    """
    body = tree.body
    if not any(map(_does_nothing, body)):
        return code
    missing = missing_names(tree)
    are_labels = [_is_label(node, missing) for node in body]
    if not any(are_labels) or all(are_labels):
        return code
    first, last = are_labels.index(False), len(body) - are_labels[::-1].index(False)
    known = {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    for place in range(first + 1, last if "*" not in known else 0):
        defined = isinstance(body[place - 1], DefinitionNode)
        if defined and are_labels[place] and isinstance(body[place], ast.Expr):
            last = place
            break
    lines = code.split("\n")
    begin = body[first - 1].end_lineno or 0 if first else 0
    end = body[last].lineno - 1 if last < len(body) else len(lines)
    kept = "\n".join(lines[begin:end]).strip("\n") + "\n"
    return kept if is_program(tree_of(kept)) else code


def _is_label(node: ast.stmt, missing: set[str]) -> bool:
    return _does_nothing(node) and any(isinstance(part, ast.Name) and part.id in missing for part in ast.walk(node))


def _does_nothing(node: ast.stmt) -> bool:
    """Tell whether a statement is an annotation alone, or an expression that calls and binds nothing."""
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.value is None
    acts = ast.Call | ast.Await | ast.NamedExpr | ast.comprehension
    return isinstance(node, ast.Expr) and not any(isinstance(part, acts) for part in ast.walk(node))


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
    lines = [line for line in code.split("\n") if not line.startswith(_HEADS) and not _PATCH.match(line)]
    is_difference = any(line.startswith("+") for line in lines) and all(line[:1] in ("", " ", "+") for line in lines)
    return dedent("\n".join(line[1:] for line in lines)) if is_difference else code


def _without_magics(code: str) -> str:
    """Remove commands of a notebook or its shell."""
    return "\n".join("" if _MAGIC.match(line) else line for line in code.split("\n"))


def _replaced(code: str) -> str:
    """Return what edits by conflict markers lead to."""
    found = list(_conflicts(code.split("\n")))
    return "".join(new for _, new in found) if any(old is not None for old, _ in found) else code


def _conflicts(lines: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    """Yield the old and the new lines between conflict markers, and None with each line outside of them."""
    sides: list[list[str]] = []
    for line in lines:
        mark = line[0] if _MARK.match(line) else ""
        if mark == "<":
            sides = [[]]
        elif mark == "=" and len(sides) == 1:
            sides.append([])
        elif mark == ">" and len(sides) == 2:
            old, new = ("".join(f"{one}\n" for one in side) for side in sides)
            yield old, new
            sides = []
        elif sides:
            sides[-1].append(line)
        else:
            yield None, f"{line}\n"
