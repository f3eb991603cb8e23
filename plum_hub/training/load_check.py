"""What a model answers to fixed prompts, as a program in a process of its own:

    python -m plum_hub.training.load_check SPEC            keeps what the model in a folder here answers
    python -m plum_hub.training.load_check SPEC COMMIT     loads the published one at a commit, and compares

It ends with 0 if both give the same tokens to the same prompts, and the same logits within `TOLERANCE`; else its last
line on stderr says what differs. SPEC is a file that `LoadCheckSpec.write` wrote.
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

PROMPTS = (
    "Write a Python function that reverses a string.",
    "Write a Python function `add(a, b)` that adds two integers.",
    "Write a Python function that returns the largest number in a list.",
)
TOKENS = 16
"""Of each answer."""
TOLERANCE = 1e-3
"""The largest difference between two logits that the order of sums may make."""


@dataclass(frozen=True, kw_only=True)
class LoadCheckSpec:
    """Which models are compared, and where what is found is kept."""

    checkpoint: str
    """The folder of the model that was trained."""
    repo: str
    """Where it was published."""
    base: str | None
    """The folder of the model that an adapter belongs to; None for a whole model."""
    scratch: str
    """A folder for what is kept, and for what is downloaded."""

    @property
    def kept(self) -> Path:
        """What the checkpoint answered."""
        return Path(self.scratch) / "answers.safetensors"

    def write(self) -> Path:
        """Put the specification in its scratch folder."""
        path = Path(self.scratch) / "spec.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def loaded(spec: LoadCheckSpec, commit: str | None) -> tuple[Any, Any]:
    """Model and tokenizer: of the checkpoint, or of the repository at a commit, freshly downloaded."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, source = spec.checkpoint, {}
    if commit is not None:
        token = os.environ.get("HF_TOKEN") or False
        where, source = spec.repo, {"revision": commit, "token": token, "cache_dir": f"{spec.scratch}/cache"}
    tokenizer = AutoTokenizer.from_pretrained(where, **source)
    if spec.base is None:
        model = AutoModelForCausalLM.from_pretrained(where, dtype="auto", **source)
    else:
        from peft import PeftModel

        model = AutoModelForCausalLM.from_pretrained(spec.base, dtype="auto")
        model = PeftModel.from_pretrained(model, where, **source)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def answers(model: Any, tokenizer: Any) -> "Iterator[tuple[str, torch.Tensor]]":
    """To each prompt its tokens, those of the greedy answer, and the logits of the first of these."""
    import torch

    for number, text in enumerate(PROMPTS, 1):
        turn = [{"role": "user", "content": text}]
        if tokenizer.chat_template:
            text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, return_tensors="pt", add_special_tokens=False).to(model.device)
        with torch.no_grad():
            answer = model.generate(**prompt, do_sample=False, max_new_tokens=TOKENS)
            logits = model(**prompt).logits[0, -1].float()
        asked = prompt["input_ids"].shape[1]
        yield f"the tokens of prompt {number}", prompt["input_ids"][0].cpu()
        yield f"the greedy answer to prompt {number}", answer[0, asked:].cpu()
        yield f"the logits after prompt {number}", logits.cpu()


def differing(theirs: "dict[str, torch.Tensor]", ours: "dict[str, torch.Tensor]") -> tuple[list[str], float]:
    """What is not the same, and the largest difference of two logits."""
    import torch

    parted, largest = [], 0.0
    for name, mine in ours.items():
        other = theirs[name]
        if mine.shape != other.shape:
            parted.append(f"{name}: {list(mine.shape)} here, {list(other.shape)} there")
        elif not mine.is_floating_point():
            parted += [] if torch.equal(mine, other) else [f"{name} differ"]
        else:
            largest = max(largest, (mine - other).abs().max().item())
            parted += [] if torch.allclose(mine, other, rtol=0, atol=TOLERANCE) else [f"{name} differ"]
    return parted, largest


def main() -> None:
    """Keep, or compare with what was kept."""
    from safetensors.torch import load_file, save_file

    spec = LoadCheckSpec(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    commit = sys.argv[2] if len(sys.argv) > 2 else None
    found = dict(answers(*loaded(spec, commit)))
    if commit is None:
        save_file(found, spec.kept)
        return
    parted, largest = differing(found, load_file(spec.kept))
    if parted:
        sys.exit(
            f"loaded back it does not answer as the checkpoint does: {'; '.join(parted[:3])} "
            f"(largest difference of two logits {largest:.3g})"
        )


if __name__ == "__main__":
    main()
