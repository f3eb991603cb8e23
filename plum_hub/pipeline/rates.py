"""Measured speeds of engines on this machine, so that estimates rest on measurements (law 10)."""

import json
from contextlib import suppress
from pathlib import Path

from plum_hub.engines import EngineConfig
from plum_hub.errors import RunError
from plum_hub.files import write_whole
from plum_hub.home import home

_MIN_TOKENS = 2000
"""With fewer tokens, the time is dominated by start-up."""


def remember(config: EngineConfig, tokens: int, seconds: float) -> None:
    """Record the speed of an engine. A full disk is ignored, because an estimate is not worth failing a run for.

    Args:
        config: The configuration of the engine.
        tokens: Generated tokens; small numbers are ignored.
        seconds: The time they took.
    """
    if tokens < _MIN_TOKENS or seconds <= 0:
        return
    rates = _read()
    rates[_key(config)] = round(tokens / seconds, 1)
    with suppress(RunError):
        write_whole(_path(), json.dumps(rates, indent=1, sort_keys=True) + "\n")


def recall(config: EngineConfig) -> float | None:
    """Return the last measured speed of an engine.

    Args:
        config: The configuration of the engine.

    Returns:
        Generated tokens per second on this machine, or None if it was never measured.
    """
    return None if config.answers_later else _read().get(_key(config))


def _path() -> Path:
    return home() / "rates.json"


def _key(config: EngineConfig) -> str:
    return f"{config.type}:{config.model}"


def _read() -> dict[str, float]:
    try:
        rates = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return rates if isinstance(rates, dict) else {}
