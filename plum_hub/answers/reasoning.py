"""Extract the part of an answer that is meant for the reader, without reasoning and control tokens.

Chat templates often end with the opening tag of the reasoning, so that the text has only the closing one; the
harmony format has channels; and a program may contain such a tag in a string or comment, where it is code.
"""

import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from plum_hub.answers.fences import FencedBlock, is_neutral, is_python, scan
from plum_hub.answers.source import tree_of

REASONING = (
    r"(?:[a-z]+[_-])?(?:(?:ant|deep)?think(?:ing)?|thoughts?|reason(?:ing)?|reflect(?:ion)?|scratch_?pad|monologue)"
    r"(?:[_-](?:process|content|fast|faster))?|analysis|chain[_-]of[_-]thought|cot"
)
"""Pattern of the names that models give to their reasoning, in lower case."""
_TAG = re.compile(
    rf"(?i)(?:<[|｜]?|◁)(?P<slash>/?)(?:(?P<side>begin|start|end)_(?:of_)?)?(?:\w+:)?(?P<tag>{REASONING})"
    r"(?:[ \t][^<>\n]*)?(?:[|｜]?>|▷)"
    r"|\[(?P<square_slash>/?)(?P<square>think(?:ing)?|reasoning)\]"
    r"|(?P<opening><unused94>|<\|channel>thought\b|<\|inner_prefix\|>|<\|(?:think(?:ing)?|reasoning)_start\|>)"
    r"|(?P<closing><unused95>|<channel\|>|<\|inner_suffix\|>|<\|(?:think(?:ing)?|reasoning)_end\|>)"
)
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<\n]*(?:<\|constrain\|>[^<\n]*)?<\|message\|>")
_CHANNEL = re.compile(r"(?:<\|start\|>[^<\n]*)?<\|channel\|>")
_MESSAGE_END = re.compile(r"<\|(?:return|end|start|channel|call)\|>")
_BARE_FINAL = re.compile(
    r"\A\s*(?:assistant)?analysis(?=[A-Z\s]).*assistantfinal", re.DOTALL
)  # harmony with its special tokens stripped
_END = re.compile(
    r"<\|(?:im_end|im_start|endoftext|eot_id|end_of_text|eom_id|start_header_id|end|return|EOT|endofmask|end_of_turn"
    r"|END_OF_TURN_TOKEN|end_of_sentence|user|file_sep)\|>|<end_of_turn>|<eos>|<｜end▁of▁sentence｜>|</s>(?=\s|<|\Z)"
)
_NEXT_TURN = re.compile(
    r"(?m)(?:^(?:#{2,3} ?)(?:Instruction|Human|User)\b|^\[INST\]|^\[DONE\]$"
    r"|(?<=\n\n)(?:Human|User|\*\*(?:Human|User)\*\*) ?:)"
)
_ANSWER = re.compile(r"(?m)^<(answer|final_answer|solution)>")
_PROGRAM = re.compile(r"```|\b(?:def|class) \w+ ?[(:]")
_BEGIN = re.compile(
    r"\A\s*(?:(?:<\|(?:im_start|start_header_id|begin_of_text|start|assistant|START_OF_TURN_TOKEN|CHATBOT_TOKEN|python_tag)\|>"
    r"|<s>|<bos>|<start_of_turn>|<｜Assistant｜>)\s*(?:(?:assistant|model)\b\s*)?(?:<\|end_header_id\|>|<\|message\|>)?)+"
)
_TOKENS = frozenset({tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)})


