"""Render a conversation by a model's chat template, which may refuse it: Gemma's takes no system turn, Mistral's and
Llama 2's want user and assistant in turn."""

from typing import Any

from plum_hub.errors import EngineError


class TemplateRefusalError(ValueError):
    """The template raised. The message is what it said, in one line."""


def render(tokenizer: Any, turns: list[dict[str, str]], **more: Any) -> str:
    """Render a conversation as text.

    Args:
        tokenizer: of transformers, with a chat template.
        turns: the conversation.
        more: further arguments of `apply_chat_template`, as `add_generation_prompt` and `tools`.

    Raises:
        TemplateRefusalError: the template refuses the conversation, or is none.
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
    """Render a conversation that a model is to answer.

    Raises:
        EngineError: the template refuses it.
    """
    try:
        return render(tokenizer, turns, add_generation_prompt=True)
    except TemplateRefusalError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise EngineError(
            f"the model's chat template refuses a conversation of {roles} ({error}): name a model whose template takes "
            "it, with --model or --generator"
        ) from error
