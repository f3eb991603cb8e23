"""Any server that speaks the OpenAI API: OpenAI itself, vLLM, llama.cpp, TGI's `/v1` and many more."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field
from typing_extensions import override

from plum_hub.engines.base import Completion, Engine, EngineIdentity, Request
from plum_hub.engines.remote import BUSY, RemoteSettings, TryAgainError, answer_all
from plum_hub.errors import EngineError

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

_REFUSALS = ("context_length_exceeded", "content_filter", "content_policy_violation", "string_above_max_length")
"""Error codes that concern this very request."""
_TOO_LONG = ("context length", "context window", "context size", "too long", "too many tokens", "maximum input length")
"""What servers without error codes say of a prompt that does not fit."""

LIST_PRICES = {"gpt-4.1-mini": (0.40, 1.60)}
"""US dollars for a million tokens of prompt and of answer, as OpenAI listed them in April 2026; for estimates only."""


class OpenAIConfig(RemoteSettings):
    """A model behind a `/v1` endpoint; `model` is the server's name for it."""

    type: Literal["openai"] = "openai"
    base_url: str | None = None
    """For example `http://localhost:8000/v1`; OpenAI's own endpoint by default."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key. The key itself is never written anywhere."""
    chat: bool = True
    """False for a base model, which takes plain text only (`/completions`)."""
    usd_per_million_input: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens, for `--dry-run`."""
    usd_per_million_output: float | None = Field(default=None, ge=0)
    """Price of a million generated tokens, for `--dry-run`."""

    @override
    def text_settings(self) -> dict[str, object]:
        """Chat or completion, and the server: by a digest, since its address is private."""
        server = self.base_url and hashlib.sha256(self.base_url.encode()).hexdigest()[:16]
        return {"chat": self.chat, "server": server}

    @override
    def usd_per_million_tokens(self) -> tuple[float, float] | None:
        """Return the prices in the settings; else OpenAI's list price, for a model of theirs in `LIST_PRICES`."""
        if self.usd_per_million_input is not None and self.usd_per_million_output is not None:
            return self.usd_per_million_input, self.usd_per_million_output
        return LIST_PRICES.get(self.model) if self.base_url is None else None

    @override
    def pin(self) -> Self:
        """Check that the server answers. It knows models by name only, so there is no revision to fix."""
        self.open().close()
        return self

    @override
    def open(self) -> "OpenAIEngine":
        """Connect, and check that the server accepts the key and knows the model."""
        return OpenAIEngine(self)


class OpenAIEngine(Engine):
    """Client of a `/v1` server, with many requests in flight."""

    def __init__(self, config: OpenAIConfig) -> None:
        import openai

        key = os.environ.get(config.api_key_env)
        if not key and config.base_url is None:
            raise EngineError(
                f"openai:{config.model} needs a key: set {config.api_key_env}, or base_url for a server of yours"
            )
        self._config = config
        self._client: OpenAI = openai.OpenAI(
            base_url=config.base_url, api_key=key or "none", max_retries=0, timeout=config.timeout_seconds
        )
        self.identity = EngineIdentity(
            engine="openai", engine_version=openai.__version__, model=config.model, revision=config.revision or ""
        )
        self._greet()

    @property
    @override
    def has_chat_template(self) -> bool:
        """As configured: the server applies the template."""
        return self._config.chat

    @override
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer all requests concurrently; each is sent again only while it has no answer."""
        self._check(requests)
        return answer_all(self._config, requests, self._answer)

    @override
    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _greet(self) -> None:
        """List the models, so that a wrong address, key or name is reported before anything is paid for."""
        import openai

        try:
            known = [model.id for model in self._client.with_options(timeout=20).models.list()]
        except openai.NotFoundError:
            return  # some servers have no such list
        except openai.APIStatusError as error:
            if error.status_code in BUSY:
                return  # there, and busy: `generate` waits for it
            raise self._failure(error) from error
        except openai.APIConnectionError as error:
            raise EngineError(
                f"{self._where()} cannot be reached ({_root(error)}): check base_url, or start it"
            ) from error
        if known and self._config.model not in known:
            some = ", ".join(sorted(known)[:5])
            raise EngineError(f"{self._where()} has no model {self._config.model!r}: name one it has ({some})")

    def _answer(self, request: Request) -> Completion:
        import openai

        try:
            return self._chat(request) if not isinstance(request.prompt, str) else self._continue(request)
        except openai.APIConnectionError as error:  # timeouts are of this kind
            raise TryAgainError(_root(error)) from error
        except openai.APIStatusError as error:
            code = str(error.code or "")
            if error.status_code in BUSY and code != "insufficient_quota":
                after = error.response.headers.get("retry-after")
                raise TryAgainError(f"status {error.status_code}", after) from error
            if error.status_code in (400, 413, 422) and _is_refusal(code, error.message):
                return Completion.refused(request, error.message)
            raise self._failure(error) from error

    def _chat(self, request: Request) -> Completion:
        # OpenAI's newer models refuse `max_tokens`; many other servers know nothing else.
        limit = "max_completion_tokens" if self._config.base_url is None else "max_tokens"
        answer = self._client.chat.completions.create(
            messages=request.prompt,
            **{limit: request.sampling.max_tokens},
            **self._common(request),
        )
        return self._completion(request, answer, answer.choices[0].message.content if answer.choices else None)

    def _continue(self, request: Request) -> Completion:
        answer = self._client.completions.create(
            prompt=request.prompt, max_tokens=request.sampling.max_tokens, **self._common(request)
        )
        return self._completion(request, answer, answer.choices[0].text if answer.choices else None)

    def _common(self, request: Request) -> Mapping[str, Any]:
        sampling = request.sampling
        stop = {"stop": list(sampling.stop)} if sampling.stop else {}
        return {
            "model": self._config.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
            **stop,
        }

    def _completion(self, request: Request, answer: Any, text: str | None) -> Completion:
        if not answer.choices:
            raise EngineError(f"{self._where()} answered with no choices: is it a /v1 server?")
        self.identity = replace(self.identity, model=answer.model or self._config.model)
        reason = answer.choices[0].finish_reason
        if reason == "content_filter":
            return Completion.refused(request, "the server's content filter refused it")
        return Completion(
            id=request.id,
            text=text or "",
            finish_reason="length" if reason == "length" else "stop",
            prompt_tokens=answer.usage.prompt_tokens if answer.usage else 0,
            completion_tokens=answer.usage.completion_tokens if answer.usage else 0,
        )

    def _failure(self, error: "APIStatusError") -> EngineError:
        if error.status_code in (401, 403):
            return EngineError(f"{self._where()} refused the key: put a valid one into {self._config.api_key_env}")
        if error.status_code == 404:
            return EngineError(f"{self._where()} has no model {self._config.model!r} ({error.message}): check its name")
        return EngineError(f"{self._where()} refused the request ({error.message}): change the setting that it names")

    def _where(self) -> str:
        return self._config.base_url or "OpenAI"


def _is_refusal(code: str, message: str) -> bool:
    return code in _REFUSALS or any(words in message.lower() for words in _TOO_LONG)


def _root(error: BaseException) -> str:
    """Return the cause below the library's "Connection error.", in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip() or type(error).__name__
