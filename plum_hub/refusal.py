"""What a settings model refuses, as a key and a sentence: every recipe, setting and option is told about in one way."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


class SettingsModel(BaseModel):
    """Keys and values as users write them in YAML: frozen, and nothing unknown, infinite or of another kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        """Read a section whose keys are all commented out as one that is left out.

        And `yes`, `on` and `true` as words where a number is wanted: pydantic would take YAML's truth values for 1.
        """
        if not isinstance(given, Mapping):
            return given
        fields = cls.model_fields
        return {
            key: str(value).lower() if isinstance(value, bool) and _is_number(fields, key) else value
            for key, value in given.items()
            if value is not None or not _is_section(fields, key)
        }


def _is_number(fields: Mapping[str, Any], key: object) -> bool:
    """Whether the value of a key is a number and no truth value."""
    kinds = _kinds(fields[key].annotation) if isinstance(key, str) and key in fields else set()
    return bool(kinds & {int, float}) and bool not in kinds


def _is_section(fields: Mapping[str, Any], key: object) -> bool:
    """Whether a key is one of a section that has a default."""
    if not isinstance(key, str) or (field := fields.get(key)) is None or field.is_required():
        return False
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _kinds(annotation: object) -> set[object]:
    """List the types that an annotation names."""
    inner = get_args(annotation)
    return {annotation}.union(*map(_kinds, inner)) if inner else {annotation}


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


def first_refusal(error: ValidationError) -> RefusedKey:
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
        problem = "must be a list" + ("" if value is None else f", as in  [{value}]")
    elif first["type"] == "string_type" and isinstance(value, int | float | date):
        kind = "true or false" if isinstance(value, bool) else "a date" if isinstance(value, date) else "a number"
        problem = f"must be text, and YAML reads {kind}: put it in double quotes, with --set as in  '\"0123\"'"
    elif first["type"] in ("int_parsing", "float_parsing") and not isinstance(value, bool):
        example = "10" if first["type"] == "int_parsing" else "0.5"
        problem = f"{problem.partition(', unable')[0]}, as {example}, with no comma, unit or word in it"
    elif first["type"] == "missing":
        problem = "this key is required"
    elif first["type"] in ("model_type", "model_attributes_type"):
        problem = "is a section: write its keys below it, or leave it out"
    return RefusedKey(path=tuple(map(str, first["loc"])), kind=first["type"], problem=problem, value=value)
