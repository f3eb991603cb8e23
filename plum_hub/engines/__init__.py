"""Where text comes from. The union of the engines' settings is the registry."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from plum_hub.engines.openai import OpenAIConfig
from plum_hub.engines.scripted import ScriptedConfig
from plum_hub.engines.tgi import TgiConfig
from plum_hub.engines.transformers import TransformersConfig
from plum_hub.engines.vllm import VllmConfig
from plum_hub.errors import EngineError, MissingExtraError, perhaps

EngineConfig: TypeAlias = Annotated[
    VllmConfig | TransformersConfig | OpenAIConfig | TgiConfig | ScriptedConfig, Field(discriminator="type")
]

_FORMS = "MODEL, vllm:MODEL, transformers:MODEL, openai:NAME, openai:NAME@URL, tgi:URL or scripted:FILE"


def parse_engine(text: str) -> EngineConfig:
    """Parse the command line's short form of an engine.

    A bare MODEL, a Hub repository (`REPO` or `REPO@REVISION`) or a folder, is run by vLLM where it is installed,
    else by transformers.

    Args:
        text: `MODEL`, `vllm:MODEL`, `transformers:MODEL`, `openai:NAME`, `openai:NAME@URL`, `tgi:URL` or
            `scripted:FILE`.

    Returns:
        The engine's settings.

    Raises:
        EngineError: The engine is unknown.
        MissingExtraError: The text is a bare model, and neither library is installed.
    """
    name, colon, rest = text.partition(":")
    if not colon or Path(text).exists():
        name, rest = _local_engine(), text
    if not rest:
        raise EngineError(f"{text}: the model is missing; write  {_FORMS}")
    model, revision = _split_revision(rest)
    match name:
        case "vllm":
            return VllmConfig(model=model, revision=revision)
        case "transformers":
            return TransformersConfig(model=model, revision=revision)
        case "openai":
            served, url = _split_server(rest)
            return OpenAIConfig(model=served, base_url=url)
        case "tgi":
            return TgiConfig(base_url=rest)
        case "scripted":
            return ScriptedConfig(model=rest)
    near = perhaps(name, re.findall(r"(\w+):", _FORMS))
    raise EngineError(f"{text}: there is no engine called {name!r}{near}; write  {_FORMS}")


def _local_engine() -> str:
    for name in ("vllm", "transformers"):
        if find_spec(name) is not None:
            return name
    raise MissingExtraError("running a model on this machine (on a GPU the extra is `vllm`)", "cpu")


def _split_server(text: str) -> tuple[str, str | None]:
    """Split `NAME@URL`; a name may have an `@` of its own."""
    name, at, url = text.partition("@http")
    if at:
        return name, f"http{url}"
    name, at, address = text.rpartition("@")
    if ":" in name:  # a user and a key, which no message may show
        name, _, address = text.partition("@")
    is_address = bool(name) and re.search(r":\d+(/|$)|/v1\b", address) is not None
    return (name, address) if is_address else (text, None)  # that it lacks a scheme, or has a secret, is told there


def _split_revision(text: str) -> tuple[str, str | None]:
    model, at, revision = text.partition("@")
    return (model, revision) if at and not Path(text).expanduser().exists() else (text, None)
