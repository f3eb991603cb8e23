"""Find the fenced code blocks of an answer.

Models do not follow the Markdown specification: closing fences carry prose or stand at the end of a line of code,
code stands on the opening fence's line, and docstrings contain fences. A line with a fence is therefore only a
candidate for the end of a block; the end is the first candidate up to which the code parses.
"""

import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from plum_hub.answers.source import tree_of

_FENCE = re.compile(r"^(?P<before>.*?)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_MARKERS = re.compile(r"[\s>]*(?:[-*+]|\d+[.)])?\s*$")  # Markdown's quote and list markers before a block
_INFO = re.compile(r"\{\s*(?:#[\w-]+\s+)?\.?(?P<braced>[\w+#.-]+)[^}]*\}|(?P<word>[\w+#.-]+)")
_CLASS = re.compile(r"\.([\w+#-]+)")
_PYTHON = re.compile(r"(?:[ic]|micro)?py(?:thon)?(?:[-_.]?\d[\d.]*)?(?:[-_#].*)?|.+\.py")
_NEUTRAL_WORDS = """text txt plain plaintext plain_text raw none code pycon python-repl pyrepl doctest default solution
answer tool_code code-cell code-block sourcecode"""
_OTHER_WORDS = """
bash sh shell console zsh powershell bat cmd java javascript js jsx typescript ts tsx c cpp c++ h c# cs
csharp go golang rust rs ruby rb php html css scss json jsonc jsonl yaml yml toml ini xml sql r kotlin swift scala perl
lua haskell matlab julia dart elixir clojure ocaml makefile dockerfile diff latex tex math mermaid graphql markdown md
mdx csv http log output input stdin stdout terminal asm nasm pseudocode pseudo vb fortran groovy vue"""
_NEUTRAL = frozenset(_NEUTRAL_WORDS.split())
_OTHER = frozenset(_OTHER_WORDS.split())
_MARKUP = frozenset({"markdown", "md", "mdx"})
_ATTRIBUTES = re.compile(r"$|[:,\[{(]|[\w-]+=\S|[\w./-]+$")
_CODE = re.compile(
    r"(?:async )?def \w+\s*\(|class \w+\s*[(:]|from [\w.]+ import \S|import \w|@\w|[A-Za-z_]\w* [-+*/|&]?= \S|print\("
)
_MAX_CANDIDATES = 40
"""Candidates for the end of one block that are parsed; each takes time in proportion to the block."""


@dataclass(frozen=True)
class FencedBlock:
    """One fenced block of an answer.

    Attributes:
        language: Language of the info string in lower case; empty if there is none.
        code: Content of the block.
        first: Line of the opening fence, from 0.
        last: Line of the closing fence, or the last line of code if the block is not closed.
        closed: Whether there is a closing fence.
    """

    language: str
    code: str
    first: int
    last: int
    closed: bool


@dataclass(frozen=True)
class ScannedText:
    """An answer divided into blocks and text.

    Attributes:
        blocks: The blocks in order.
        outside: Each piece of text outside the blocks with its line number, from 0.
    """

    blocks: tuple[FencedBlock, ...]
    outside: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class _Opening:
    before: str
    fence: str
    language: str
    first_code: str
    whole: str | None = None
    """The code, if the block ends on the line on which it starts."""

    @property
    def quotes(self) -> int:
        """How many quotes it stands in."""
        return self.before.count(">") if self.before.lstrip().startswith(">") else 0


@dataclass(frozen=True)
class _End:
    """A line that may end a block.

    Attributes:
        line: Line number, from 0.
        code: Code before the fence on this line.
        after: Text behind the fence.
        closes: False if the line opens another block, or the text ends.
    """

    line: int
    code: str | None
    after: str | None
    closes: bool = True


def is_python(language: str) -> bool:
    """Return whether an info string's language names Python.

    Args:
        language: The language in lower case.

    Returns:
        True for `python`, `py`, `python3`, `ipython`, file names ending in `.py`, and the like.
    """
    return _PYTHON.fullmatch(language) is not None


def is_neutral(language: str) -> bool:
    """Return whether an info string's language leaves open that the block is Python.

    Args:
        language: The language in lower case.

    Returns:
        True for no language, `text`, `code`, `pycon` and the like.
    """
    return not language or language in _NEUTRAL


def scan(text: str) -> ScannedText:
    """Find the fenced blocks. A block without a closing fence ends where another is opened, or with the text.

    Args:
        text: The answer.

    Returns:
        The blocks and the text outside them.
    """
    lines = text.split("\n")
    blocks: list[FencedBlock] = []
    outside: list[tuple[int, str]] = []
    line = 0
    while line < len(lines):
        opening = _opening(lines[line])
        if opening is None:
            outside.append((line, lines[line]))
            line += 1
            continue
        outside.append((line, opening.before))
        if opening.whole is not None:
            blocks.append(FencedBlock(opening.language, opening.whole + "\n", line, line, closed=True))
            line += 1
            continue
        end = _end(lines, line, opening)
        last = min(end.line, len(lines) - 1) if end.closes else end.line - 1
        blocks.extend(_block(_code(lines, line, opening, end), opening, line, last, closed=end.closes))
        if end.after:
            outside.append((end.line, end.after))
        line = end.line + 1 if end.closes else end.line
    return ScannedText(tuple(blocks), tuple(outside))


def _block(code: str, opening: _Opening, first: int, last: int, *, closed: bool) -> Iterator[FencedBlock]:
    """Yield the block; if it contains Markdown, the blocks within it."""
    if (opening.language in _MARKUP or not opening.language) and "```" in code and tree_of(code) is None:
        inner = scan(code).blocks
        if inner:
            for block in inner:
                yield FencedBlock(block.language, block.code, first, last, block.closed)
            return
    if code:
        yield FencedBlock(opening.language, code, first, last, closed)


