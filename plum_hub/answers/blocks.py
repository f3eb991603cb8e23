"""Parse a model's answer into fenced code blocks and prose.

The rules follow what models write rather than the Markdown specification.
"""

from dataclasses import dataclass

from plum_hub.answers.fences import is_neutral, is_python, scan
from plum_hub.answers.reasoning import visible_text
from plum_hub.answers.source import is_program, tree_of


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: Language of the info string in lower case; empty if there is none.
        code: Content of the block.
        label: Last non-empty line of text before the block.
        closed: False if the answer ends before the closing fence.
    """

    language: str
    code: str
    label: str
    closed: bool

    @property
    def is_python(self) -> bool:
        """Whether the info string names Python."""
        return is_python(self.language)

    @property
    def may_be_python(self) -> bool:
        """Whether the block can be Python.

        Its info string names Python or is missing, or is neutral (`text`, for example) and the content is a program.
        """
        if not self.language or self.is_python:
            return True
        return is_neutral(self.language) and (is_program(tree_of(self.code)) or self.code.startswith(">>> "))


@dataclass(frozen=True)
class ParsedAnswer:
    """A parsed answer.

    Attributes:
        text: The answer without reasoning and special tokens.
        preamble: Text before the first fence.
        prose: All text outside fences.
        epilogue: Text behind the last fence.
        blocks: Non-empty blocks in the order of the answer.
    """

    text: str
    preamble: str
    prose: str
    epilogue: str
    blocks: tuple[Block, ...]


def read_answer(text: str) -> ParsedAnswer:
    """Parse an answer into blocks and prose.

    Args:
        text: The model's answer, verbatim.

    Returns:
        The parts, without reasoning, special tokens and empty blocks.
    """
    text = visible_text(text)
    scanned = scan(text)
    blocks: list[Block] = []
    label, place = "", 0
    for block in scanned.blocks:
        while place < len(scanned.outside) and scanned.outside[place][0] <= block.first:
            label = scanned.outside[place][1].strip() or label
            place += 1
        blocks.append(Block(block.language, block.code, label, block.closed))
    first = scanned.blocks[0].first if scanned.blocks else None
    preamble = [piece for line, piece in scanned.outside if first is None or line <= first]
    last = scanned.blocks[-1].last if scanned.blocks else -1
    epilogue = "\n".join(piece for line, piece in scanned.outside if line > last)
    prose = "\n".join(piece for _, piece in scanned.outside)
    return ParsedAnswer(text, "\n".join(preamble), prose, epilogue, tuple(blocks))
