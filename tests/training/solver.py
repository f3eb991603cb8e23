"""A tiny chat model that has been taught to answer every task with one of two programs, of which one is right; tasks,
and who writes their suites. It is trained in seconds, so whole rounds are too."""

import json
from pathlib import Path
from typing import Any

from tests.engines.tiny import make_model, make_tokenizer

RIGHT, WRONG = (f"```python\ndef f(x):\n    return x {sign} 1\n```" for sign in "+-")
_STEPS, _BATCH = 60, 4


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
    """Write the model."""
    import torch

    tokenizer = make_tokenizer([RIGHT, WRONG, task(0)], 400)
    torch.manual_seed(0)
    model = make_model(tokenizer, 64, 1024)
    _teach(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _teach(model: Any, tokenizer: Any) -> None:
    """Both answers, as often, to prompts that end as every prompt does."""
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    begin = tokenizer("<|im_end|>\n<|im_start|>assistant\n")["input_ids"]
    draw = torch.Generator().manual_seed(0)
    for _ in range(_STEPS):
        for answer in (RIGHT, WRONG):
            whole = begin + tokenizer(answer + "<|im_end|>")["input_ids"]
            before = torch.randint(3, len(tokenizer), (_BATCH, 40), generator=draw)
            ids = torch.cat([before, torch.tensor([whole] * _BATCH)], dim=1)
            labels = ids.clone()
            labels[:, : before.shape[1] + len(begin)] = -100
            model(input_ids=ids, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
