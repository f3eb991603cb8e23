"""A real causal language model of a few layers with a real tokenizer, made here, so that nothing is downloaded."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

CONTEXT = 256  # tokens
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "Write a function that reverses a string.",
    "for i in range(10): print(i)",
]


def write_tiny_model(folder: Path, chat: bool = True, context: int = CONTEXT) -> None:
    """Write a Qwen2 model with random weights (seed 0) and a byte-level tokenizer trained on three lines; without
    `chat` it has no chat template."""
    import torch

    tokenizer = make_tokenizer(_TEXTS, 320, chat=chat)
    torch.manual_seed(0)
    model = make_model(tokenizer, 128, context, initializer_range=0.3)  # firm choices, that no rounding turns
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(texts: Iterable[str], size: int, *, chat: bool = True) -> Any:
    """A byte-level tokenizer of so many tokens, trained on these texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=_TEMPLATE if chat else None,
    )


def make_model(tokenizer: Any, width: int, context: int, **more: Any) -> Any:
    """A Qwen2 model of two layers with random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )
    return Qwen2ForCausalLM(config)
