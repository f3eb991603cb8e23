"""Where the fenced code blocks of an answer begin and end.

Models do not write Markdown by its definition: closing fences carry prose or stand at the end of a line of code, code
stands on the opening fence's own line, and docstrings hold fences of their own. So a line with a fence is only a
candidate for the end of a block; the end is the first candidate up to which the code parses.
"""

import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from plum_hub.answers.source import parse

_FENCE = re.compile(r"^(?P<before>.*?)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_MARKERS = re.compile(r"[\s>]*(?:[-*+]|\d+[.)])?\s*$")  # what Markdown puts before a block: quotes and list items
_INFO = re.compile(r"\{\s*\.?(?P<braced>[\w+#.-]+)[^}]*\}|(?P<word>[\w+#.-]+)")
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
_TRIES = 40
"""Candidates for the end of one block that are parsed; each costs time in proportion to the block."""


@dataclass(frozen=True)
class FencedBlock:
    """One block as it stands in the answer: `first` and `last` are the lines of its fences, or of its last code."""

    language: str
    code: str
    first: int
    last: int
    closed: bool


@dataclass(frozen=True)
class ScannedText:
    """The blocks of an answer, and each piece of text outside them with the line that it stands on."""

    blocks: tuple[FencedBlock, ...]
    outside: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class _Opening:
    before: str
    fence: str
    language: str
    first_code: str
    whole: str | None = None
    """The code, where the block ends on the line on which it begins."""

    @property
    def is_quoted(self) -> bool:
        return self.before.lstrip().startswith(">")


@dataclass(frozen=True)
class _End:
    """A line that may end a block: what of it is still code, and what is text behind the fence."""

    line: int
    code: str | None
    after: str | None
    closes: bool = True


def is_python(language: str) -> bool:
    """Whether an info string's language names Python."""
    return _PYTHON.fullmatch(language) is not None


def is_neutral(language: str) -> bool:
    """Whether an info string's language says nothing against Python."""
    return not language or language in _NEUTRAL


def scan(text: str) -> ScannedText:
    """Find the fenced blocks. A block without a closing fence ends where another is opened, or with the text."""
    lines = text.split("\n")
    blocks: list[FencedBlock] = []
    outside: list[tuple[int, str]] = []
    at = 0
    while at < len(lines):
        opening = _opening(lines[at])
        if opening is None:
            outside.append((at, lines[at]))
            at += 1
            continue
        outside.append((at, opening.before))
        if opening.whole is not None:
            blocks.append(FencedBlock(opening.language, opening.whole + "\n", at, at, closed=True))
            at += 1
            continue
        end = _end(lines, at, opening)
        last = min(end.line, len(lines) - 1) if end.closes else end.line - 1
        blocks.extend(_block(_code(lines, at, opening, end), opening, at, last, closed=end.closes))
        if end.after:
            outside.append((end.line, end.after))
        at = end.line + 1 if end.closes else end.line
    return ScannedText(tuple(blocks), tuple(outside))


def _block(code: str, opening: _Opening, first: int, last: int, *, closed: bool) -> Iterator[FencedBlock]:
    """The block; of one that holds Markdown, the blocks in it."""
    if (opening.language in _MARKUP or not opening.language) and "```" in code and parse(code) is None:
        inner = scan(code).blocks
        if inner:
            for one in inner:
                yield FencedBlock(one.language, one.code, first, last, one.closed)
            return
    if code:
        yield FencedBlock(opening.language, code, first, last, closed)


def _opening(line: str) -> _Opening | None:
    found = _FENCE.match(line)
    if found is None:
        return None
    before, fence, info = found["before"], found["fence"], found["info"].strip()
    whole = None
    if fence[0] in info:
        if not info.endswith(fence) or fence[0] in info.removesuffix(fence) or not _MARKERS.match(before):
            return None
        info, whole = info.removesuffix(fence).strip(), ""
    language, code = _read_info(info)
    if whole is not None:
        return _Opening(before, fence, language, "", code) if code and parse(code) else None
    if not _MARKERS.match(before) and info and not (is_python(language) or _is_known(language)):
        return None
    return _Opening(before, fence, language, code)


