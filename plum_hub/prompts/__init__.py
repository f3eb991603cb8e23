"""The prompts, one a file. A prompt's digest is in every row that it made.

`suite` asks a generator for a test suite (`answers.suite` reads the answer); `solve_chat` asks a chat model for a
solution and `solve_completion` leads a base model into writing one (`answers.code` finds the program in the answer).
"""

import hashlib
import re
from importlib.resources import files

_PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")


def render(name: str, **values: str) -> str:
    """The prompt with each `{{ key }}` replaced by its value; braces inside a value stay as they are.

    Raises:
        KeyError: a placeholder has no value, or a value has no placeholder.
    """
    text = _text(name)
    if unused := values.keys() - set(_PLACEHOLDER.findall(text)):
        raise KeyError(f"prompt {name!r} has no placeholder for {sorted(unused)}")
    return _PLACEHOLDER.sub(lambda match: values[match[1]].strip(), text)


def prompt_digest(name: str) -> str:
    """The first 16 hex digits of the SHA-256 of the prompt's file: another text is another prompt."""
    return hashlib.sha256(_text(name).encode()).hexdigest()[:16]


def _text(name: str) -> str:
    return (files("plum_hub.prompts") / f"{name}.md").read_text(encoding="utf-8")
