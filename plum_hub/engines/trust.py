"""How models are loaded that anybody may have published: as weights and tables, never as code.

`transformers` would run a repository's own Python where `trust_remote_code` is true, and ask on a terminal where it is
not given; a pickle runs what it likes as it is read. Neither can be switched on: a model that needs it cannot be used.
"""

from pathlib import Path
from typing import Any

from plum_hub.errors import EngineError

TOKENIZER = {"trust_remote_code": False}
"""Arguments of `from_pretrained` for tokenizers and configurations."""
WEIGHTS = {"trust_remote_code": False, "use_safetensors": True}
"""Arguments of `from_pretrained` for weights."""


def check_vocabulary(tokenizer: Any) -> None:
    """Require that a tokenizer knows any text: without its files `transformers` makes one that turns all into nothing.

    Args:
        tokenizer: A tokenizer of `transformers`.

    Raises:
        ValueError: It has no vocabulary.
    """
    if not tokenizer("a", add_special_tokens=False)["input_ids"]:
        raise ValueError("its tokenizer has no vocabulary: tokenizer.json or the like is missing")


def check_weights(folder: Path) -> None:
    """Require that the weights of a folder are safetensors.

    Args:
        folder: A model or an adapter on this machine.

    Raises:
        EngineError: It has pickles, or GGUF files, and no safetensors.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        raise EngineError(
            f"{folder}: its weights are a pickle ({pickles[0]}), which runs code as it is read: convert them to "
            "safetensors where you trust them, or name a model that has them"
        )
    if found := sorted(path.name for path in folder.glob("*.gguf")):
        raise EngineError(
            f"{folder}: its weights are a GGUF ({found[0]}): name a model whose weights are safetensors, or serve this "
            "one with llama.cpp or the like and ask it as  openai:NAME@URL"
        )
