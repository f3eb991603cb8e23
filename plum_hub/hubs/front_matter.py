"""The YAML at the head of a card: reading it, and checking it as the Hub does before it takes a README.md."""

from typing import Any

import yaml

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
    """The front matter cannot be taken; the message says why."""


def read(content: str) -> dict[str, Any]:
    """The front matter of a card; empty where it has none.

    Raises:
        FrontMatterError: it is not a YAML mapping.
    """
    lines = content.lstrip("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}
    try:
        end = next(number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---")
    except StopIteration:
        raise FrontMatterError("the YAML metadata block is not closed with ---") from None
    try:
        data = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as error:
        raise FrontMatterError(f"Invalid YAML metadata: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise FrontMatterError("the YAML metadata is not a mapping")
    return data


def problems(content: str, kind: str) -> tuple[list[str], list[str]]:
    """What is wrong with a card's front matter (it is refused), and what is merely missing (it is taken)."""
    try:
        data = read(content)
    except FrontMatterError as error:
        return [str(error)], []
    if not data:
        return [], ["empty or missing yaml metadata in repo card"]
    errors = [f'"{key}" must be text or a list of texts' for key in _TEXT_OR_TEXTS if not _texts(data.get(key))]
    if kind == "dataset":
        errors += _config_problems(data.get("configs"))
    if kind == "model" and not isinstance(data.get("model-index", []), list):
        errors.append('"model-index" must be a list')
    return errors, []


def texts(value: Any) -> list[str]:
    """One text, a list of them, or nothing, as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(item) for item in value]


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
