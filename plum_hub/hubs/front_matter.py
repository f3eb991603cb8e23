"""The YAML at the top of a card: parsed, and checked as the Hub does before it accepts a README.md."""

from math import isfinite
from typing import Any

import yaml

from plum_hub import plain_yaml

LONGEST = 200_000
"""Characters of front matter: a Hub parses it again for each page that shows it."""
_TEXT_OR_TEXTS = (
    "language",
    "license",
    "tags",
    "datasets",
    "base_model",
    "metrics",
    "task_categories",
    "size_categories",
)


class FrontMatterError(ValueError):
    """The front matter is not acceptable; the message says why."""


def read(content: str) -> dict[str, Any]:
    """Parse the front matter of a card.

    Args:
        content: The whole card.

    Returns:
        The metadata; empty where there is none.

    Raises:
        FrontMatterError: It is not a YAML mapping.
    """
    lines = content.lstrip("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}
    try:
        end = next(number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---")
    except StopIteration:
        raise FrontMatterError("the YAML metadata block is not closed with ---") from None
    if end > LONGEST or sum(map(len, lines[:end])) > LONGEST:
        raise FrontMatterError(f"the YAML metadata block has more than {LONGEST:,} characters")
    try:
        data = plain_yaml.load("\n".join(lines[1:end]))
    except yaml.YAMLError as error:
        raise FrontMatterError(f"Invalid YAML metadata: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise FrontMatterError("the YAML metadata is not a mapping")
    return data


def problems(content: str, kind: str) -> tuple[list[str], list[str]]:
    """Check the front matter of a card.

    Args:
        content: The whole card.
        kind: `dataset`, `model` or `space`.

    Returns:
        Errors, for which the card is refused, and warnings, with which it is accepted.
    """
    try:
        data = read(content)
    except FrontMatterError as error:
        return [str(error)], []
    if not data:
        return [], ["empty or missing yaml metadata in repo card"]
    errors = [f'"{key}" must be text or a list of texts' for key in _TEXT_OR_TEXTS if not _texts(data.get(key))]
    if kind == "dataset":
        errors += _config_problems(data.get("configs"))
    if kind == "model":
        errors += _index_problems(data.get("model-index"))
    return errors, []


def texts(value: Any) -> list[str]:
    """Normalise a field that holds one string, several, or nothing.

    Args:
        value: The field.

    Returns:
        A list of strings.
    """
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def as_json(value: Any) -> Any:
    """Convert front matter to what JSON can hold: keys and dates become text, and so do numbers that JSON lacks.

    Args:
        value: What `read` returned.

    Returns:
        Texts, numbers, booleans, None, lists and mappings by text.
    """
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [as_json(item) for item in value]
    finite = isinstance(value, int) or (isinstance(value, float) and isfinite(value))
    return value if value is None or isinstance(value, str) or finite else str(value)


def _texts(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return value is None or isinstance(value, str)


def _config_problems(configs: Any) -> list[str]:
    if configs is None:
        return []
    if not isinstance(configs, list) or not all(isinstance(config, dict) for config in configs):
        return ['"configs" must be a list of mappings']
    names = [config.get("config_name") for config in configs]
    errors = [
        f'"configs[{at}].config_name" must be a text' for at, name in enumerate(names) if not isinstance(name, str)
    ]
    errors += [
        f'"configs" names {name!r} twice' for name in {n for n in names if isinstance(n, str) and names.count(n) > 1}
    ]
    return errors


def _index_problems(index: Any) -> list[str]:
    """Return the errors in the evaluation results of a model card."""
    if index is None:
        return []
    if not isinstance(index, list) or not all(isinstance(entry, dict) for entry in index):
        return ['"model-index" must be a list of mappings']
    errors = []
    for at, entry in enumerate(index):
        where = f"model-index[{at}]"
        if not isinstance(entry.get("name"), str):
            errors.append(f'"{where}.name" must be a text')
        results = entry.get("results")
        if not isinstance(results, list):
            errors.append(f'"{where}.results" must be a list')
            continue
        for number, result in enumerate(results):
            errors += _result_problems(f"{where}.results[{number}]", result)
    return errors


def _result_problems(where: str, result: Any) -> list[str]:
    """Say what is wrong with one result: it says of which task and dataset it is, and gives metrics with values."""
    if not isinstance(result, dict):
        return [f'"{where}" must be a mapping']
    errors = []
    for key, needed in {"task": ("type",), "dataset": ("type", "name")}.items():
        given = result.get(key)
        about = given if isinstance(given, dict) else {}
        errors += [f'"{where}.{key}.{it}" must be a text' for it in needed if not isinstance(about.get(it), str)]
    metrics = result.get("metrics")
    if not isinstance(metrics, list):
        return [*errors, f'"{where}.metrics" must be a list']
    for at, metric in enumerate(metrics):
        if not isinstance(metric, dict) or not isinstance(metric.get("type"), str) or metric.get("value") is None:
            errors.append(f'"{where}.metrics[{at}]" needs a type and a value')
    return errors
