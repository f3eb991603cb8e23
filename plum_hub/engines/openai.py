"""Any server that speaks the OpenAI API: OpenAI itself, vLLM, llama.cpp, TGI's `/v1` and many more."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from typing_extensions import override

from plum_hub.engines.base import Completion, Engine, EngineIdentity, Prompt, Request, Sampling
from plum_hub.engines.dialect import PARAMETERS, Dialect
from plum_hub.engines.endings import Ending
from plum_hub.engines.events import is_stream, joined
from plum_hub.engines.model_list import closest, listed_models
from plum_hub.engines.openai_wire import (
    NO_CHOICES,
    ErrorAnswerError,
    SchemaRefusedError,
    completion_of,
    harmless,
    refused,
    request_body,
)
from plum_hub.engines.pacing import wait_in
from plum_hub.engines.prices import TokenPrices, list_prices
from plum_hub.engines.remote import (
    BUSY,
    LACKING,
    RemoteSettings,
    TryAgainError,
    answer_all,
    client_of,
    json_of,
    read_body,
)
from plum_hub.engines.server_errors import ErrorBody, read_error
from plum_hub.errors import EngineError
from plum_hub.network import DIRECT, can_be_key
from plum_hub.redaction import keep_secret

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

_OTHERS = frozenset(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"))
"""Environment variables worth more than a key of a server; a recipe that somebody sends may name them."""
_BATCH_FACTOR = 0.5
"""What a request costs in a batch, as a share of its price; OpenAI's guide to batches gives it."""
_PROBE = {
    "type": "object",
    "properties": {"ready": {"type": "boolean"}},
    "required": ["ready"],
    "additionalProperties": False,
}
"""A small schema, to see whether the server holds answers to one."""
_IN_EVALUATE = {"temperature": " (--temperature of evaluate)", "top_p": " (--top-p of evaluate)"}
"""How parameters are changed where there is no recipe."""

_T = TypeVar("_T")


