"""The fenced code blocks of a model's answer, read the way models write them, not the way Markdown is defined."""

import re
import textwrap
from dataclasses import dataclass

_OPENING = re.compile(r"^(?P<before>.*?)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)[ \t]*(?:\{[^`]*\})?$")
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_PYTHON = frozenset({"python", "python3", "py", "py3", "python2", "ipython", "cpython"})


@dataclass(frozen=True)
class Block:
    """One fenced block. `label` is the last line of text before it; `closed` is False where the answer was cut."""

    language: str
    code: str
    label: str
    closed: bool

    @property
    def is_python(self) -> bool:
        return self.language in _PYTHON

    @property
    def may_be_python(self) -> bool:
        return self.is_python or not self.language


@dataclass(frozen=True)
class Answer:
    """An answer taken apart: the text before the first fence, all text outside fences, and the blocks in order."""

    preamble: str
    prose: str
    blocks: tuple[Block, ...]


def read_answer(text: str) -> Answer:
    """Take an answer apart. A `<think>` section is left out; empty blocks are not blocks.

    A fence with a language inside an open block closes that block; a fence at the end of a line of code closes too.
    """
    outside: list[str] = []
    blocks: list[Block] = []
    preamble: int | None = None
    fence = language = ""
    code: list[str] = []

    def close(*, closed: bool) -> None:
        if source := textwrap.dedent("\n".join(code)).strip("\n").rstrip():
            label = next((line.strip() for line in reversed(outside) if line.strip()), "")
            blocks.append(Block(language, source + "\n", label, closed))
        code.clear()

    for line in _THOUGHT.sub("", text).replace("\r\n", "\n").split("\n"):
        opening = _OPENING.match(line)
        if fence:
            before = line.rstrip().removesuffix(fence)
            if before != line.rstrip() and "`" not in before:
                code.append(before)
                close(closed=True)
                fence = ""
                continue
            if not (opening and opening["language"] and not opening["before"].strip()):
                code.append(line)
                continue
            close(closed=False)
        if opening and (opening["language"] or not opening["before"].strip()):
            outside.append(opening["before"])
            preamble = len(outside) if preamble is None else preamble
            fence, language = opening["fence"], opening["language"].lower()
        else:
            outside.append(line)
    if fence:
        close(closed=False)
    return Answer("\n".join(outside[:preamble]), "\n".join(outside), tuple(blocks))
