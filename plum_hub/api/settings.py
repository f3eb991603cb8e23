"""What several functions of the API take: paths, engines, and single keys of a recipe or a training."""

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from plum_hub.engines import EngineConfig, parse_engine
from plum_hub.errors import UsageError
from plum_hub.home import expanded

StrPath: TypeAlias = str | PathLike[str]

Settings: TypeAlias = Mapping[str, object] | Iterable[str]
"""Single keys: `{"samples.per_instruction": 10}`, or lines as `--set` takes them, `["samples.per_instruction=10"]`."""


def setting_lines(settings: Settings) -> tuple[str, ...]:
    """Return settings as `KEY=VALUE` lines, the values in YAML (of which JSON is a part).

    Args:
        settings: A mapping from keys to values, or lines as they are.

    Returns:
        One line per key.

    Raises:
        UsageError: They are one text.
    """
    if isinstance(settings, str):
        raise UsageError(f"settings={settings!r:.200}: give a list of such texts, or a mapping of keys to values")
    if isinstance(settings, Mapping):
        return tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items())
    return tuple(settings)


def optional_path(path: StrPath | None) -> Path | None:
    """Return a path as `expanded` does, and None as None.

    Args:
        path: The path.

    Returns:
        The path, or None.
    """
    return None if path is None else expanded(path)


def engine(model: str | EngineConfig) -> EngineConfig:
    """Return an engine's configuration.

    Args:
        model: The configuration, or its short form, `MODEL` or `ENGINE:MODEL`.

    Returns:
        The configuration, parsed if it is in the short form.

    Raises:
        EngineError: There is no such engine.
        MissingExtraError: The engine's package is not installed.
    """
    return parse_engine(model) if isinstance(model, str) else model
