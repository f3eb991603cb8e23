"""Render conversations with a model's chat template, which may reject them.

Gemma's template accepts no system turn, Mistral's and Llama 2's want user and assistant to alternate.
"""

from typing import Any

from plum_hub.errors import EngineError


class TemplateRefusalError(ValueError):
    """The template raised. The message is the template's own, in one line."""


def render(tokenizer: Any, turns: list[dict[str, str]], **more: Any) -> str:
    """Render a conversation as text.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        turns: Turns with `role` and `content`.
        more: Further arguments of `apply_chat_template`, such as `add_generation_prompt` and `tools`.

    Returns:
        The text.

    Raises:
        TemplateRefusalError: The template rejects the conversation, or is not a template.
    """
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, **more))
    except (
        TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise TemplateRefusalError(said) from error


def asked(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    """Render a conversation that the model is to answer.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        turns: Turns with `role` and `content`.

    Returns:
        The text, with the beginning of the assistant's turn.

    Raises:
        EngineError: The template rejects the conversation.
    """
    try:
        return render(tokenizer, turns, add_generation_prompt=True)
    except TemplateRefusalError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise EngineError(
            f"the model's chat template refuses a conversation of {roles} ({error}): name a model whose template takes "
            "it, with --model or --generator"
        ) from error
