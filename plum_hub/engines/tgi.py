"""A running text-generation-inference server, through its own HTTP API (`/info`, `/chat_tokenize`, `/generate`).

TGI 3.x. Its Python client is not used: it cannot be installed beside current versions of the Hub's libraries.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from typing_extensions import override

from plum_hub.engines.base import Completion, Engine, EngineIdentity, Request
from plum_hub.engines.endings import ending
from plum_hub.engines.openai_wire import refused
from plum_hub.engines.pacing import wait_in
from plum_hub.engines.remote import BUSY, RemoteSettings, TryAgainError, answer_all, client_of, json_of, read_body
from plum_hub.engines.revision import checked
from plum_hub.engines.server_errors import ErrorBody, read_error
from plum_hub.errors import EngineError
from plum_hub.network import DIRECT

_PROBE = [{"role": "user", "content": "Hello"}]


class TgiConfig(RemoteSettings):
    """The model that a TGI server serves."""

    type: Literal["tgi"] = "tgi"
    base_url: str = ""
    """For example `http://localhost:8080`. Required; empty only in published settings."""
    model: str = ""
    """The model that the server should serve; any model by default."""

    @override
    def adopting(self, sealed: Self) -> Self:
        """As `EngineSettings.adopting`, with the model that the server served if none is named."""
        named = self if self.model else self.model_copy(update={"model": sealed.model})
        return super(TgiConfig, named).adopting(sealed)

    @override
    def pin(self) -> Self:
        """Fix the model and the commit that the server reports."""
        with TgiEngine(self) as engine:
            return self.model_copy(
                update={"model": engine.identity.model, "revision": engine.identity.revision or None}
            )

    @override
    def open(self) -> "TgiEngine":
        """Connect, and check that the server serves the expected model."""
        return TgiEngine(self)


class TgiEngine(Engine):
    """Client of a TGI server, with many requests in flight. The server renders the chat template; its output is sent
    back.
    """

    def __init__(self, config: TgiConfig) -> None:
        import httpx2

        if not config.base_url:
            raise EngineError("tgi: base_url is missing: name the server, as in  tgi:http://localhost:8080")
        self._config = config
        self._client = client_of(
            lambda: httpx2.Client(base_url=config.base_url, timeout=config.timeout_seconds, mounts=DIRECT)
        )
        self._sends_stops = True
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
    @override
    def has_chat_template(self) -> bool:
        """Whether the server could apply one to a short conversation."""
        return self._has_chat_template

    @override
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer all requests concurrently; each is sent again only while it has no answer."""
        self._check(requests)
        return answer_all(self._config, requests, self._answer)

    @override
    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _greet(self) -> tuple[Mapping[str, Any], bool]:
        """Return what the server says of itself, and whether it can apply a chat template."""
        import httpx2

        where = self._config.base_url
        try:
            answer = self._client.get("/info", timeout=20)
            if not answer.is_success:
                raise self._no_entry("/info", read_error(answer.status_code, answer.content))
            info = dict(answer.json())
            templated = self._client.post("/chat_tokenize", json={"messages": _PROBE}, timeout=20)
        except (httpx2.HTTPError, ValueError, TypeError) as error:
            raise EngineError(
                f"{where} does not answer as a TGI server ({error}): check base_url, or start it"
            ) from error
        said = read_error(templated.status_code, templated.content)
        no_template = said.status == 422 or (said.status == 404 and said.message)  # a page that it lacks has no words
        if not templated.is_success and not no_template:
            raise self._no_entry("/chat_tokenize", said)
        return info, templated.is_success

    def _no_entry(self, path: str, said: ErrorBody) -> EngineError:
        """Explain a server that does not even say what it is."""
        where = f"{self._config.base_url}{path}"
        if said.status in (401, 403):
            return EngineError(
                f"{where} wants a key ({said.reason}), and the tgi engine sends none: name its /v1 with the openai "
                "engine, as in  openai:tgi@URL/v1, and its key with api_key_env"
            )
        if said.status in BUSY:
            return EngineError(f"{where} is busy ({said.reason}): run the same command when it is up")
        return EngineError(f"{where} does not answer as a TGI server of version 3 ({said.reason}): check base_url")

    def _answer(self, request: Request, until: float) -> Completion:
        stops = self._sends_stops
        try:
            return self._read(request, until, stops=stops)
        except _RefusedError as error:
            if error.said.is_own(request):
                return Completion.refused(request, str(error))
            if stops and request.sampling.stop and error.said.names_parameter("stop"):
                self._sends_stops = False  # four at most, as it is started by default; answers are cut here, too
                return self._answer(request, until)
            raise refused(f"{self._config.base_url}{error.path}", error.said) from error
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EngineError(
                f"{self._config.base_url} answered in another form ({error!r}): is it a TGI server?"
            ) from error

    def _read(self, request: Request, until: float, *, stops: bool) -> Completion:
        if isinstance(request.prompt, str):
            tokens, text = self._post("/tokenize", {"inputs": request.prompt}, until), request.prompt
        else:
            templated = self._post("/chat_tokenize", {"messages": request.prompt}, until)
            tokens, text = templated["tokenize_response"], templated["templated_text"]
        answer = self._post("/generate", _body(request, text, stops=stops), until)
        if isinstance(answer, list):  # some versions answer a list of one
            answer = answer[0]
        if "error" in answer:
            said = read_error(200, answer)
            if said.is_own(request):
                return Completion.refused(request, said.words)
            raise TryAgainError(said.words)
        text, stopped = request.sampling.until_stop(answer["generated_text"])
        details = answer["details"]
        end = ending(details["finish_reason"], {})
        if end is None:
            raise TypeError(f"finish_reason {details['finish_reason']!r:.60}")
        return Completion(
            id=request.id,
            text=text,
            finish_reason="stop" if stopped else end,
            prompt_tokens=len(tokens),
            completion_tokens=details["generated_tokens"],
            stop=stopped,
        )

    def _post(self, path: str, body: Mapping[str, Any], until: float) -> Any:
        import httpx2

        try:
            left = max(0.001, until - time.monotonic())
            with self._client.stream("POST", path, json=body, timeout=left) as answer:
                if answer.is_success:
                    return json_of(read_body(answer.iter_bytes(), until))
                answer.read()
        except httpx2.HTTPError as error:
            late = isinstance(error, httpx2.TimeoutException)
            raise TryAgainError(str(error) or type(error).__name__, timed_out=late) from error
        said = read_error(answer.status_code, answer.content)
        if said.is_busy or said.status == 424:  # 424: the generation broke
            raise TryAgainError(said.reason, wait_in(answer.headers), said.status)
        raise _RefusedError(path, said)


class _RefusedError(Exception):
    """The server refused a request."""

    def __init__(self, path: str, said: ErrorBody) -> None:
        super().__init__(said.words)
        self.path, self.said = path, said


def _body(request: Request, text: str, *, stops: bool) -> Mapping[str, Any]:
    """Return a request in TGI's terms; TGI has no temperature 0, and rejects a `top_p` of 1."""
    sampling = request.sampling
    parameters: dict[str, Any] = {
        "max_new_tokens": sampling.max_tokens,
        "seed": request.seed,
        "stop": list(sampling.stop) if stops else [],
        "details": True,
        "do_sample": sampling.temperature > 0,
    }
    if sampling.temperature > 0:
        parameters["temperature"] = sampling.temperature
        if sampling.top_p < 1:
            parameters["top_p"] = sampling.top_p
    # A templated conversation has its special tokens already.
    return {"inputs": text, "parameters": parameters, "add_special_tokens": isinstance(request.prompt, str)}
