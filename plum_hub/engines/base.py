"""What an engine promises.

An engine turns requests into text. It has never heard of a test suite, a label or a run folder.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from plum_hub.engines.dtype import DtypeOrAuto
from plum_hub.engines.names import published
from plum_hub.errors import EngineError

Prompt: TypeAlias = str | list[dict[str, str]]
"""A conversation (the engine applies the model's chat template), or plain text to be continued."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample. `temperature` 0 is greedy; `max_tokens` bounds the completion, in tokens of the model."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()

    def until_stop(self, text: str) -> tuple[str, bool]:
        """The text before the first stop string, and whether there was one; for engines that keep the stop string."""
        found = [text.index(stop) for stop in self.stop if stop in text]
        return (text[: min(found)], True) if found else (text, False)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One completion to be made. `id` comes back with the answer, so that nothing is ever paired by position."""

    id: str
    prompt: Prompt
    seed: int
    sampling: Sampling


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The answer to the request with the same `id`.

    `finish_reason` is `stop` (the model ended), `length` (`max_tokens` was reached) or `refused` (this very request
    cannot be answered by this model, as a prompt longer than its context; then `text` is the reason, and asking again
    would not help)."""

    id: str
    text: str
    finish_reason: Literal["stop", "length", "refused"]
    prompt_tokens: int
    completion_tokens: int

    @classmethod
    def refused(cls, request: Request, reason: str, prompt_tokens: int = 0) -> Self:
        """The answer that there is none."""
        return cls(
            id=request.id, text=reason, finish_reason="refused", prompt_tokens=prompt_tokens, completion_tokens=0
        )


@dataclass(frozen=True, kw_only=True)
class EngineIdentity:
    """What wrote the text: goes into row ids, the manifest and the card. Never holds a secret.

    `revision` is the commit of the model on its Hub, `sha256:…` of a local folder's files, or what the server reports;
    an empty string where a server does not say."""

    engine: str
    engine_version: str
    model: str
    revision: str


class Engine(ABC):
    """A model that is ready to answer. Open it with `config.open()`, close it with `with` or `close()`."""

    identity: EngineIdentity
    counts_tokens: bool = False
    """Whether `generate` calls `on_tokens`; where not, tokens are known only when a completion is finished."""
    on_tokens: Callable[[int], None] = staticmethod(lambda _: None)
    """Called by `generate`, in its caller's thread, with the number of tokens written since the last call, in answers
    finished or not. The caller may set it; an exception that it raises ends `generate`."""

    @property
    @abstractmethod
    def has_chat_template(self) -> bool:
        """Whether conversations can be sent; a base model takes plain text only."""

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer every request once, yielding each completion as soon as it is finished, in any order.

        The same request to the same engine on the same machine gives the same text where the engine can promise it
        (`scripted` always; `transformers` and `vllm` for an equal batch). Ids are unique within one call.

        Raises:
            EngineError: the model or the server cannot be had, or broke; completions yielded before stand. Or a prompt
                is a conversation and there is no chat template; then nothing was generated.
        """

    def _check(self, requests: Sequence[Request]) -> None:
        """Refuse a conversation that no template can make a text of; every `generate` begins with this."""
        if not self.has_chat_template and any(not isinstance(request.prompt, str) for request in requests):
            raise EngineError(
                f"{self.identity.model} has no chat template, and this prompt is a conversation: "
                "name a chat model, as with  --generator ENGINE:MODEL"
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
    """What an error says, in one line of 300 characters at most, or its kind where it says nothing."""
    return " ".join(str(error).split())[:300] or type(error).__name__


class EngineSettings(BaseModel, ABC):
    """What every engine's configuration has; each engine's own file has the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """The model: a Hub repository, a local folder, a name that a server knows, or a file of answers."""
    revision: str | None = None
    """Which one exactly: a commit, `sha256:…` of local files, or what the server reports. `pin` fills it in."""

    def public(self) -> Self:
        """These settings as they may be published: nothing in them says where on this machine the model lies."""
        return self.model_copy(update={"model": published(self.model, self.revision)})

    def text_settings(self) -> dict[str, object]:
        """What beside model and revision decides about the text; it goes into the ids of rows."""
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

    def usd_per_million_tokens(self) -> tuple[float, float] | None:
        """Price the model's tokens.

        Returns:
            US dollars for a million prompt tokens and for a million generated ones; None where the price is not known.
        """
        return None

    def adopting(self, sealed: Self) -> Self:
        """These settings with what they leave open taken from those that a run was sealed with."""
        return self.model_copy(update={"revision": sealed.revision}) if self.revision is None else self

    @abstractmethod
    def pin(self) -> Self:
        """The same configuration with `revision` fixed, so that opening it later gives the same model or an error, and
        with every `auto` that decides about the text replaced by what it stands for on this machine.

        Raises:
            EngineError: the model is unknown or out of reach, or is not the one that was pinned before.
        """

    @abstractmethod
    def open(self) -> Engine:
        """The engine, ready to answer.

        Raises:
            EngineError: as `pin`; or the model does not load, or the server does not answer.
            MissingExtraError: the library is not installed.
        """

    def open_sealed(self) -> Engine:
        """The engine of settings that a run was sealed with, also by an earlier version, which left `auto` in them.

        Raises:
            EngineError, MissingExtraError: as `open`.
        """
        return self.open()


class LocalSettings(EngineSettings):
    """What the engines have in common that run a model on this machine."""

    dtype: DtypeOrAuto = "auto"
    """`auto`: on a CPU bfloat16 where it has instructions for it, else float32; on a GPU the model's own. A run seals
    what it came to."""

    def text_settings(self) -> dict[str, object]:
        """The numbers that it computes in."""
        return {"dtype": self.dtype}

    @property
    def fixed_dtype(self) -> str | None:
        """The dtype that was sealed; None for `auto`, which a run of an early version may hold."""
        return self.dtype if self.dtype != "auto" else None

    def takes_conversations(self) -> bool:
        """Tell whether the model has a chat template, from its tokenizer alone: opening it would load the weights.

        Returns:
            False for a base model, which continues plain text only.

        Raises:
            EngineError: The tokenizer does not load.
            MissingExtraError: transformers is not installed.
        """
        from plum_hub.engines.tokenizer import has_chat_template

        return has_chat_template(self.model, self.revision)

    def usd_per_million_tokens(self) -> tuple[float, float]:
        """Price the model's tokens.

        Returns:
            Nothing: the model runs on this machine.
        """
        return 0.0, 0.0

    def adopting(self, sealed: Self) -> Self:
        """As everywhere; `auto` becomes what it came to when the run was sealed."""
        adopted = super().adopting(sealed)
        return adopted.model_copy(update={"dtype": sealed.dtype}) if self.dtype == "auto" else adopted
