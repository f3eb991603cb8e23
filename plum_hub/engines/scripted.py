"""Answers from a file: exactly repeatable rehearsals of a whole run, without a model.

    {"contains": "reverse a string", "texts": ["first answer", "second answer"]}
    {"texts": ["the answer to everything else"]}

The first row whose `contains` occurs in the prompt answers it; a row without `contains` answers every prompt. A token
is a word.
"""

import hashlib
import time
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import override

from plum_hub.engines.base import Completion, Engine, EngineIdentity, EngineSettings, Prompt, Request
from plum_hub.engines.prices import FREE, TokenPrices
from plum_hub.engines.revision import checked
from plum_hub.errors import EngineError


class ScriptedConfig(EngineSettings):
    """Answers from a JSONL file; `model` is its path."""

    type: Literal["scripted"] = "scripted"
    delay_seconds: float = Field(default=0.0, ge=0)
    """Duration of each completion, in seconds, to rehearse interruptions."""
    context_words: int = Field(default=32_768, ge=1)
    """Longer prompts are refused."""
    chat_template: bool = True
    """False imitates a base model, which takes plain text only."""

    @override
    def usd_per_million_tokens(self) -> TokenPrices:
        """Return zero: answers from a file cost nothing."""
        return FREE

    @override
    def begun_answer(self, turns: list[dict[str, str]]) -> str:
        """Put the turns below one another: there is no chat template."""
        return _plain(turns) + "\n"

    @override
    def pin(self) -> Self:
        """Fix the file by its SHA-256."""
        found = f"sha256:{hashlib.sha256(self._read()).hexdigest()}"
        return self.model_copy(update={"revision": checked(self.model, found, self.revision)})

    @override
    def open(self) -> "ScriptedEngine":
        """Read the rows of the file."""
        pinned = self.pin()
        rows = []
        for number, line in enumerate(self._read().removeprefix(BOM_UTF8).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                rows.append(_Row.model_validate_json(line))
            except ValidationError as error:
                problem = error.errors(include_url=False)[0]["msg"]
                form = '{"contains": "...", "texts": ["..."]}'
                raise EngineError(f"{self.model}:{number}: {problem}; write each row as  {form}") from error
        return ScriptedEngine(pinned, rows)

    def _read(self) -> bytes:
        try:
            return Path(self.model).expanduser().read_bytes()
        except OSError as error:
            raise EngineError(f"{self.model}: {error.strerror}; name a JSONL file as  scripted:FILE") from error


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    contains: str = ""
    texts: tuple[str, ...] = Field(min_length=1)


class ScriptedEngine(Engine):
    """Looks answers up. The request's seed chooses among a row's texts; greedy decoding takes the first."""

    def __init__(self, config: ScriptedConfig, rows: Sequence[_Row]) -> None:
        self._config = config
        self._rows = rows
        self.identity = EngineIdentity(
            engine="scripted", engine_version="1", model=config.public().model, revision=config.revision or ""
        )

    @property
    @override
    def has_chat_template(self) -> bool:
        """As configured."""
        return self._config.chat_template

    @override
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer in the order of the requests; a prompt that no row answers is an `EngineError`."""
        self._check(requests)
        for request in requests:
            time.sleep(self._config.delay_seconds)
            yield self._answer(request)

    def _answer(self, request: Request) -> Completion:
        prompt = _plain(request.prompt)
        prompt_words, limit = len(prompt.split()), self._config.context_words
        if prompt_words > limit:
            reason = f"the prompt has {prompt_words} words, more than the {limit} of the context"
            return Completion.refused(request, reason, prompt_words)
        row = next((row for row in self._rows if row.contains in prompt), None)
        if row is None:
            raise EngineError(
                f"{self._config.model} has no row for the prompt {prompt[:80]!r}: add one without `contains`"
            )
        text = row.texts[request.seed % len(row.texts) if request.sampling.temperature else 0]
        text, stop = request.sampling.until_stop(text)
        words = text.split()
        cut = len(words) > request.sampling.max_tokens
        if cut:
            words = words[: request.sampling.max_tokens]
            text, stop = " ".join(words), ""
        return Completion(
            id=request.id,
            text=text,
            finish_reason="length" if cut else "stop",
            prompt_tokens=prompt_words,
            completion_tokens=len(words),
            stop=stop,
        )


def _plain(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(message["content"] for message in prompt)