def _opening(line: str) -> _Opening | None:
    match = _FENCE.match(line)
    if match is None:
        return None
    before, fence, info = match["before"], match["fence"], match["info"].strip()
    whole = None
    if fence[0] in info:
        if not info.endswith(fence) or fence[0] in info.removesuffix(fence) or not _MARKERS.match(before):
            return None
        info, whole = info.removesuffix(fence).strip(), ""
    language, code = _read_info(info)
    if whole is not None:
        return _Opening(before, fence, language, "", code) if code and tree_of(code) else None
    if not _MARKERS.match(before) and info and not (is_python(language) or _is_known(language)):
        return None
    return _Opening(before, fence, language, code)


def _read_info(info: str) -> tuple[str, str]:
    """Split an info string into its language, in lower case, and the code behind it."""
    match = _INFO.match(info)
    if match is None or (not is_python(match[0].lower()) and _CODE.match(info)):
        return "", info if _CODE.match(info) else ""
    language, rest = (match["braced"] or match["word"]).lower(), info[match.end() :].strip()
    if match["braced"] and not is_python(language):  # Pandoc names a language among other classes, in any order
        language = next((name for name in _CLASS.findall(match[0].lower()) if _is_known(name)), language)
    if language in ("code-cell", "code-block", "sourcecode") and rest:
        language, rest = rest.split()[0].lower(), ""
    if _ATTRIBUTES.match(rest) and not _CODE.match(rest):
        return language, ""
    return language, rest if _CODE.match(rest) or tree_of(rest) is not None else ""


def _is_known(language: str) -> bool:
    return is_python(language) or language in _OTHER or language in _NEUTRAL


def _end(lines: Sequence[str], start: int, opening: _Opening) -> _End:
    """Find the end of a block: the first candidate up to which it parses, else the first candidate."""
    ends = list(islice(_ends(lines, start, opening, len(opening.fence)), _MAX_CANDIDATES))
    ends = ends or list(islice(_ends(lines, start, opening, 3), _MAX_CANDIDATES))
    if not ends:
        return _End(len(lines), None, None, closes=False)
    first = ends[0]
    code = _code(lines, start, opening, first)
    if opening.language in _OTHER:
        return first
    parses = tree_of(code) is not None
    in_comment = first.code is not None and "#" in first.code
    if (parses and not in_comment) or not (in_comment or '"""' in code or "'''" in code):
        return first
    others = (*ends[1:], _End(len(lines), None, None, closes=False))
    for end in others:
        if tree_of(_code(lines, start, opening, end)) is not None:
            return end
    if not parses and _indent(lines[first.line]) > _indent(lines[start]) and _ends_in_string(code):
        return next((end for end in others if not _ends_in_string(_code(lines, start, opening, end))), first)
    return first


def _ends(lines: Sequence[str], start: int, opening: _Opening, shortest: int) -> Iterator[_End]:
    mark = opening.fence[0]
    for number in range(start + 1, len(lines)):
        line = _unquoted(lines[number], opening)
        if mark * 3 not in line:
            continue
        stripped = line.strip()
        size = len(stripped) - len(stripped.lstrip(mark))
        rest = stripped[size:]
        if size >= shortest:
            if mark not in rest:
                reopens = _reopens(rest)
                yield _End(number, None, None if reopens else rest.strip(), closes=not reopens)
            elif _opening(line) is not None:  # a one-line block
                yield _End(number, None, None, closes=False)
        elif not size and stripped.endswith(mark * shortest) and mark not in stripped.rstrip(mark):
            yield _End(number, line.rstrip().rstrip(mark), None)


def _reopens(rest: str) -> bool:
    """Return whether the text behind a fence makes it the start of another block."""
    language, code = _read_info(rest.strip())
    if is_python(language) and rest.startswith((language[0], language[0].upper(), "{", " ")):
        return bool(code) or _ATTRIBUTES.match(rest.strip()[len(language) :].strip()) is not None or "{" in rest
    match = re.fullmatch(r"[ \t]*([\w+#-]+)(?:[ \t]+(?:\{.*\}|[\w-]+=\S.*))?", rest)
    return match is not None and (_is_known(match[1].lower()) or (match[1].islower() and rest[0] not in " \t"))


def _code(lines: Sequence[str], start: int, opening: _Opening, end: _End) -> str:
    """Return the code of a block up to a candidate for its end, dedented; "" if there is none."""
    body = [_unquoted(line, opening) for line in lines[start + 1 : end.line]]
    if end.code is not None:
        body.append(end.code)
    margin = min((_indent(line) for line in body if line.strip()), default=0)
    if opening.first_code:
        margin = min(margin, _indent(lines[start]))
        body = [" " * margin + opening.first_code, *body]
    code = (
        "\n".join(line[margin:] if not line[:margin].strip() else line for line in body) if margin else "\n".join(body)
    )
    code = code.lstrip("\ufeff").strip("\n").rstrip()
    return code + "\n" if code else ""


def _unquoted(line: str, opening: _Opening) -> str:
    return re.sub(rf"^\s*(?:> ?){{1,{opening.quotes}}}", "", line) if opening.quotes else line


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _ends_in_string(code: str) -> bool:
    try:
        for _ in tokenize.generate_tokens(io.StringIO(code).readline):
            pass
    except tokenize.TokenError as error:
        return "string" in str(error)
    except SyntaxError:  # inconsistent indentation
        return False
    return False