def visible_text(text: str) -> str:
    """Remove reasoning, special tokens, later turns and a byte order mark, and normalize line ends.

    Reasoning that is cut off is followed by no answer, except where one is marked by tags of its own. The answer
    follows a closing tag without an opening one, whatever precedes it; of several such tags, the last counts.

    Args:
        text: The model's answer, verbatim.

    Returns:
        The visible text with line feeds as line ends.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if "\n" not in text:
        text = re.sub("[\u2028\u2029\x85]", "\n", text)
    if "<" not in text and "[" not in text and "◁" not in text and "assistantfinal" not in text:
        return _this_turn(text)
    return _this_turn(_without_reasoning(_to_the_end(_final_channel(text))))


def _final_channel(text: str) -> str:
    """Return the last message of harmony's channel `final`, or the text before the first channel if there is none."""
    marked = _MarkedText(text)
    channels = [match for match in _CHANNEL.finditer(text) if not marked.is_code(match.start(), match.end())]
    if not channels:
        match = _BARE_FINAL.match(text)
        return text[match.end() :] if match else text
    finals = [match for match in _FINAL.finditer(text) if not marked.is_code(match.start(), match.end())]
    if not finals:
        return text[: channels[0].start()]
    message = text[finals[-1].end() :]
    marked = _MarkedText(message)
    ends = (match.start() for match in _MESSAGE_END.finditer(message) if not marked.is_code(match.start(), match.end()))
    return message[: next(ends, len(message))]


def _to_the_end(text: str) -> str:
    """Cut the text at the first token that ends a turn or a document."""
    text = _BEGIN.sub("", text)
    if _END.search(text) is None:
        return text
    marked = _MarkedText(text)
    for match in _END.finditer(text):
        is_html = match[0] == "</s>" and "<s>" in text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        if not is_html and not marked.is_code(match.start(), match.end()) and not marked.is_quoted(match):
            return text[: match.start()]
    return text


def _this_turn(text: str) -> str:
    """Cut the text where, behind a program, the model goes on with a turn of the user's."""
    begun = _PROGRAM.search(text)
    found = list(_NEXT_TURN.finditer(text, begun.start())) if begun else []
    marked = _MarkedText(text) if found else None  # which takes time
    for match in found:
        if marked is not None and marked.is_outside(match.start()):
            return text[: match.start()]
    return text


@dataclass(frozen=True)
class _Tag:
    name: str
    opens: bool
    start: int
    end: int


def _without_reasoning(text: str) -> str:
    tags = _tags(text)
    kept: list[str] = []
    position = 0
    while tags:
        tag = tags.pop(0)
        if not tag.opens:
            kept, position = [], tag.end
            continue
        closing = next((other for other in tags if not other.opens and other.name == tag.name), None)
        closing = closing or next((other for other in tags if not other.opens), None)
        if closing is None:
            if text[text.rfind("\n", 0, tag.start) + 1 : tag.start].strip():
                continue  # the tag is mentioned in a sentence
            answers = list(_ANSWER.finditer(text, tag.end))
            if answers and f"</{answers[-1][1]}>" in text[answers[-1].end() :]:
                return text[answers[-1].start() :]
            return "".join(kept) + text[position : tag.start]
        kept.append(text[position : tag.start])
        tags, position = tags[tags.index(closing) + 1 :], closing.end
    before, rest = "".join(kept), text[position:]
    return before + (rest.lstrip(" \t") if position and not before.strip() else rest)


def _tags(text: str) -> list[_Tag]:
    """Return the tags that mark reasoning, without those that are code, quoted or mentioned."""
    matches = list(_TAG.finditer(text))
    marked = _MarkedText(text) if matches else None
    tags: list[_Tag] = []
    for match in matches:
        assert marked is not None
        groups = match.groupdict()
        name = next(groups[key] for key in ("tag", "square", "opening", "closing") if groups[key]).lower()
        closes = (
            groups["slash"] or groups["square_slash"] or groups["closing"] or (groups["side"] or "").lower() == "end"
        )
        opens = not closes
        if not (
            marked.is_code(match.start(), match.end()) or marked.is_quoted(match) or _is_mentioned(text, match, opens)
        ):
            tags.append(_Tag(name, opens, match.start(), match.end()))
    return tags


