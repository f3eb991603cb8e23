"""A prompt as tokens, for the engines that load the model themselves."""

from collections.abc import Sequence
from typing import Any

from plum_hub.engines.base import Prompt
from plum_hub.engines.template import asked
from plum_hub.errors import EngineError


def encode(tokenizer: Any, prompt: Prompt, known: int) -> list[int]:
    """Encode a prompt: a text as it is, a conversation by the chat template.

    Args:
        tokenizer: A transformers tokenizer.
        prompt: See `Prompt`.
        known: How many tokens the model has.

    Returns:
        Token ids.

    Raises:
        EngineError: The template rejects the conversation, or a token is none of the model's.
    """
    if isinstance(prompt, str):
        tokens = list(tokenizer(prompt)["input_ids"])
        end = tokenizer.eos_token
        if end is not None and tokens[-1:] == [tokenizer.eos_token_id] and not prompt.endswith(end):
            del tokens[-1]  # of a tokenizer that was set to end what a training learns (`add_eos_token`)
    else:
        tokens = list(tokenizer(asked(tokenizer, prompt), add_special_tokens=False)["input_ids"])
    if (last := max(tokens, default=0)) >= known:
        raise EngineError(
            f"the tokenizer writes {tokenizer.convert_ids_to_tokens(last)!r} as token {last}, and the model has only "
            f"{known}: restore the tokenizer that the model was trained with, or name another model, with --model or "
            "--generator"
        )
    return tokens


def unanswerable(tokens: Sequence[int], context: int) -> str | None:
    """Tell why a model cannot answer a prompt.

    Args:
        tokens: The encoded prompt.
        context: Tokens that the model takes, of prompt and answer together.

    Returns:
        The reason in one line; None if the model can answer.
    """
    if not tokens:
        return "the prompt has no tokens"
    if len(tokens) >= context:
        return f"the prompt has {len(tokens)} tokens, the model's context {context}"
    return None
