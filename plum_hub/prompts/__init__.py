"""The prompts, one a file. A prompt's digest is in every row that it made.

`suite` asks a generator for a test suite (`answers.suite` reads the answer); `solve_chat` asks a chat model for a
solution and `solve_completion` leads a base model into writing one (`answers.code` finds the program in the answer).
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")
_TURN = re.compile(r"^<!-- (user|assistant) -->\n", re.MULTILINE)


def render(name: str, **values: str) -> str:
    """The prompt with each `{{ key }}` replaced by its value; braces inside a value stay as they are.

    Raises:
        KeyError: a placeholder has no value, or a value has no placeholder.
    """
    text = _text(name)
    _check(name, text, values)
    return _filled(text, values)


def conversation(name: str, **values: str) -> list[dict[str, str]]:
    """The prompt as messages. A file is one user's turn, or several turns, each under `<!-- user -->` or
    `<!-- assistant -->`: worked examples that weak models follow far better than a description.

    Raises:
        KeyError: as `render`.
    """
    text = _text(name)
    _check(name, text, values)
    _, *turns = _TURN.split(text) if text.startswith("<!-- ") else ("", "user", text)
    return [
        {"role": role, "content": _filled(content, values).strip()}
        for role, content in zip(turns[::2], turns[1::2], strict=True)
    ]


@cache
def prompt_digest(name: str) -> str:
    """The first 16 hex digits of the SHA-256 of the prompt's file: another text is another prompt."""
    return hashlib.sha256(_text(name).encode()).hexdigest()[:16]


def _check(name: str, text: str, values: Mapping[str, str]) -> None:
    if unused := values.keys() - set(_PLACEHOLDER.findall(text)):
        raise KeyError(f"prompt {name!r} has no placeholder for {sorted(unused)}")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]].strip(), text)


@cache
def _text(name: str) -> str:
    return (files("plum_hub.prompts") / f"{name}.md").read_text(encoding="utf-8")