def _read_info(info: str) -> tuple[str, str]:
    """The language of an info string, in lower case, and the code that stands behind it."""
    found = _INFO.match(info)
    if found is None or (not is_python(found[0].lower()) and _CODE.match(info)):
        return "", info if _CODE.match(info) else ""
    language, rest = (found["braced"] or found["word"]).lower(), info[found.end() :].strip()
    if language in ("code-cell", "code-block", "sourcecode") and rest:
        language, rest = rest.split()[0].lower(), ""
    if _ATTRIBUTES.match(rest) and not _CODE.match(rest):
        return language, ""
    return language, rest if _CODE.match(rest) or parse(rest) is not None else ""


def _is_known(language: str) -> bool:
    return is_python(language) or language in _OTHER or language in _NEUTRAL


def _end(lines: Sequence[str], at: int, opening: _Opening) -> _End:
    """Where a block ends: at the first candidate up to which it parses, else at the first."""
    ends = list(islice(_ends(lines, at, opening, len(opening.fence)), _TRIES))
    ends = ends or list(islice(_ends(lines, at, opening, 3), _TRIES))
    if not ends:
        return _End(len(lines), None, None, closes=False)
    first = ends[0]
    code = _code(lines, at, opening, first)
    if opening.language in _OTHER:
        return first
    is_whole = parse(code) is not None
    in_comment = first.code is not None and "#" in first.code
    if (is_whole and not in_comment) or not (in_comment or '"""' in code or "'''" in code):
        return first
    for end in (*ends[1:], _End(len(lines), None, None, closes=False)):
        if parse(_code(lines, at, opening, end)) is not None:
            return end
    if not is_whole and _indent(lines[first.line]) > _indent(lines[at]) and _ends_in_string(code):
        return next((end for end in ends[1:] if not _ends_in_string(_code(lines, at, opening, end))), first)
    return first


def _ends(lines: Sequence[str], at: int, opening: _Opening, shortest: int) -> Iterator[_End]:
    mark = opening.fence[0]
    for number in range(at + 1, len(lines)):
        line = _unquoted(lines[number], opening)
        if mark * 3 not in line:
            continue
        stripped = line.strip()
        size = len(stripped) - len(stripped.lstrip(mark))
        rest = stripped[size:]
        if size >= shortest:
            if mark not in rest:
                again = _reopens(rest)
                yield _End(number, None, None if again else rest.strip(), closes=not again)
            elif _opening(line) is not None:  # a block on one line
                yield _End(number, None, None, closes=False)
        elif not size and stripped.endswith(mark * shortest) and mark not in stripped.rstrip(mark):
            yield _End(number, line.rstrip().rstrip(mark), None)


def _reopens(rest: str) -> bool:
    """Whether what stands behind a fence makes it the beginning of another block."""
    language, code = _read_info(rest.strip())
    if is_python(language) and rest.startswith((language[0], language[0].upper(), "{", " ")):
        return bool(code) or _ATTRIBUTES.match(rest.strip()[len(language) :].strip()) is not None or "{" in rest
    plain = re.fullmatch(r"[ \t]*([\w+#-]+)(?:[ \t]+(?:\{.*\}|[\w-]+=\S.*))?", rest)
    return plain is not None and (_is_known(plain[1].lower()) or (plain[1].islower() and rest[0] not in " \t"))


def _code(lines: Sequence[str], at: int, opening: _Opening, end: _End) -> str:
    """The code of a block up to a candidate for its end, without the indentation of the block; "" if there is none."""
    body = [_unquoted(line, opening) for line in lines[at + 1 : end.line]]
    if end.code is not None:
        body.append(end.code)
    margin = min((_indent(line) for line in body if line.strip()), default=0)
    if opening.first_code:
        margin = min(margin, _indent(lines[at]))
        body = [" " * margin + opening.first_code, *body]
    code = (
        "\n".join(line[margin:] if not line[:margin].strip() else line for line in body) if margin else "\n".join(body)
    )
    code = code.lstrip("\ufeff").strip("\n").rstrip()
    return code + "\n" if code else ""


def _unquoted(line: str, opening: _Opening) -> str:
    return re.sub(r"^\s*> ?", "", line) if opening.is_quoted else line


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _ends_in_string(code: str) -> bool:
    try:
        for _ in tokenize.generate_tokens(io.StringIO(code).readline):
            pass
    except tokenize.TokenError as error:
        return "string" in str(error)
    except SyntaxError:  # an indentation that fits nothing
        return False
    return False