def _is_mentioned(text: str, match: re.Match[str], opens: bool) -> bool:
    """Return whether a closing tag is a word of a sentence: `it stops at </think> as asked`."""
    before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    return (
        not opens and bool(before.strip()) and before.endswith(" ") and bool(re.match(r" [a-z]", text[match.end() :]))
    )


@dataclass(frozen=True)
class _MarkedText:
    """A text with its fenced blocks, used to decide which parts of it are code."""

    text: str
    _spans: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def is_code(self, start: int, end: int) -> bool:
        """Return whether a tag is part of a program's string or comment, or of a block in another language."""
        line = bisect_right(self._starts, start) - 1
        if self._is_program:
            return _covers(self._strings(0, self.text), start, end)
        index = bisect_right(self._blocks, line, key=lambda block: block.first) - 1
        if index >= 0 and line <= self._blocks[index].last:
            return self._is_in_block(self._blocks[index], start, end)
        return self._is_in_line(start, end)

    def is_outside(self, start: int) -> bool:
        """Return whether a place is in no block and the text is no program."""
        line = bisect_right(self._starts, start) - 1
        index = bisect_right(self._blocks, line, key=lambda block: block.first) - 1
        return not self._is_program and (index < 0 or self._blocks[index].last < line)

    def is_quoted(self, match: re.Match[str]) -> bool:
        """Return whether a tag is in quotes, or in inline code."""
        before, after = self.text[: match.start()][-1:], self.text[match.end() :][:1]
        if before and before == after and before in "'\"`":
            return not (self.text.endswith("```", 0, match.start()) and self.text.startswith("```", match.end()))
        start = self.text.rfind("\n", 0, match.start()) + 1
        rest = self.text[match.end() :].split("\n", 1)[0]
        ticks = self.text[start : match.start()]
        return "```" not in ticks + rest and ticks.count("`") % 2 == 1 and "`" in rest

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
        return starts

    @cached_property
    def _blocks(self) -> Sequence[FencedBlock]:
        return scan(self.text).blocks

    @cached_property
    def _is_program(self) -> bool:
        tree = tree_of(self.text)
        return tree is not None and bool(tree.body)

    def _is_in_block(self, block: FencedBlock, start: int, end: int) -> bool:
        first, last = self._starts[block.first], self._starts[block.last + 1]
        inside = self.text[first:last]
        if not is_python(block.language) and not is_neutral(block.language):
            if _END.fullmatch(self.text[start:end]):
                return block.closed
            tags = [tag[0] for tag in _TAG.finditer(inside)]
            return block.closed and any("/" in tag for tag in tags) and any("/" not in tag for tag in tags)
        begin = self._starts[block.first + 1] if block.first < block.last else first
        return _covers(self._strings(begin, self.text[begin:last]), start, end)

    def _is_in_line(self, start: int, end: int) -> bool:
        first = self.text.rfind("\n", 0, start) + 1
        line = self.text[first:].split("\n", 1)[0]
        tree = tree_of(line.strip()) or tree_of(line.strip() + " pass")
        return tree is not None and bool(tree.body) and _covers(self._strings(first, line), start, end)

    def _strings(self, offset: int, source: str) -> list[tuple[int, int]]:
        """Return the positions in the text of the strings and comments of the source."""
        if offset in self._spans:
            return self._spans[offset]
        lines = source.split("\n")
        starts = [offset]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        spans = []
        try:
            for token in tokenize.generate_tokens(io.StringIO(source).readline):
                before = lines[token.start[0] - 1][: token.start[1]][-1:] if token.start[0] <= len(lines) else ""
                if token.type in _TOKENS and not before.isalnum():  # the apostrophe of "I'll" does not start a string
                    spans.append((starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]))
        except (tokenize.TokenError, SyntaxError):
            pass  # spans found before the error are kept
        self._spans[offset] = spans
        return spans


def _covers(spans: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    index = bisect_right(spans, start, key=lambda span: span[0]) - 1
    return index >= 0 and end <= spans[index][1]
