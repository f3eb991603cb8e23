"""Secrets of this process's environment, removed from what is printed, logged and written.

A server may repeat the key that it was sent: in an error, and even in an answer, which is published.
"""

import json
import os
import re
from functools import lru_cache

_NAMES = re.compile(r"(^|_)(TOKEN|API_KEY|SECRET|SECRET_KEY|ACCESS_KEY|PASSWORD)$", re.IGNORECASE)
"""Names of environment variables that hold a secret."""
_SHORTEST = 12
"""Characters; a shorter value may be an ordinary word of a program."""
_named: set[str] = set()
"""Variables that hold a key whatever they are called, by the settings of this process."""
_SHAPES = (
    re.compile(r"\b(?:hf|plum)_[A-Za-z0-9_-]{20,}"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
    re.compile(r"(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}"),
)
"""What tokens look like, and users with their passwords in a URL."""
REMOVED = "[secret]"
"""What takes the place of a secret."""


def keep_secret(variable: str) -> None:
    """Have the value of an environment variable removed like those of the usual names.

    Args:
        variable: Its name, such as `TOGETHER_KEY`.
    """
    _named.add(variable)


def without_own(text: str) -> str:
    """Remove the secrets of the environment from a text that is otherwise kept to the letter.

    Args:
        text: A row, or anything else that is written.

    Returns:
        The text.
    """
    for secret in _own(tuple(os.environ.get(name, "") for name in (*_names(tuple(os.environ)), *sorted(_named)))):
        if secret in text:
            text = text.replace(secret, REMOVED)
    return text


def redacted(text: str) -> str:
    """Remove the secrets of the environment, and all that looks like one, from a message.

    Args:
        text: The message.

    Returns:
        The message.
    """
    text = without_own(text)
    for shape in _SHAPES:
        text = shape.sub(REMOVED, text)
    return text


@lru_cache(maxsize=8)
def _names(variables: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in variables if _NAMES.search(name))


@lru_cache(maxsize=8)
def _own(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the secrets to look for, as they are and as JSON writes them, the longest first."""
    found = {it for it in values if len(it) >= _SHORTEST and not it.isspace()}
    found |= {json.dumps(it, ensure_ascii=ascii_only)[1:-1] for it in found for ascii_only in (True, False)}
    return tuple(sorted(found, key=len, reverse=True))
