"""What a model's tokenizer says, without loading its weights."""

import os

from plum_hub.engines.base import in_a_line
from plum_hub.engines.names import located, on_hub
from plum_hub.engines.vllm import ENVIRONMENT
from plum_hub.errors import EngineError, MissingExtraError


def has_chat_template(model: str, revision: str | None) -> bool:
    """Whether the model takes conversations; a base model's tokenizer has no template.

    Raises:
        EngineError: the tokenizer does not load.
        MissingExtraError: transformers is not installed.
    """
    os.environ.update(ENVIRONMENT | dict(os.environ))  # transformers loads torch, and vLLM may come after it
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("reading a model's tokenizer", "transformers") from error
    commit = {"revision": revision} if on_hub(model) else {}
    try:
        return AutoTokenizer.from_pretrained(located(model), **commit).chat_template is not None
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{model}: the tokenizer does not load ({in_a_line(error)}); name a model with one"
        ) from error
