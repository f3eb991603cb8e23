"""The fenced code blocks of a model's answer, read the way models write them, not the way Markdown is defined."""

from dataclasses import dataclass

from plum_hub.answers.fences import is_neutral, is_python, scan
from plum_hub.answers.reasoning import visible_text
from plum_hub.answers.source import is_program, parse


@dataclass(frozen=True)
class Block:
    """One fenced block. `label` is the last line of text before it; `closed` is False where the answer was cut."""

    language: str
    code: str
    label: str
    closed: bool

    @property
    def is_python(self) -> bool:
        return is_python(self.language)

    @property
    def may_be_python(self) -> bool:
        """Whether its info string says Python or nothing, or says `text` or the like of what is a program."""
        if not self.language or self.is_python:
            return True
        return is_neutral(self.language) and (is_program(parse(self.code)) or self.code.startswith(">>> "))


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer taken apart: all of it, the text before the first fence, all text outside fences, and the blocks in
    order."""

    text: str
    preamble: str
    prose: str
    blocks: tuple[Block, ...]


def read_answer(text: str) -> ParsedAnswer:
    """Take an answer apart. Reasoning and special tokens are left out; empty blocks are not blocks."""
    text = visible_text(text)
    found = scan(text)
    blocks: list[Block] = []
    for block in found.blocks:
        before = (piece.strip() for line, piece in reversed(found.outside) if line <= block.first)
        label = next((piece for piece in before if piece), "")
        blocks.append(Block(block.language, block.code, label, block.closed))
    first = found.blocks[0].first if found.blocks else None
    preamble = [piece for line, piece in found.outside if first is None or line <= first]
    return ParsedAnswer(text, "\n".join(preamble), "\n".join(piece for _, piece in found.outside), tuple(blocks))
