"""A running text-generation-inference server, by its own HTTP API (`/info`, `/chat_tokenize`, `/generate`).

TGI 3.x. Its Python client is not used: it cannot be installed beside current versions of the Hub's libraries.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from plum_hub.engines.base import Completion, Engine, EngineIdentity, Request
from plum_hub.engines.remote import BUSY, RemoteSettings, TryAgainError, answer_all
from plum_hub.engines.revision import checked
from plum_hub.errors import EngineError

_PROBE = [{"role": "user", "content": "Hello"}]


class TgiConfig(RemoteSettings):
    """The one model that a TGI server serves."""

    type: Literal["tgi"] = "tgi"
    base_url: str = ""
    """Such as `http://localhost:8080`; needed, and left out only where settings are published."""
    model: str = ""
    """What the server should serve; whatever it serves when not set."""

    def pin(self) -> Self:
        """With the model and commit that the server reports."""
        with TgiEngine(self) as engine:
            return self.model_copy(
                update={"model": engine.identity.model, "revision": engine.identity.revision or None}
            )

    def open(self) -> "TgiEngine":
        """Connect, and make sure that the server serves the model that is meant."""
        return TgiEngine(self)


class TgiEngine(Engine):
    """Asks a TGI server, many requests at once. The server applies the chat template, we send it what comes out."""

    def __init__(self, config: TgiConfig) -> None:
        import httpx2

        if not config.base_url:
            raise EngineError("tgi: base_url is missing: name the server, as in  tgi:http://localhost:8080")
        self._config = config
        self._client = httpx2.Client(base_url=config.base_url, timeout=config.timeout_seconds)
        info, self._has_chat_template = self._greet()
        model = str(info.get("model_id", ""))
        if config.model and config.model != model:
            raise EngineError(
                f"{config.base_url} serves {model}, not {config.model}: name that model, or another server"
            )
        revision = str(info.get("model_sha") or "")
        self.identity = EngineIdentity(
            engine="tgi",
            engine_version=str(info.get("version", "")),
            model=model,
            revision=checked(f"{model} at {config.base_url}", revision, config.revision),
        )

    @property
    def has_chat_template(self) -> bool:
        """Whether the server could apply one to a short conversation."""
        return self._has_chat_template

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer every request, many at once, each sent again only while it has no answer.

        Raises:
            EngineError: the server refuses what we ask, does not answer for long, or serves a base model, which is
                given a conversation.
        """
        self._check(requests)
        return answer_all(self._config, requests, self._answer)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _greet(self) -> tuple[Mapping[str, Any], bool]:
        """What the server says of itself, and whether it can apply a chat template."""
        import httpx2

        try:
            answer = self._client.get("/info", timeout=20)
            answer.raise_for_status()
            templated = self._client.post("/chat_tokenize", json={"messages": _PROBE}, timeout=20)
            return dict(answer.json()), templated.is_success
        except (httpx2.HTTPError, ValueError, TypeError) as error:
            raise EngineError(
                f"{self._config.base_url} does not answer as a TGI server ({error}): check base_url, or start it"
            ) from error

    def _answer(self, request: Request) -> Completion:
        try:
            if isinstance(request.prompt, str):
                tokens, text = self._post("/tokenize", {"inputs": request.prompt}), request.prompt
            else:
                templated = self._post("/chat_tokenize", {"messages": request.prompt})
                tokens, text = templated["tokenize_response"], templated["templated_text"]
            answer = self._post("/generate", _body(request, text))
        except _RefusedError as error:
            return Completion.refused(request, str(error))
        if isinstance(answer, list):  # some versions answer a list of one
            answer = answer[0]
        text, stopped = request.sampling.until_stop(answer["generated_text"])
        details = answer["details"]
        return Completion(
            id=request.id,
            text=text,
            finish_reason="length" if details["finish_reason"] == "length" and not stopped else "stop",
            prompt_tokens=len(tokens),
            completion_tokens=details["generated_tokens"],
        )

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        import httpx2

        try:
            answer = self._client.post(path, json=body)
        except httpx2.HTTPError as error:
            raise TryAgainError(str(error) or type(error).__name__) from error
        if answer.is_success:
            return answer.json()
        if answer.status_code in BUSY or answer.status_code == 424:  # 424: the generation broke
            raise TryAgainError(f"status {answer.status_code}", answer.headers.get("retry-after"))
        reason = _reason(answer.text)
        if answer.status_code in (413, 422) and "tokens" in reason:
            raise _RefusedError(reason)
        raise EngineError(
            f"{self._config.base_url}{path} refused the request ({reason}): change the setting that it names"
        )


class _RefusedError(Exception):
    """The request does not fit the model."""


def _body(request: Request, text: str) -> Mapping[str, Any]:
    """The request in TGI's words; it knows no temperature 0, and a `top_p` of 1 is not sent."""
    sampling = request.sampling
    parameters: dict[str, Any] = {
        "max_new_tokens": sampling.max_tokens,
        "seed": request.seed,
        "stop": list(sampling.stop),
        "details": True,
        "do_sample": sampling.temperature > 0,
    }
    if sampling.temperature > 0:
        parameters["temperature"] = sampling.temperature
        if sampling.top_p < 1:
            parameters["top_p"] = sampling.top_p
    # A templated conversation has its special tokens already.
    return {"inputs": text, "parameters": parameters, "add_special_tokens": isinstance(request.prompt, str)}


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]
