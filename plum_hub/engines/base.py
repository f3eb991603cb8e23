"""The engine interface: requests in, text out.

An engine knows nothing of test suites, labels or run folders.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from pydantic import field_validator
from typing_extensions import override

from plum_hub.engines.dtype import DtypeOrAuto, resolved
from plum_hub.engines.names import published
from plum_hub.engines.prices import FREE, TokenPrices
from plum_hub.errors import EngineError
from plum_hub.refusal import SettingsModel

Prompt: TypeAlias = str | list[dict[str, str]]
"""A conversation, to which the engine applies the model's chat template, or plain text to continue."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Sampling settings of one request.

    Attributes:
        temperature: 0 is greedy decoding.
        top_p: Probability mass of nucleus sampling, in (0, 1]; 1 keeps the whole vocabulary.
        max_tokens: Upper bound of the completion, in tokens of the model.
        stop: Strings that end the completion; they are not part of its text.
    """

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()

    def until_stop(self, text: str) -> tuple[str, str]:
        """Cut a text at its first stop string, for engines that return the stop string with the text.

        Args:
            text: The generated text.

        Returns:
            The text before the first stop string, and this string; "" if there is none.
        """
        found = [(text.index(stop), stop) for stop in self.stop if stop in text]
        return (text[: min(found)[0]], min(found)[1]) if found else (text, "")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One completion to generate.

    Attributes:
        id: Comes back with the completion, so that nothing is paired by position.
        prompt: See `Prompt`.
        seed: Seed of this request's own sampling.
        sampling: See `Sampling`.
        schema: JSON schema that the completion must follow; None for free text. For engines that take one.
    """

    id: str
    prompt: Prompt
    seed: int
    sampling: Sampling
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The completion of the request with the same `id`.

    Attributes:
        id: The id of the request.
        text: The generated text, or the reason for a refusal.
        finish_reason: `stop`: the model ended. `length`: `max_tokens` was reached. `refused`: the model cannot answer
            this request, for example because the prompt exceeds its context; a retry would not help.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens that were generated.
        cached_tokens: Those tokens of the prompt that a server had in its cache, and charges less for.
        stop: The stop string that ended the text and that was generated after it; "" if the model ended by itself, or
            the engine does not know.
    """

    id: str
    text: str
    finish_reason: Literal["stop", "length", "refused"]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    stop: str = ""

    @classmethod
    def refused(cls, request: Request, reason: str, prompt_tokens: int = 0, completion_tokens: int = 0) -> Self:
        """Make the completion of a request that the model cannot answer.

        Args:
            request: The request.
            reason: Why, in one line; it becomes the text.
            prompt_tokens: Tokens of the prompt, 0 where they are not known.
            completion_tokens: Tokens that were generated and are not shown.

        Returns:
            A completion with the finish reason `refused`.
        """
        return cls(
            id=request.id, text=reason, finish_reason="refused", prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EngineIdentity:
    """What generated the text: part of row ids, the manifest and the card. It never holds a secret.

    Attributes:
        engine: The engine's name, for example `vllm`.
        engine_version: Version of the library or server.
        model: The model's public name.
        revision: The commit of the model on its Hub, `sha256:…` of a local folder's files, or what the server reports;
            empty where a server does not say.
    """

    engine: str
    engine_version: str
    model: str
    revision: str


class Engine(ABC):
    """A model that is ready to answer. Open one with `config.open()`; close it with `with` or `close()`."""

    identity: EngineIdentity
    counts_tokens: bool = False
    """Whether `generate` calls `on_tokens`. Otherwise tokens are known only when a completion has finished."""
    takes_schema: bool = False
    """Whether completions can be held to a JSON schema (`Request.schema`)."""
    on_tokens: Callable[[int], None] = staticmethod(lambda _: None)
    """Called by `generate`, in its caller's thread, with the number of tokens generated since the last call, whether
    their completions have finished or not. The caller may set it; an exception that it raises ends `generate`.
    """
    on_note: Callable[[str], None] = staticmethod(lambda _: None)
    """Called by `generate` with a line for the user, such as how long a server will take. The caller may set it."""
    folder: Path | None = None
    """Where an engine keeps what it must find again after a restart, such as the id of a batch. The caller may set it;
    nothing is kept without one.
    """
    halt: Event | None = None
    """If another thread sets it, an engine that waits for hours ends `generate`. The caller may give one."""

    @property
    @abstractmethod
    def has_chat_template(self) -> bool:
        """Whether the model takes conversations; a base model takes plain text only."""

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer every request once.

        The same request to the same engine on the same machine gives the same text where the engine can promise that:
        `scripted` always; `transformers` and `vllm` for an equal batch.

        Args:
            requests: Requests with ids that are unique within the call.

        Yields:
            Each completion as soon as it has finished, in any order.

        Raises:
            EngineError: The model or server is unavailable or failed; completions yielded before are valid. Or a
                prompt is a conversation and the model has no chat template; then nothing was generated.
        """

    def _check(self, requests: Sequence[Request]) -> None:
        """Reject requests that the engine cannot take; every `generate` begins with this."""
        if not self.has_chat_template and any(not isinstance(request.prompt, str) for request in requests):
            raise EngineError(
                f"{self.identity.model} has no chat template, and this prompt is a conversation: "
                "name a chat model, as with  --generator ENGINE:MODEL"
            )
        if not self.takes_schema and any(request.schema is not None for request in requests):
            raise EngineError(
                f"the {self.identity.engine} engine cannot hold answers to a JSON schema: set suites.structured=false"
            )

    def close(self) -> None:  # noqa: B027 - most engines hold nothing
        """Free the model. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def in_a_line(error: BaseException) -> str:
    """Format an exception for use within a message.

    Args:
        error: Any exception.

    Returns:
        Its text in one line of at most 300 characters, or its type's name where it has no text.
    """
    return " ".join(str(error).split())[:300] or type(error).__name__


class EngineSettings(SettingsModel, ABC):
    """Settings that every engine has; each engine's module adds its own."""

    model: str
    """A Hub repository, a local folder, a name that the server knows, or a file of answers."""
    revision: str | None = None
    """Exact version of the model: a commit, `sha256:…` of local files, or what the server reports. Set by `pin`."""

    def public(self) -> Self:
        """Remove what must not be published, such as the place of the model on this machine.

        Returns:
            Settings in which the model has its public name.
        """
        return self.model_copy(update={"model": published(self.model, self.revision)})

    def text_settings(self) -> dict[str, object]:
        """Collect the settings that change the text, besides model and revision.

        Returns:
            Names and values; they are part of row ids.
        """
        return {}

    @property
    def fixed_dtype(self) -> str | None:
        """The dtype that a model runs in once its settings are sealed; None where it is not known, as of a server."""
        return None

    def takes_conversations(self) -> bool:
        """Tell whether the model has a chat template.

        Returns:
            False for a base model, which continues plain text only.

        Raises:
            EngineError: The model, its tokenizer or its server cannot be reached.
            MissingExtraError: The library is not installed.
        """
        with self.open() as engine:
            return engine.has_chat_template

    def schema_problem(self) -> str | None:
        """Tell why answers cannot be held to a JSON schema.

        Returns:
            The reason, in a few words; None if they can.

        Raises:
            EngineError: The server cannot be reached.
        """
        return f"the {getattr(self, 'type', '')} engine cannot hold answers to a JSON schema"

    def begun_answer(self, turns: list[dict[str, str]]) -> str:
        """Render a conversation whose last turn is the beginning of the model's answer, as text to continue.

        Args:
            turns: Turns with `role` and `content`; the last one is the assistant's.

        Returns:
            The text, as a prompt for this engine.

        Raises:
            EngineError: The engine takes whole conversations only, or the chat template refuses this one.
            MissingExtraError: The library is not installed.
        """
        roles = ", ".join(turn["role"] for turn in turns)
        raise EngineError(
            f"{self.model} is on a server, which takes whole conversations and cannot go on with the last turn of "
            f"{roles}: use the engine vllm or transformers, or  --set samples.prompt=auto"
        )

    @property
    def answers_later(self) -> bool:
        """Whether answers come together after hours, as from a batch: there is no speed to measure."""
        return False

    def usd_per_million_tokens(self) -> TokenPrices | None:
        """Price the model's tokens.

        Returns:
            US dollars for a million tokens; None where the price is not known.
        """
        return None

    def adopting(self, sealed: Self) -> Self:
        """Fill in what these settings leave open.

        Args:
            sealed: The settings that a run was sealed with.

        Returns:
            These settings, completed from `sealed`.
        """
        return self.model_copy(update={"revision": sealed.revision}) if self.revision is None else self

    @abstractmethod
    def pin(self) -> Self:
        """Fix everything that decides about the text: the revision, and every `auto`.

        Returns:
            Settings that open the same model later, or raise.

        Raises:
            EngineError: The model is unknown or unreachable, or is not the one that was pinned before.
        """

    @abstractmethod
    def open(self) -> Engine:
        """Open the engine.

        Returns:
            The engine, ready to answer.

        Raises:
            EngineError: As `pin`; or the model does not load, or the server does not answer.
            MissingExtraError: The library is not installed.
        """

    def open_sealed(self) -> Engine:
        """Open the engine of a sealed run, which an earlier version may have sealed with `auto` in its settings.

        Returns:
            The engine, ready to answer.

        Raises:
            EngineError: As `open`.
            MissingExtraError: The library is not installed.
        """
        return self.open()


