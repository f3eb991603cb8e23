"""Prompt templates, one file each. The digest of a prompt is recorded in every row generated with it.

`suite` asks a generator for a test suite (parsed by `answers.suite`), `suite_roles` for one whose cases have roles, and
`suite_structured` for one as JSON, by the schema of the same name. `solve_chat` asks a chat model for a
solution, and `solve_completion` leads a base model into writing one (extracted by `answers.code`). `solve_evalplus` and
`solve_evalplus_example` are problems in the form of EvalPlus' data sets, which its words surround (`evalplus.py`).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

_PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")
_TURN = re.compile(r"^<!-- (user|assistant) -->\n", re.MULTILINE)


def render(name: str, **values: str) -> str:
    """Render a prompt, replacing each `{{ key }}` by its value; braces inside a value are kept.

    Args:
        name: Name of the prompt's file, without `.md`.
        values: Values by placeholder.

    Returns:
        The text.

    Raises:
        KeyError: A placeholder has no value, or a value has no placeholder.
    """
    text = _text(name)
    _check(name, text, values)
    return _filled(text, values)


def conversation(name: str, **values: str) -> list[dict[str, str]]:
    """Render a prompt as chat messages.

    A file is one user message, or several messages under `<!-- user -->` and `<!-- assistant -->`: worked examples,
    which weak models follow far better than a description.

    Args:
        name: Name of the prompt's file, without `.md`.
        values: Values by placeholder.

    Returns:
        Messages with `role` and `content`.

    Raises:
        KeyError: A placeholder has no value, or a value has no placeholder.
    """
    text = _text(name)
    _check(name, text, values)
    return turns_of(text, values)


def turns_of(text: str, values: Mapping[str, str]) -> list[dict[str, str]]:
    """Render a prompt's text as chat messages.

    Args:
        text: The text of a prompt's file, as in `conversation`.
        values: Values by placeholder; more than the text has placeholders are allowed.

    Returns:
        Messages with `role` and `content`.

    Raises:
        KeyError: A placeholder has no value.
    """
    _, *turns = _TURN.split(text) if text.startswith("<!-- ") else ("", "user", text)
    return [
        {"role": role, "content": _filled(content, values).strip()}
        for role, content in zip(turns[::2], turns[1::2], strict=True)
    ]


def placeholders(text: str) -> set[str]:
    """List the placeholders of a prompt.

    Args:
        text: The text of a prompt's file.

    Returns:
        Their names.
    """
    return set(_PLACEHOLDER.findall(text))


@cache
def prompt_digest(name: str) -> str:
    """Compute the digest that identifies a prompt's text, and its schema if it has one.

    Args:
        name: Name of the prompt's file, without `.md`.

    Returns:
        The first 16 hex digits of the SHA-256 of the file, with that of its schema behind it.
    """
    return hashlib.sha256((_text(name) + _schema(name)).encode()).hexdigest()[:16]


def answer_schema(name: str) -> dict[str, Any] | None:
    """Read the JSON schema that answers to a prompt must follow.

    Args:
        name: Name of the prompt's file, without `.md`.

    Returns:
        The schema, from the file `NAME.json`; None if the prompt wants no JSON.
    """
    text = _schema(name)
    return json.loads(text) if text else None


def _check(name: str, text: str, values: Mapping[str, str]) -> None:
    if unused := values.keys() - set(_PLACEHOLDER.findall(text)):
        raise KeyError(f"prompt {name!r} has no placeholder for {sorted(unused)}")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]].strip(), text)


@cache
def _schema(name: str) -> str:
    file = files("plum_hub.prompts") / f"{name}.json"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@cache
def _text(name: str) -> str:
    return (files("plum_hub.prompts") / f"{name}.md").read_text(encoding="utf-8")
