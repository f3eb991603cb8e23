"""How fast an engine was on this machine the last time, so that a plan's time is measured, not guessed (law 10)."""

import json
from contextlib import suppress
from pathlib import Path

from plum_hub.engines import EngineConfig
from plum_hub.errors import RunError
from plum_hub.files import write_whole
from plum_hub.home import home

_LEAST_TOKENS = 2000
"""Fewer tokens than this say more about start-up than about speed."""


def remember(config: EngineConfig, tokens: int, seconds: float) -> None:
    """Note a stage's generated tokens a second; a plan is not worth failing a run for, so a full disk is no error."""
    if tokens < _LEAST_TOKENS or seconds <= 0:
        return
    rates = _read()
    rates[_key(config)] = round(tokens / seconds, 1)
    with suppress(RunError):
        write_whole(_path(), json.dumps(rates, indent=1, sort_keys=True) + "\n")


def recall(config: EngineConfig) -> float | None:
    """Generated tokens a second of this engine and model on this machine, or None where it never ran."""
    return _read().get(_key(config))


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
