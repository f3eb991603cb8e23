"""A toy preference set, and how to train on it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def rows(prompts: int = 12, each: int = 6) -> list[dict[str, Any]]:
    """Unpaired preferences: to each prompt half of the answers add up, which are chosen."""
    return [
        {
            "prompt": [{"role": "user", "content": f"add {prompt}"}],
            "completion": [
                {"role": "assistant", "content": ("a + b" if number % 2 else "def for print") + "!" * number}
            ],
            "label": bool(number % 2),
        }
        for prompt in range(prompts)
        for number in range(each)
    ]


def write(path: Path, content: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


SETTINGS = ("accumulation=1", "lora_rank=4", "precision=fp32", "checkpoint_every=2", "max_length=128")


def command(source: Path, model: Path, out: Path, *options: str) -> list[str]:
    """The command line of a training."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return [
        sys.executable, "-m", "plum_hub", "train", str(source), "--model", str(model), "--out", str(out), *settings,
        *options,
    ]  # fmt: skip


def environment(**more: str) -> Mapping[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", **more}


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """The exit code and what was said on stderr."""
    _, said = process.communicate(timeout=300)
    return process.returncode, said
