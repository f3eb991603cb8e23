"""What a model's tokenizer knows, without loading the weights."""

import os
from collections.abc import Sequence
from typing import Any

from plum_hub.engines.base import in_a_line
from plum_hub.engines.names import located, on_hub
from plum_hub.engines.template import TemplateRefusalError, render
from plum_hub.engines.vllm import ENVIRONMENT
from plum_hub.errors import EngineError, MissingExtraError
from plum_hub.threads import prepare_threads

_MARK = "<<the answer goes on here>>"


def has_chat_template(model: str, revision: str | None) -> bool:
    """Tell whether a model takes conversations; the tokenizer of a base model has no template.

    Args:
        model: A local folder or a Hub repository.
        revision: The model's commit.

    Returns:
        True if the tokenizer has a chat template.

    Raises:
        EngineError: The tokenizer does not load.
        MissingExtraError: transformers is not installed.
    """
    return _tokenizer(model, revision).chat_template is not None


def begun_answers(model: str, revision: str | None, conversations: Sequence[list[dict[str, str]]]) -> list[str]:
    """Render conversations whose last turn is the beginning of the assistant's answer ("prefill").

    Args:
        model: A local folder or a Hub repository.
        revision: The model's commit.
        conversations: Turns with `role` and `content`; the last one is the assistant's.

    Returns:
        For each, the text that the model is to continue within the last turn.

    Raises:
        EngineError: The tokenizer does not load, or its template rejects such a conversation.
        MissingExtraError: transformers is not installed.
    """
    tokenizer = _tokenizer(model, revision)
    # A plain text gets its first special token from the engine, and must not have it twice.
    start = tokenizer.bos_token or "" if tokenizer("")["input_ids"] else ""
    texts = []
    for *turns, answer in conversations:
        begun = {"role": "assistant", "content": f"{answer['content']}\n{_MARK}"}
        try:
            text = render(tokenizer, [*turns, begun])
        except TemplateRefusalError as error:
            raise EngineError(
                f"{model}: its chat template refuses a begun answer ({error}): take --prompt chat"
            ) from error
        texts.append(text.partition(_MARK)[0].removeprefix(start))
    return texts


def _tokenizer(model: str, revision: str | None) -> Any:
    prepare_threads()  # transformers loads torch
    os.environ.update(ENVIRONMENT | dict(os.environ))  # vLLM may come after it
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("reading a model's tokenizer", "transformers") from error
    commit = {"revision": revision} if on_hub(model) else {}
    try:
        return AutoTokenizer.from_pretrained(located(model), **commit)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{model}: the tokenizer does not load ({in_a_line(error)}); name a model with one"
        ) from error
