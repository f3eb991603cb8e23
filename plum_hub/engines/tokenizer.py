"""What a model's tokenizer and configuration know, without loading the weights."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from plum_hub.engines import trust
from plum_hub.engines.adapter import source_of
from plum_hub.engines.base import LocalSettings, in_a_line
from plum_hub.engines.forms import apply_form
from plum_hub.engines.template import TemplateRefusalError, render
from plum_hub.engines.vllm import quiet_vllm
from plum_hub.errors import EngineError, MissingExtraError
from plum_hub.threads import prepare_threads

_MARK = "<<the answer goes on here>>"
_LONGEST = 1 << 17
"""Context of a model whose configuration and tokenizer name no end."""


def has_chat_template(config: LocalSettings) -> bool:
    """Tell whether a model's tokenizer has a chat template; that of a base model has none.

    Args:
        config: The pinned settings of an engine.

    Returns:
        True if the tokenizer has a chat template.

    Raises:
        EngineError: The tokenizer does not load.
        MissingExtraError: transformers is not installed.
    """
    return _tokenizer(config).chat_template is not None


def context_of(config: Any, tokenizer: Any) -> int:
    """Find how many tokens a model takes: some configurations, such as Bloom's, name no largest position.

    Args:
        config: A `transformers.PretrainedConfig` of the model.
        tokenizer: Its tokenizer.

    Returns:
        Tokens of prompt and answer together.
    """
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(positions or min(tokenizer.model_max_length, _LONGEST))


def begun_answers(
    config: LocalSettings, conversations: Sequence[list[dict[str, str]]], *, keep_start: bool = False
) -> list[str]:
    """Render conversations whose last turn is the beginning of the assistant's answer ("prefill").

    Args:
        config: The pinned settings of an engine.
        conversations: Turns with `role` and `content`; the last one is the assistant's.
        keep_start: Whether the text keeps the first special token that the template writes. The engine adds it again.

    Returns:
        For each, the text that the model is to continue within the last turn.

    Raises:
        EngineError: The tokenizer does not load, or its template rejects such a conversation.
        MissingExtraError: transformers is not installed.
    """
    tokenizer = _tokenizer(config)
    apply_form(tokenizer, config.form)
    # A plain text gets its first special token from the engine, and must not have it twice.
    start = tokenizer.bos_token or "" if tokenizer("")["input_ids"] and not keep_start else ""
    texts = []
    for *turns, answer in conversations:
        begun = {"role": "assistant", "content": f"{answer['content']}\n{_MARK}"}
        try:
            text = render(tokenizer, [*turns, begun])
        except TemplateRefusalError as error:
            raise EngineError(
                f"{config.model}: its chat template refuses a begun answer ({error}): take --prompt chat"
            ) from error
        texts.append(text.partition(_MARK)[0].removeprefix(start))
    return texts


@lru_cache(maxsize=4)  # a build renders one conversation at a time
def _tokenizer(config: LocalSettings) -> Any:
    prepare_threads()  # transformers loads torch
    quiet_vllm()  # vLLM may come after it
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("reading a model's tokenizer", "transformers") from error
    source = source_of(config)
    if (source.tokenizer_revision or "").startswith("sha256:") and not Path(source.tokenizer).is_dir():
        raise EngineError(
            f"{config.model}: its revision is that of a folder, which no Hub has, and there is no such folder here: "
            "run the command where it lies"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source.tokenizer, revision=source.tokenizer_revision or "main", **trust.TOKENIZER
        )
        trust.check_vocabulary(tokenizer)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{config.model}: the tokenizer does not load ({in_a_line(error)}); name a model with one"
        ) from error
    return tokenizer
