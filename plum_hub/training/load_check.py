"""Check that a published model answers as its checkpoint does: a program for a process of its own.

    python -m plum_hub.training.load_check SPEC            answers fixed prompts with the local checkpoint
    python -m plum_hub.training.load_check SPEC COMMIT     loads the published model at a commit, and compares

Exit code 0 means that both give the same tokens for the same prompts, and the same logits within a tolerance; otherwise
the last line on stderr names the difference. SPEC is a file that `LoadCheckSpec.write` wrote.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_PROMPTS = (
    "Write a Python function that reverses a string.",
    "Write a Python function `add(a, b)` that adds two integers.",
    "Write a Python function that returns the largest number in a list.",
)
_TOKENS = 16
"""Tokens per answer."""
_TOLERANCE = 1e-3
"""Largest difference between two logits that may come from the order of floating-point sums."""


@dataclass(frozen=True, kw_only=True)
class LoadCheckSpec:
    """The two models to compare, and where intermediate files go."""

    checkpoint: str
    """Folder of the trained model."""
    repo: str
    """Repository that it was published to."""
    base: str | None
    """Folder of the model that an adapter belongs to; None for a whole model."""
    scratch: str
    """Folder for the checkpoint's answers and for downloads."""

    @property
    def answers(self) -> Path:
        """File with the checkpoint's answers."""
        return Path(self.scratch) / "answers.safetensors"

    def write(self) -> Path:
        """Write the specification to the scratch folder.

        Returns:
            The file, for the command line.
        """
        path = Path(self.scratch) / "spec.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def load(spec: LoadCheckSpec, commit: str | None) -> tuple[Any, Any]:
    """Load one of the two models.

    Args:
        spec: The models to compare.
        commit: Commit of the published model, which is downloaded afresh; None for the local checkpoint.

    Returns:
        Model and tokenizer.
    """
    import torch
    from transformers import AutoTokenizer

    from plum_hub.engines import trust
    from plum_hub.engines.causal_lm import add_adapter, load_causal_lm

    where, source = spec.checkpoint, {}
    if commit is not None:
        token = os.environ.get("HF_TOKEN") or False
        where, source = spec.repo, {"revision": commit, "token": token, "cache_dir": f"{spec.scratch}/cache"}
    tokenizer = AutoTokenizer.from_pretrained(where, **trust.TOKENIZER, **source)
    if spec.base is None:
        model = load_causal_lm(where, dtype="auto", **source)
    else:
        model = add_adapter(load_causal_lm(spec.base, dtype="auto"), where, **source)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def answer(model: Any, tokenizer: Any) -> "Iterator[tuple[str, torch.Tensor]]":
    """Answer the fixed prompts.

    Args:
        model: A causal language model in evaluation mode.
        tokenizer: Its tokenizer.

    Yields:
        Named tensors: for each prompt its token ids, the token ids of the greedy answer, and the logits of the first
        answer token, of shape (vocabulary,).
    """
    import torch

    from plum_hub.engines.template import render

    for number, text in enumerate(_PROMPTS, 1):
        turn = [{"role": "user", "content": text}]
        if tokenizer.chat_template:
            text = render(tokenizer, turn, add_generation_prompt=True)
        prompt = tokenizer(text, return_tensors="pt", add_special_tokens=False).to(model.device)
        with torch.no_grad():
            output = model.generate(**prompt, do_sample=False, max_new_tokens=_TOKENS)
            logits = model(**prompt).logits[0, -1].float()
        length = prompt["input_ids"].shape[1]
        yield f"the tokens of prompt {number}", prompt["input_ids"][0].cpu()
        yield f"the greedy answer to prompt {number}", output[0, length:].cpu()
        yield f"the logits after prompt {number}", logits.cpu()


def compare(theirs: "dict[str, torch.Tensor]", ours: "dict[str, torch.Tensor]") -> tuple[list[str], float]:
    """Compare the answers of two models.

    Args:
        theirs: Named tensors of the published model.
        ours: Named tensors of the checkpoint.

    Returns:
        A line per difference, and the largest difference of two logits.
    """
    import torch

    differences, largest = [], 0.0
    for name, mine in ours.items():
        other = theirs[name]
        if mine.shape != other.shape:
            differences.append(f"{name}: {list(mine.shape)} here, {list(other.shape)} there")
        elif not mine.is_floating_point():
            differences += [] if torch.equal(mine, other) else [f"{name} differ"]
        else:
            largest = max(largest, (mine - other).abs().max().item())
            differences += [] if torch.allclose(mine, other, rtol=0, atol=_TOLERANCE) else [f"{name} differ"]
    return differences, largest


def main() -> None:
    """Write the checkpoint's answers, or compare the published model's with them."""
    from safetensors.torch import load_file, save_file

    spec = LoadCheckSpec(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    commit = sys.argv[2] if len(sys.argv) > 2 else None
    answers = dict(answer(*load(spec, commit)))
    if commit is None:
        save_file(answers, spec.answers)
        return
    differences, largest = compare(answers, load_file(spec.answers))
    if differences:
        sys.exit(
            f"the published model does not answer as the checkpoint does: {'; '.join(differences[:3])} "
            f"(largest difference of two logits {largest:.3g})"
        )


if __name__ == "__main__":
    main()