class OpenAIConfig(RemoteSettings):
    """A model behind a `/v1` endpoint; `model` is the server's name for it."""

    type: Literal["openai"] = "openai"
    base_url: str | None = None
    """For example `http://localhost:8000/v1`; OpenAI's own endpoint by default."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key. The key itself is never written anywhere."""
    chat: bool = True
    """False for a base model, which takes plain text only (`/completions`)."""
    omit: tuple[Literal["seed", "temperature", "top_p"], ...] = ()
    """Parameters that are not sent, for a server that refuses them; it then samples with its own values. Part of row
    ids. Other names of parameters (`max_completion_tokens`, `random_seed`) are found out."""
    finish_reasons: dict[str, Ending] = Field(default_factory=dict)
    """What values of `finish_reason` mean that only this server has: `stop` (the model ended by itself), `length` (the
    answer was cut) or `refused`. An unknown one is an error, since an answer that is not whole must not be labelled."""
    batch: bool = False
    """Whether requests are sent by the Batch API (`/v1/batches`): answers come within 24 hours, for half the price."""
    batch_requests: int = Field(default=50_000, ge=1, le=50_000)
    """Most requests of one batch."""
    batch_poll_seconds: float = Field(default=10.0, gt=0)
    """Time between the first two looks at a batch, in seconds; it grows by half each time, up to five minutes."""
    usd_per_million_input: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens, for `--dry-run`, `--budget` and `status`, without the discount of a batch. By
    default OpenAI's list price for a model of theirs."""
    usd_per_million_output: float | None = Field(default=None, ge=0)
    """Price of a million generated tokens, likewise."""
    usd_per_million_cached_input: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens that the server had in its cache; by default the list price, or that of other
    prompt tokens where `usd_per_million_input` is set."""

    @model_validator(mode="after")
    def _own_key_only(self) -> Self:
        """Refuse to send the Hub's token, or the machine's keys, to a server that a recipe names."""
        host = urlsplit(self.base_url or "").hostname or ""
        to_the_hub = host == "huggingface.co" or host.endswith(".huggingface.co")
        if self.api_key_env in _OTHERS and not (to_the_hub and self.api_key_env.startswith("H")):
            raise EngineError(
                f"api_key_env names {self.api_key_env}, which is no key of {self.base_url or 'OpenAI'}: "
                "put that server's key into an environment variable of its own, and name it with api_key_env"
            )
        return self

    @override
    def text_settings(self) -> dict[str, object]:
        """Chat or completion, what is not sent, and the server: by a digest, since its address is private."""
        server = self.address and hashlib.sha256(self.address.encode()).hexdigest()[:16]
        omitted: dict[str, object] = {"omit": sorted(self.omit)} if self.omit else {}
        return {"chat": self.chat, "server": server, **omitted}

    @override
    def schema_problem(self) -> str | None:
        """Ask the server for one answer of a few tokens by a small schema: it may refuse the schema, or ignore it."""
        with self.model_copy(update={"batch": False}).open() as engine:
            return engine.try_schema()

    @property
    def answers_later(self) -> bool:
        """Whether requests go by batch."""
        return self.batch

    @override
    def usd_per_million_tokens(self) -> TokenPrices | None:
        """Return the prices in the settings, else OpenAI's list price (`prices.yaml`); half of them for a batch."""
        address = self.located().base_url
        of_openai = address is None or urlsplit(address).hostname == "api.openai.com"
        prices = list_prices().get(self.model) if of_openai else None
        given, cached = self.usd_per_million_input, self.usd_per_million_cached_input
        if given is not None or self.usd_per_million_output is not None:
            prices = self._given_prices(prices)
        if prices is not None and cached is not None:
            prices = prices._replace(cached_input=cached)
        return prices.times(_BATCH_FACTOR) if prices is not None and self.batch else prices

    def _given_prices(self, listed: TokenPrices | None) -> TokenPrices | None:
        """Return the prices in the settings, with that of the list for one that is not set; None if there is none."""
        paid, made = self.usd_per_million_input, self.usd_per_million_output
        cached = paid if paid is not None else listed and listed.cached_input
        paid = paid if paid is not None else listed and listed.input
        made = made if made is not None else listed and listed.output
        return None if paid is None or made is None or cached is None else TokenPrices(paid, made, cached)

    @property
    def address(self) -> str | None:
        """The server: `base_url`, or `OPENAI_BASE_URL` of the environment; None for OpenAI's own."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or None

    def located(self) -> Self:
        """Name the server in the settings, also where the environment does: another server is another model.

        Returns:
            Settings with `base_url`, if it is not OpenAI's own.
        """
        if self.address == self.base_url:
            return self
        return type(self).model_validate(self.model_dump() | {"base_url": self.address})

    @override
    def adopting(self, sealed: Self) -> Self:
        """As `EngineSettings.adopting`, of the server that the environment names."""
        return super(OpenAIConfig, self.located()).adopting(sealed)

    @override
    def pin(self) -> Self:
        """Name the server, and check that it answers. It knows models by name only: there is no revision to fix."""
        located = self.located()
        located.open().close()
        return located

    @override
    def open(self) -> "OpenAIEngine":
        """Connect, and check that the server accepts the key, knows the model, and has batches if they are wanted."""
        return OpenAIEngine(self)


class OpenAIEngine(Engine):
    """Client of a `/v1` server, with many requests in flight or in batches."""

    takes_schema = True

    def __init__(self, config: OpenAIConfig) -> None:
        import openai

        config = config.located()
        keep_secret(config.api_key_env)
        key = _bare(config.api_key_env)
        if not key and config.base_url is None:
            raise EngineError(
                f"openai:{config.model} needs a key: set {config.api_key_env}, or base_url for a server of yours"
            )
        self.config = config
        self.client: OpenAI = client_of(
            lambda: openai.OpenAI(
                base_url=config.base_url,
                api_key=key or "none",
                organization=_bare("OPENAI_ORG_ID") or None,
                project=_bare("OPENAI_PROJECT_ID") or None,
                max_retries=0,
                timeout=config.timeout_seconds,
                http_client=openai.DefaultHttpxClient(mounts=DIRECT),
            )
        )
        self.identity = EngineIdentity(
            engine="openai", engine_version=openai.__version__, model=config.model, revision=config.revision or ""
        )
        self._dialect = Dialect(config.omit)
        self._listed: list[str] = []
        """The models that the server names."""
        self._greet()
        if config.batch:
            self._find_batches()

    @property
    @override
    def has_chat_template(self) -> bool:
        """As configured: the server applies the template."""
        return self.config.chat

    @property
    def where(self) -> str:
        """The server, for messages."""
        return self.config.base_url or "OpenAI"

    @override
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer all requests, concurrently or by batch; each is sent again only while it has no answer."""
        self._check(requests)
        if self.config.batch:
            from plum_hub.engines.openai_batch import answer_in_batches

            return answer_in_batches(self, requests)
        return answer_all(self.config, requests, self._answer)

    @override
    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def try_schema(self) -> str | None:
        """Ask for one answer of a few tokens by a small schema.

        Returns:
            Why the server does not hold answers to a schema; None if it does.

        Raises:
            EngineError: The server failed for another reason.
        """
        prompt = [{"role": "user", "content": "Are you ready? Answer with a JSON object."}]
        sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=16)
        request = Request(id="schema", prompt=prompt, seed=0, sampling=sampling, schema=_PROBE)
        try:
            (answer,) = self.generate([request])
        except SchemaRefusedError as error:
            return str(error)
        if answer.text and not answer.text.lstrip().startswith("{"):  # empty if a model thinks first
            return f"{self.where} ignores the JSON schema that answers should follow"
        return None

    def plain_body(self, request: Request) -> dict[str, object]:
        """Build the body of a request in OpenAI's terms, which are the same at every start.

        Args:
            request: The request.

        Returns:
            JSON values.
        """
        return request_body(request, self.config.model, own_server=self.config.base_url is not None)

    def body(self, request: Request) -> dict[str, object]:
        """Build the body of a request as this server takes it, as far as that is known.

        Args:
            request: The request.

        Returns:
            JSON values.
        """
        return self._dialect.spoken(self.plain_body(request))

    def learns(self, request: Request, said: ErrorBody) -> bool:
        """Tell whether a refused request should be sent again with parameters that the server takes.

        Args:
            request: The request.
            said: What the server said.

        Returns:
            True if they mean the same.
        """
        return self._dialect.learn(self.plain_body(request), said)

    def read(self, request: Request, answer: Any) -> Completion:
        """Read an answer, and remember what the server calls the model.

        Args:
            request: The request.
            answer: The JSON value of the answer.

        Returns:
            The completion.

        Raises:
            TryAgainError: The server is busy.
            EngineError: This is no answer of a `/v1` server.
        """
        completion = completion_of(request, answer, self.where, self.config.finish_reasons)
        named = answer.get("model")
        self.identity = replace(self.identity, model=named if named and isinstance(named, str) else self.config.model)
        return completion

    def asked(self, call: Callable[[], _T]) -> _T:
        """Call the client once, and translate its errors.

        Args:
            call: Uses the client.

        Returns:
            What `call` returned.

        Raises:
            TryAgainError: The server is busy or the connection broke.
            APIStatusError: The server refused the request for a reason of its own.
        """
        import httpx2
        import openai

        try:
            answer = call()
            if isinstance(answer, str):  # what the client makes of another type of content
                raise TryAgainError(f"the answer is not JSON ({answer[:60]!r})")
            return answer
        except json.JSONDecodeError as error:
            raise TryAgainError(f"the answer is not JSON ({error})") from error
        except openai.APIStatusError as error:
            if (said := said_by(error)).is_busy:
                raise TryAgainError(said.reason, wait_in(error.response.headers), error.status_code) from error
            raise
        except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:  # timeouts are of these
            if isinstance(error.__cause__ or error, httpx2.TooManyRedirects):
                raise EngineError(f"{self.where} redirects without an end: check base_url") from error
            late = isinstance(error, openai.APITimeoutError | httpx2.TimeoutException)
            raise TryAgainError(_root(error), timed_out=late) from error

    def failure(self, error: "APIStatusError | ErrorAnswerError") -> EngineError:
        """Explain a request that the server refused.

        Args:
            error: The client's error, or an error in place of an answer.

        Returns:
            An error that names what to change.
        """
        said, where, key = said_by(error), self.where, self.config.api_key_env
        if not isinstance(error, ErrorAnswerError) and error.response.history:
            moved = str(error.response.url.copy_with(query=None)).removesuffix("/completions").removesuffix("/chat")
            return EngineError(f"{where} redirects to {moved}: put that address into base_url")
        if said.is_out_of_credit:
            return EngineError(
                f"{where} has no credit left for the key in {key} ({said.words}): "
                "add some, and run the same command again, which keeps every answer"
            )
        if said.names_the_key:
            return EngineError(f"{where} refused the key ({said.words}): put a valid one into {key}")
        if said.status == 403:
            return EngineError(f"{where} does not allow this ({said.words}): check what the key in {key} may use")
        if said.lacks_the_model and self._listed and self.config.model not in self._listed:
            some = ", ".join(closest(self.config.model, self._listed))
            return EngineError(f"{where} has no model {self.config.model!r}: name one it has ({some})")
        if said.lacks_the_model:
            return EngineError(f"{where} has no model {self.config.model!r} ({said.words}): check its name")
        if said.status in LACKING:
            return EngineError(
                f"{where} has no such page ({said.words}): check base_url, which ends before /chat/completions, mostly "
                "with /v1, and has no query"
            )
        return refused(where, said)

    def without_batches(self, error: "APIStatusError") -> EngineError:
        """Explain that a server has no batches.

        Args:
            error: The client's error.

        Returns:
            An error that names the key to unset.
        """
        return EngineError(
            f"{self.where} has no Batch API (status {error.status_code}): "
            "unset generator.batch (policy.batch for the policy)"
        )

    def _greet(self) -> None:
        """List the models, and ask one that is not listed for a word, so that a wrong address, key or name is reported
        before a run is made. Gateways take names that they do not list, and some keys may not list any.
        """
        listed = self._first(listed_models, missing=self.failure)
        self._listed = listed or []
        if listed is not None and self.config.model not in listed:
            self._try_model()

    def _try_model(self) -> None:
        import openai

        words = "Answer with one word: ready."
        prompt: Prompt = [{"role": "user", "content": words}] if self.config.chat else words
        sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=16)
        request = Request(id="model", prompt=prompt, seed=0, sampling=sampling)
        with suppress(TryAgainError):  # there, and busy: `generate` waits for it
            try:
                self.asked(lambda: self._post(request, time.monotonic() + 20))
            except openai.APIStatusError as error:
                said = said_by(error)
                if said.status in (403, *LACKING) or said.names_the_key or said.is_out_of_credit:
                    raise self.failure(error) from error

    def _find_batches(self) -> None:
        """Check that the server has batches, before a run is made that needs them."""
        self._first(lambda client: len(client.batches.list(limit=1).data), missing=self.without_batches)

    def _first(self, call: Callable[["OpenAI"], _T], missing: "Callable[[APIStatusError], EngineError]") -> _T | None:
        """Ask the server something that costs nothing: None if it is busy."""
        import openai

        try:
            return call(self.client.with_options(timeout=20))
        except openai.APIStatusError as error:
            if error.status_code in BUSY:
                return None  # there, and busy: `generate` waits for it
            raise (missing if error.status_code in LACKING else self.failure)(error) from error
        except openai.APIConnectionError as error:
            raise EngineError(
                f"{self.where} cannot be reached ({_root(error)}): check base_url, or start it"
            ) from error
        except (ValueError, AttributeError, TypeError) as error:
            raise EngineError(f"{self.where} does not answer as a /v1 server ({error}): check base_url") from error

    def _answer(self, request: Request, until: float) -> Completion:
        import openai

        asked_again = False
        while True:
            sent = self.body(request)
            try:
                return self.read(request, self.asked(lambda: self._post(request, until)))
            except (openai.APIStatusError, ErrorAnswerError) as error:
                said = said_by(error)
                if self.learns(request, said) and self.body(request) != sent:
                    continue
                if said.message == NO_CHOICES and not asked_again:
                    asked_again = True  # it may have been a whim of a gateway
                    continue
                if (own := self.own_refusal(request, said, until)) is not None:
                    return own
                raise self.refusal(request, error) from error

    def own_refusal(self, request: Request, said: ErrorBody, until: float) -> Completion | None:
        """Find out whether a server refused this very request, or would refuse every one with its settings.

        Where the words do not tell, the server is asked for an answer to harmless words with the same settings. So an
        outage is not taken for a refusal, and it does not depend on other requests what becomes of this one.

        Args:
            request: The request.
            said: What the server said.
            until: When to give up, by `time.monotonic()`.

        Returns:
            The refused completion, with the tokens of that answer, if others may succeed; else None.

        Raises:
            TryAgainError: The server is busy or the connection broke.
        """
        import openai

        if said.is_own(request):
            return Completion.refused(request, said.words)
        if not said.is_about_the_request:
            return None
        other = harmless(request)
        try:
            answer = self.read(other, self.asked(lambda: self._post(other, until)))
        except (openai.APIStatusError, ErrorAnswerError):
            return None
        return Completion.refused(request, said.words, answer.prompt_tokens, answer.completion_tokens)

    def refusal(self, request: Request, error: "APIStatusError | ErrorAnswerError") -> EngineError:
        """Explain why the server refuses every request with these settings.

        Args:
            request: One of them.
            error: The client's error, or an error in place of an answer.

        Returns:
            As `failure`; a `SchemaRefusedError` if the request has a schema, and that may be why.
        """
        said = said_by(error)
        if name := self._dialect.refused(said):
            option = _IN_EVALUATE.get(name, "")
            return EngineError(
                f"{self.where} does not take {name} as it is set ({said.words}): change it{option}, or begin a run "
                f"with --carry-over and  --set generator.omit=[{name}]  (policy.omit for the policy) to leave it out"
            )
        if request.schema is not None and said.status in (200, 400, 422) and not said.names_the_key:
            return SchemaRefusedError(
                f"{self.where} refused a request for an answer by a JSON schema ({said.words}): set "
                "suites.structured=false, or change the setting that it names"
            )
        return self.failure(error)

    def _post(self, request: Request, until: float) -> Any:
        """Send a request and read the answer as it arrives, since the client's own time limit is one of silence."""
        resource: Any = self.client.completions if isinstance(request.prompt, str) else self.client.chat.completions
        left = max(0.001, until - time.monotonic())
        body = self.body(request)
        foreign = {name: body.pop(name) for name in PARAMETERS if name in body}  # the client takes OpenAI's names only
        with resource.with_streaming_response.create(**body, extra_body=foreign, timeout=left) as answer:
            data = read_body(answer.iter_bytes(), until)
        return joined(data) if is_stream(data) else json_of(data)


def _bare(variable: str) -> str:
    """Read what goes into a header, without the line break that a file leaves at its end."""
    key = os.environ.get(variable, "").strip()
    if not can_be_key(key):
        raise EngineError(
            f"{variable} holds a character that no key has, such as a quote or a line break, or begins with Bearer: "
            "set it to the bare key"
        )
    return key


def said_by(error: "APIStatusError | ErrorAnswerError") -> ErrorBody:
    """Read what a server said.

    Args:
        error: The client's error, or an error in place of an answer.

    Returns:
        Its words and codes.
    """
    return error.body if isinstance(error, ErrorAnswerError) else read_error(error.status_code, error.response.content)


def _root(error: BaseException) -> str:
    """Return the cause below the library's "Connection error.", in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip() or type(error).__name__
