"""A tiny chat model that answers every task with one of two programs, of which one is right; tasks, and a generator of
their suites. Its weights are set, not trained, so that it does so on every CPU, whatever the order of its sums."""

import json
from pathlib import Path
from typing import Any

from tests.engines.tiny import make_model, make_tokenizer

RIGHT, WRONG = (f"```python\ndef f(x):\n    return x {sign} 1\n```" for sign in "+-")
_WIDTH, _MARGIN = 64, 30.0
_SPECIAL = 4  # dimensions that only the prompt's end and the answers use


def task(number: int) -> str:
    return f"Write a Python function f(x) that gives the integer after x. This is exercise number {number}."


def write_tasks(folder: Path, tasks: int) -> None:
    """`tasks.jsonl`, and `generator.jsonl`, which answers each with a suite."""
    answer = (
        "### Starter code\n```python\ndef f(x: int) -> int:\n    pass\n```\n\n### Solution\n```python\n"
        "def f(x: int) -> int:\n    return x + 1\n```\n\n### Tests\n```python\n"
        "assert f(0) == 1\nassert f(5) == 6\nassert f(-1) == 0\n```\n"
    )
    names = [*map(task, range(tasks))]
    (folder / "tasks.jsonl").write_text("".join(json.dumps({"instruction": name}) + "\n" for name in names))
    rows = [{"contains": f"Task:\n{name}", "texts": [answer]} for name in names]
    (folder / "generator.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_solver(folder: Path) -> None:
    """Write the model and its tokenizer, in which each answer is one token."""
    import torch

    torch.manual_seed(0)
    tokenizer = make_tokenizer([task(0)], 320)
    tokenizer.add_tokens([RIGHT, WRONG])
    model = make_model(tokenizer, _WIDTH, 1024)
    _set_weights(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _set_weights(model: Any, tokenizer: Any) -> None:
    """Let the last token alone decide the next: an answer after a prompt, the end of the turn after an answer.

    The vectors of these tokens are orthogonal and the layers add little to them (standard deviation 0.02), so any other
    token is about 30 nats less likely, on any CPU. The two answers differ along one direction that training can move.
    """
    import torch

    right, wrong = tokenizer.convert_tokens_to_ids([RIGHT, WRONG])
    prompt_end = tokenizer("<|im_start|>assistant\n")["input_ids"][-1]
    with torch.no_grad():
        inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        inputs.normal_()
        inputs[:, :_SPECIAL] = 0
        outputs.zero_()
        length = _WIDTH**0.5  # of a vector after the last norm
        inputs[[prompt_end, right, wrong]] = length * torch.eye(3, _WIDTH)
        outputs[[right, wrong], 0] = _MARGIN / length
        outputs[tokenizer.eos_token_id, 1:3] = _MARGIN / length
        outputs[right, 3], outputs[wrong, 3] = 0.5, -0.5
