"""What a settings model refuses, as a key and a sentence: every recipe, setting and option is told about in one way."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


@dataclass(frozen=True, kw_only=True)
class RefusedKey:
    """The first value that a model refuses."""

    path: tuple[str, ...]
    """Where it is, from the outermost key to the innermost; empty for the whole."""
    kind: str
    """Pydantic's name of the problem, as `extra_forbidden`."""
    problem: str
    value: object
    """What was given."""

    @property
    def key(self) -> str:
        """The path, as `samples.seed`."""
        return ".".join(self.path)

    @property
    def is_unknown(self) -> bool:
        """Whether there is no such key."""
        return self.kind == "extra_forbidden"


def first_refusal(error: "ValidationError") -> RefusedKey:
    """Read what a model refuses first.

    Args:
        error: Pydantic's error.

    Returns:
        The key, and the problem in terms of YAML: pydantic's own sentence, but for lists, which it calls tuples, and
        texts that YAML takes for something else, such as a tag or commit of digits.
    """
    first = error.errors(include_url=False)[0]
    value = first.get("input")
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("tuple_type", "list_type"):
        problem = f"must be a list, as in  [{value}]"
    elif first["type"] == "string_type" and isinstance(value, int | float | date):
        kind = "true or false" if isinstance(value, bool) else "a date" if isinstance(value, date) else "a number"
        problem = f"must be text, and YAML reads {kind}: put it in double quotes, with --set as in  '\"0123\"'"
    elif first["type"] == "missing":
        problem = "this key is required"
    return RefusedKey(path=tuple(map(str, first["loc"])), kind=first["type"], problem=problem, value=value)
