"""Our KTO beside a bare TRL script over the same rows, in one run: tokens a second and peak memory.

Each side is a process of its own, sides take turns, and figures are medians over the rounds. Tokens are those of the
rows (no padding, and not the completions that TRL pairs for its KL term), from the end of the first step on. The sides:

- trl: `KTOTrainer` with LoRA as TRL's documentation has it, rows shuffled once;
- same: `plum-hub train` with the very same settings: what differs is the order of rows, that on a CPU only the answers'
  positions are projected through the LM head, and that PEFT does not widen the inputs of its adapters to fp32;
- kept: the same, with activations kept instead of computed twice (gradient checkpointing is on by default in TRL);
- tuned: kept, and batches of rows of like length, so that little is padded.

    scripts/bench train [--model DIR] [--data RUN|REPO@TAG|FILE] [--steps 5] [--batch 4] [--rounds 1] [--precision bf16]

Without --model it fetches Qwen2.5-Coder-0.5B-Instruct; without --data the rows are HumanEval's solutions, whole and
without their last line. The first step of a side is not measured.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from plum_hub.engines.weights import SIZES, default_destination, fetch

ACCUMULATION = 2
CHANGES: dict[str, list[str]] = {
    "same": ["gradient_checkpointing=true"],
    "kept": ["gradient_checkpointing=false"],
    "tuned": ["gradient_checkpointing=false", "group_by_length=true"],
}
SIDES = ("trl", *CHANGES)


def made_rows(path: Path) -> Path:
    """Make rows as long as real ones: each prompt of HumanEval with its solution, and with the same without its last
    line.
    """
    from plum_hub.benchmarks.humaneval import HumanEval

    with path.open("w") as file:
        for problem in HumanEval().problems():
            whole = (problem.reference or "").rstrip()
            for answer, label in ((whole, True), (whole[: whole.rindex("\n")], False)):
                prompt = [{"role": "user", "content": problem.text}]
                completion = [{"role": "assistant", "content": f"```python\n{answer}\n```"}]
                file.write(json.dumps({"prompt": prompt, "completion": completion, "label": label}) + "\n")
    return path


def write_rows(options: argparse.Namespace, path: Path) -> None:
    """Write as many rows as the steps need, half of each label, drawn from the data, all short enough."""
    from plum_hub.training.base import pin_model
    from plum_hub.training.data import read_data
    from plum_hub.training.lengths import fitting_rows

    rows = list(read_data(options.data, "kto", options.hub).rows)
    random.Random(options.seed).shuffle(rows)
    fits = fitting_rows(rows, pin_model(options.model, None).load_tokenizer(), options.max_length)
    wanted = options.steps * options.batch * ACCUMULATION
    halves = [[row for row in fits.rows if row["label"] is label][: wanted // 2] for label in (True, False)]
    if (fewest := min(map(len, halves))) < wanted // 2:
        sys.exit(f"{options.data} has {fewest} rows of one label that fit; {options.steps} steps need {wanted // 2}")
    path.write_text("".join(json.dumps(row) + "\n" for pair in zip(*halves, strict=True) for row in pair))


def trl(options: argparse.Namespace, rows: Path, out: Path) -> list[dict[str, Any]]:
    """Run the bare script, and report a line for each step."""
    import time

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import KTOConfig, KTOTrainer

    found: list[dict[str, Any]] = []
    began = time.monotonic()

    class Teller(TrainerCallback):
        def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
            if "loss" in logs:
                found.append({"seconds": time.monotonic() - began, **logs})

    adapters = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    bf16 = options.precision == "bf16"
    keep = ("prompt", "completion", "label")
    table = [{key: row[key] for key in keep} for row in map(json.loads, rows.read_text().splitlines())]
    trainer = KTOTrainer(
        model=options.model,
        args=KTOConfig(
            output_dir=str(out),
            model_init_kwargs={"dtype": "bfloat16" if bf16 else "float32"},
            per_device_train_batch_size=options.batch,
            gradient_accumulation_steps=ACCUMULATION,
            num_train_epochs=1,
            learning_rate=1e-5,
            max_length=options.max_length,
            bf16=bf16,
            use_cpu=not torch.cuda.is_available(),
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(table),
        peft_config=None if options.weights == "full" else adapters,
        callbacks=[Teller()],
    )
    trainer.train()
    return found


def ours(options: argparse.Namespace, rows: Path, out: Path) -> list[dict[str, Any]]:
    """Run the command's own code path, and report a line for each step."""
    from plum_hub.progress import Progress
    from plum_hub.training.run import TrainingRequest, prepare, train
    from plum_hub.training.settings import compose

    settings = [
        *CHANGES[options.side],
        f"batch_size={options.batch}",
        f"accumulation={ACCUMULATION}",
        f"max_length={options.max_length}",
        f"precision={options.precision}",
        f"weights={options.weights}",
        "warmup=0",
        "checkpoint_every=1000000",
    ]
    train(prepare(TrainingRequest(str(rows), options.model, out, compose(settings))), Progress())
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def side(options: argparse.Namespace) -> None:
    """Train one side in this process and print its figures."""
    with tempfile.TemporaryDirectory() as folder:
        steps = (trl if options.side == "trl" else ours)(options, options.rows, Path(folder) / "out")
    first, last = steps[0], steps[-1]
    print(
        json.dumps(
            {
                "tokens_per_second": (last["num_tokens"] - first["num_tokens"]) / (last["seconds"] - first["seconds"]),
                "peak_gb": peak() / 1e9,
                "steps": len(steps),
                "loss": last["loss"],
            }
        )
    )


def peak() -> int:
    """Return the peak memory of this process in bytes; of the GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(arguments: list[str], rows: Path, name: str) -> dict[str, Any]:
    """Measure one side in a process of its own."""
    line = [sys.executable, "-P", __file__, *arguments, "--side", name, "--rows", str(rows)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure all sides; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--data")
    parser.add_argument("--hub", default="auto")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--weights", choices=["lora", "full"], default="lora")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side(options)
        return
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    if not options.model:
        options.model = str(fetch(SIZES["0.5b"], default_destination(), lambda line: print(line, file=sys.stderr)))
    with tempfile.TemporaryDirectory() as folder:
        options.data = options.data or str(made_rows(Path(folder) / "made.jsonl"))
        rows = Path(folder) / "rows.jsonl"
        write_rows(options, rows)
        for _ in range(options.rounds):
            for name in SIDES:
                seen[name].append(measured([*sys.argv[1:], "--model", options.model], rows, name))
    middle = {
        name: {key: statistics.median(row[key] for row in found) for key in found[0]} for name, found in seen.items()
    }
    print(f"\n{'':8}{'tokens/s':>10}{'ratio':>8}{'peak GB':>9}{'steps':>7}{'last loss':>11}")
    speed = {name: row["tokens_per_second"] for name, row in middle.items()}
    for name, row in middle.items():
        ratio = speed[name] / speed["trl"]
        print(f"{name:8}{speed[name]:10.1f}{ratio:8.2f}{row['peak_gb']:9.2f}{row['steps']:7.0f}{row['loss']:11.4f}")
    print(
        json.dumps(
            {
                "vs_trl_same_settings": speed["same"] / speed["trl"],
                "vs_trl_kept": speed["kept"] / speed["trl"],
                "vs_trl_tuned": speed["tuned"] / speed["trl"],
                "peak_gb": middle["same"]["peak_gb"],
                "tuned_peak_gb": middle["tuned"]["peak_gb"],
                "trl_peak_gb": middle["trl"]["peak_gb"],
                "details": seen,
            }
        )
    )


if __name__ == "__main__":
    main()