class LocalSettings(EngineSettings):
    """Settings of the engines that run a model on this machine."""

    dtype: DtypeOrAuto = "auto"
    """`auto`: on a CPU, bfloat16 where it has instructions for it, else float32; on a GPU, the model's own dtype. A
    run is sealed with the dtype that `auto` resolves to.
    """
    base: str | None = None
    """Of a model that consists of LoRA adapters: the model that they belong to, a Hub repository or a folder. By
    default the one that their configuration names."""
    base_revision: str | None = None
    """Exact version of that model. Set when a run begins."""
    form: str = "auto"
    """How the model is asked. `own`: by its tokenizer's chat template, or by completion if it has none; or the form of
    a family: `codellama`, `codeqwen`, `codeqwen-base`, `deepseek-coder`, `deepseek-coder-base`, `magicoder`,
    `starcoder2-base`, `wizardcoder`. `auto` takes the family's form where the tokenizer lacks a chat template, and asks
    the base models of these families by completion; the run keeps it.
    """

    @field_validator("form")
    @classmethod
    def _is_known(cls, form: str) -> str:
        from plum_hub.engines.forms import AUTO, OWN, forms

        if form not in (known := (AUTO, OWN, *forms())):
            raise ValueError(f"there is no form {form!r}; take one of {', '.join(known)}")
        return form

    @override
    def text_settings(self) -> dict[str, object]:
        """Return what changes the text: the dtype, an adapter's base, and the form unless it is the model's own."""
        base = {} if self.base_revision is None else {"base": self.base_revision}
        form = {} if self.form in ("auto", "own") else {"form": self.form}
        return {"dtype": self.dtype, **base, **form}

    @override
    def public(self) -> Self:
        """As `EngineSettings.public`; the base, too, has its public name."""
        base = None if self.base is None else published(self.base, self.base_revision)
        return super().public().model_copy(update={"base": base})

    def _pinned(self, *, keeps_float32: bool) -> Self:
        """Pin the revision, that of an adapter's base, the dtype and the form."""
        from plum_hub.engines.adapter import pinned_base
        from plum_hub.engines.revision import exact_revision

        pinned = self.model_copy(update={"revision": exact_revision(self.model, self.revision)})
        pinned = pinned.model_copy(update=pinned_base(pinned))
        weights = (pinned.model, pinned.revision) if pinned.base is None else (pinned.base, pinned.base_revision)
        dtype = resolved(self.dtype, *weights, keeps_float32=keeps_float32)
        return pinned.model_copy(update={"dtype": dtype, "form": pinned._sealed_form()})

    def _sealed_form(self) -> str:
        """Resolve `form: auto`; the tokenizer is read for models of a known family only."""
        from plum_hub.engines.forms import OWN, chosen, family, names_of
        from plum_hub.engines.tokenizer import has_chat_template

        if self.form != "auto":
            return self.form
        name = family((*names_of(self.model), *(names_of(self.base) if self.base else ())))
        return OWN if name is None else chosen(name, has_chat_template(self))

    @property
    def fixed_dtype(self) -> str | None:
        """The sealed dtype; None for `auto`, which a run of an early version may hold."""
        return self.dtype if self.dtype != "auto" else None

    @override
    def takes_conversations(self) -> bool:
        """Read the tokenizer alone: opening the engine would load the weights."""
        from plum_hub.engines.forms import forms
        from plum_hub.engines.tokenizer import has_chat_template

        form = forms().get(self.form)
        return has_chat_template(self) if form is None else not form.base

    @override
    def begun_answer(self, turns: list[dict[str, str]]) -> str:
        """Apply the model's chat template."""
        from plum_hub.engines.tokenizer import begun_answers

        (text,) = begun_answers(self, [turns])
        return text

    @override
    def usd_per_million_tokens(self) -> TokenPrices:
        """Return zero: a model on this machine costs nothing."""
        return FREE

    @override
    def adopting(self, sealed: Self) -> Self:
        """As `EngineSettings.adopting`; `auto` becomes what was sealed."""
        adopted = super().adopting(sealed)
        opened = [name for name in ("dtype", "form") if getattr(self, name) == "auto"]
        opened += [name for name in ("base", "base_revision") if getattr(self, name) is None]
        return adopted.model_copy(update={name: getattr(sealed, name) for name in opened})
