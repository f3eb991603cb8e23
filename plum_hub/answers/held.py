"""Find the texts that an answer holds as data: values of JSON, arguments of tools, tags of HTML, code in a sentence."""

import ast
import html
import json
import re
from collections.abc import Iterator
from contextlib import suppress

from plum_hub.answers.blocks import ParsedAnswer
from plum_hub.answers.reasoning import REASONING

_OBJECT = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder(strict=False)  # models leave the line ends of a program as they are
_MOST_OBJECTS = 50
"""Places of a text at which an object may begin that are tried; each takes time in proportion to the text."""
_LINE_TAG = re.compile(r"^(?:<[|/]?[A-Za-z][^<>\n]*>)+|(?:<[|/]?[A-Za-z][^<>\n]*>)+$", re.MULTILINE)
_BREAK = re.compile(r"<br ?/?>\n?|</?(?:answer|solution|code|pre|python)(?:\s[^<>]*)?>", re.IGNORECASE)
_CODE_TAG = re.compile(r"^\s*<(?:answer|solution|code|pre|python)\b[^<>\n]*>", re.IGNORECASE | re.MULTILINE)
_INLINE_TAG = re.compile(r"</?(?:span|div|p|b|i|em|strong|font|a)(?:\s[^<>]*)?>", re.IGNORECASE)
_INLINE = re.compile(r"(?<!`)`(?!`)([^`]+)`(?!`)")


def held_texts(answer: ParsedAnswer, name: str) -> Iterator[str]:
    """Find texts that may be, or have, a program.

    Args:
        answer: An answer in whose own text and blocks there is none.
        name: What the program must define; without a name, sentences and blocks in other languages are not looked at.

    Yields:
        Values of JSON or of a Python literal, lists of lines joined; then text without the tags of HTML, and the
        content of blocks in other languages; then code in sentences.
    """
    blocks = [block.code for block in answer.blocks]
    for text in (answer.text, *blocks):
        for value in _objects(text):
            yield from _texts(value)
    stripped = answer.text.strip()
    if "\n" not in stripped and "\\n" in stripped:
        yield stripped.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
    if (plain := without_tags(answer.prose)) != answer.prose:
        yield plain
    if not name:
        return
    yield from (without_tags(block.code) for block in answer.blocks if not block.may_be_python)
    yield from (code for code in _INLINE.findall(answer.prose) if name in code)


def has_code_tag(text: str) -> bool:
    """Tell whether a tag that marks code begins a line.

    Args:
        text: Text without its fenced blocks.

    Returns:
        True if the text behind such a tag begins in its line.
    """
    return _CODE_TAG.search(text) is not None


def without_tags(text: str) -> str:
    """Remove the tags of HTML, and those that begin or end a line, whatever their names are.

    Args:
        text: Text without its fenced blocks, or the content of one.

    Returns:
        The text with line feeds for breaks, and characters for entities.
    """
    plain = _INLINE_TAG.sub("", _BREAK.sub("\n", _LINE_TAG.sub(lambda match: _BREAK.sub("\n", match[0]), text)))
    return html.unescape(_LINE_TAG.sub("", plain)).replace("\u00a0", " ")


def _objects(text: str) -> Iterator[object]:
    """Yield the values of JSON in a text, or the Python literal that it is."""
    stripped = text.strip()
    with suppress(ValueError, RecursionError):
        yield _DECODER.decode(stripped)
        return
    if stripped[:1] + stripped[-1:] in ("{}", "[]"):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            yield ast.literal_eval(stripped)
            return
    position = 0
    for _ in range(_MOST_OBJECTS):
        if (match := _OBJECT.search(text, position)) is None:
            return
        position = match.end()
        with suppress(ValueError, RecursionError):
            value, position = _DECODER.raw_decode(text, match.start())
            yield value


def _texts(value: object) -> Iterator[str]:
    """Yield the texts of a value, the outer ones first, and of an object's the reasoning last."""
    pending = [value]
    while pending:
        match pending.pop(0):
            case str(text):
                yield text
                if text.lstrip()[:1] in ("{", "[", '"'):  # arguments of a call are JSON in JSON
                    with suppress(ValueError, RecursionError):
                        pending.append(_DECODER.decode(text))
            case dict() as fields:
                pending += [fields[key] for key in sorted(fields, key=_is_reasoning)]
            case list() as items:
                if len(items) > 1 and all(isinstance(item, str) for item in items):
                    yield "\n".join(item.removesuffix("\n") for item in items)
                pending += items


def _is_reasoning(key: object) -> bool:
    return isinstance(key, str) and re.fullmatch(rf"{REASONING}|drafts?", key.lower()) is not None
