"""The steps of `scripts/gpu-check`. Each is tried, whether or not others fail; the last line is JSON.

sampling    answers of the `transformers` engine: tokens/s
judging     right and wrong programs on all cores: programs/s
lora, full  KTO in bf16 beside a bare TRL script with the same settings: tokens/s, peak memory, our estimate
resume      a training that is killed by SIGKILL and resumed ends with the weights of an undisturbed one
launch      the same training by `--launch 1`
load_back   the trained models load, greedy answers are reproducible, adapters and merged weights agree
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMAGE = ("torch", "transformers", "accelerate", "peft")
"""Packages that a GPU image usually has."""
PACKAGES = (*IMAGE, "trl", "datasets", "mypy")
LARGEST_WHEEL = 60_000_000
LARGE = {"hidden": 896, "intermediate": 4864, "layers": 24, "heads": 14, "kv_heads": 2, "vocab": 151_936}
TINY = {"hidden": 64, "intermediate": 128, "layers": 2, "heads": 4, "kv_heads": 2, "vocab": 512}
BATCH, ACCUMULATION = 4, 2

Found = dict[str, Any]


def prepare(folder: Path) -> None:
    """Download what `plum-hub[train]` needs beside the image, in the versions that are installed here."""
    have = closure(list(IMAGE))
    wanted = sorted(closure(["plum-hub[train]"]) - have - {"plum-hub"})
    folder.mkdir(parents=True, exist_ok=True)
    pins = [f"{name}=={metadata.version(name)}" for name in wanted]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(folder),
    ]
    subprocess.run([*command, *pins], check=True)
    large = [path.name for path in folder.glob("*.whl") if path.stat().st_size > LARGEST_WHEEL]
    print(f"{len(pins)} wheels in {folder}" + (f"; over 60 MB: {', '.join(large)}" if large else ""))


def closure(names: list[str]) -> set[str]:
    """Return the installed distributions that these require, themselves included, by canonical name."""
    found: set[str] = set()
    waiting = [(name.partition("[")[0], set(re.findall(r"[\w-]+", name.partition("[")[2]))) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, frozenset(extras)) in seen:
            continue
        seen.add((name, frozenset(extras)))
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        waiting += [need for line in needs if (need := needed(line, extras)) is not None]
    return found


def needed(line: str, extras: set[str]) -> tuple[str, set[str]] | None:
    """Return a requirement's name and extras, if it applies to this machine and one of the requested extras."""
    from packaging.requirements import Requirement

    one = Requirement(line)
    if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in extras or {""}):
        return None
    return one.name, set(one.extras)


def make_model(folder: Path, size: dict[str, int], bf16: bool) -> None:
    """Make a Qwen2 model with random weights and a byte-level tokenizer, in the shape of the family's small models."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from tests.engines.tiny import make_tokenizer

    tokenizer = make_tokenizer([row["completion"][0]["content"] for row in rows(40)], 512)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=max(size["vocab"], len(tokenizer)),
        hidden_size=size["hidden"],
        intermediate_size=size["intermediate"],
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
        num_key_value_heads=size["kv_heads"],
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    (model.to(torch.bfloat16) if bf16 else model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rows(count: int) -> list[dict[str, Any]]:
    """Make unpaired preferences of some 200 tokens, equally many of each label."""
    found = []
    for number in range(count):
        body = "\n".join(f"    total += (x * {number + step}) % {step + 2}" for step in range(8))
        wrong = "" if number % 2 else "    total -= 1\n"
        code = f"```python\ndef f{number // 2}(x: int) -> int:\n    total = 0\n{body}\n{wrong}    return total\n```"
        prompt = [{"role": "user", "content": f"Write a function `f{number // 2}(x)` that sums remainders."}]
        answer = [{"role": "assistant", "content": code}]
        found.append({"prompt": prompt, "completion": answer, "label": bool(number % 2)})
    return found


class Check:
    """The steps, over one scratch folder."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        self.model, self.rows = scratch / "model", scratch / "rows.jsonl"
        self.cuda = options.device == "cuda"
        self.bf16 = self.cuda
        steps = 4 if options.tiny else 12
        self.rows.write_text("".join(json.dumps(row) + "\n" for row in rows(steps * BATCH * ACCUMULATION)))

    def steps(self) -> Iterator[tuple[str, Callable[[], Found]]]:
        """Return every step by name, in order."""
        yield "model", self.make
        yield "sampling", self.sample
        yield "judging", self.judge
        yield "lora", lambda: self.train_beside_trl("lora")
        yield "full", lambda: self.train_beside_trl("full")
        yield "resume", self.resume
        yield "launch", self.launch
        yield "load_back", self.load_back

    def make(self) -> Found:
        make_model(self.model, TINY if self.options.tiny else LARGE, self.bf16)
        return {"bytes": sum(path.stat().st_size for path in self.model.iterdir())}

    def sample(self) -> Found:
        from plum_hub.engines.base import Request, Sampling
        from plum_hub.engines.transformers import TransformersConfig

        count, tokens = (8, 8) if self.options.tiny else (64, 64)
        sampling = Sampling(temperature=0.8, top_p=0.95, max_tokens=tokens)
        prompts = [row["prompt"] for row in rows(2 * count)[::2]]
        requests = [Request(id=str(n), prompt=it, seed=n, sampling=sampling) for n, it in enumerate(prompts)]
        with TransformersConfig(model=str(self.model)).open() as engine:
            list(engine.generate(requests[:2]))  # kernels are compiled and chosen
            began = time.monotonic()
            written = sum(one.completion_tokens for one in engine.generate(requests))
            seconds = time.monotonic() - began
        assert written > 0, "no token was written"
        return {"answers": count, "tokens_per_second": written / seconds}

    def judge(self) -> Found:
        from plum_hub.execution import Call, Judge, Limits, Program

        cases = tuple(Call(expression=f"f({n})", expected=str(n + 1)) for n in range(5))
        codes = {"passed": "def f(x): return x + 1", "failed": "def f(x): return x"}
        programs = [
            Program(id=f"{status} {n}", code=f"{code}  # {n}", entry_point="f", cases=cases, limits=Limits())
            for n in range(100 if self.options.tiny else 1000)
            for status, code in codes.items()
        ]
        with Judge() as judge:
            list(judge.run(programs[:2]))  # workers start
            began = time.monotonic()
            wrong = [done.id for done in judge.run(programs) if done.status != done.id.partition(" ")[0]]
            seconds, harness = time.monotonic() - began, judge.harness_version
        assert not wrong, f"{len(wrong)} verdicts are wrong, as that of {wrong[0]}"
        return {"programs_per_second": len(programs) / seconds, "harness": harness, "cores": os.cpu_count()}

    def command(self, out: Path, weights: str, *more: str) -> list[str]:
        """Return the command line of a training."""
        settings = [
            f"weights={weights}", f"batch_size={BATCH}", f"accumulation={ACCUMULATION}", "max_length=1024",
            f"precision={'bf16' if self.bf16 else 'fp32'}", "gradient_checkpointing=true", "warmup=0", "merge=true",
            "learning_rate=1e-5",
        ]  # fmt: skip
        if weights == "full":
            settings.remove("merge=true")
        command = [sys.executable, "-m", "plum_hub", "train", str(self.rows), "--model", str(self.model)]
        return [*command, "--out", str(out), "-q", *[part for it in settings for part in ("--set", it)], *more]

    def train_beside_trl(self, weights: str) -> Found:
        out = self.scratch / weights
        run(self.command(out, weights))
        facts = json.loads((out / "training.json").read_text())
        steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        speed = (steps[-1]["num_tokens"] - steps[0]["num_tokens"]) / (steps[-1]["seconds"] - steps[0]["seconds"])
        bare = ROOT / "scripts" / "benchmarks" / "train.py"
        options = ["--side", "trl", "--rows", str(self.rows), "--model", str(self.model), "--batch", str(BATCH)]
        options += ["--weights", weights, "--precision", "bf16" if self.bf16 else "fp32"]
        peer = json.loads(run([sys.executable, "-P", str(bare), *options]).splitlines()[-1])
        assert all(step["loss"] == step["loss"] for step in steps), "the loss is not a number"
        return {
            "tokens_per_second": speed,
            "vs_trl": speed / peer["tokens_per_second"],
            "peak_gb": facts["peak_gb"],
            "estimated_gb": facts["memory_gb"]["estimated"],
            "trl_peak_gb": peer["peak_gb"],
            "steps": len(steps),
        }

    def resume(self) -> Found:
        out = self.scratch / "resumed"
        command = self.command(out, "lora", "--set", "checkpoint_every=1")
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (out / "steps" / "checkpoint-2" / "complete").exists():
            assert process.poll() is None, "the training ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        run(command)
        facts = json.loads((out / "training.json").read_text())
        difference = largest_difference(out, self.scratch / "lora")
        assert facts["seconds"]["from step"] >= 2, "it began anew"
        assert difference <= (1e-3 if self.cuda else 0.0), f"the weights differ by {difference}"
        return {"from_step": facts["seconds"]["from step"], "largest_difference": difference}

    def launch(self) -> Found:
        out = self.scratch / "launched"
        began = time.monotonic()
        run(self.command(out, "lora", "--launch", "1"))
        difference = largest_difference(out, self.scratch / "lora")
        assert difference <= (1e-3 if self.cuda else 1e-6), f"the weights differ by {difference}"
        return {"seconds": time.monotonic() - began, "largest_difference": difference}

    def load_back(self) -> Found:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.model)
        text = tokenizer.apply_chat_template(rows(1)[0]["prompt"], tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(self.options.device)

        def load(folder: Path) -> Any:
            return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(self.options.device).eval()

        def answer(model: Any) -> tuple[list[int], Any]:
            with torch.inference_mode():
                written = model.generate(**prompt, max_new_tokens=16, do_sample=False)
                return written[0].tolist(), model(**prompt).logits[0, -1].float()

        full = load(self.scratch / "full")
        assert answer(full)[0] == answer(full)[0], "greedy answers differ"
        merged = answer(load(self.scratch / "lora" / "merged"))
        adapter = answer(PeftModel.from_pretrained(load(self.model), self.scratch / "lora"))
        difference = float((merged[1] - adapter[1]).abs().max())
        assert difference < (0.5 if self.bf16 else 1e-3), (
            f"the logits of adapters and merged weights differ by {difference}"
        )
        return {"largest_logit_difference": difference, "same_greedy": merged[0] == adapter[0]}


def largest_difference(one: Path, other: Path) -> float:
    """Return the largest difference between the weights of two adapters."""
    from safetensors.torch import load_file

    left, right = (load_file(folder / "adapter_model.safetensors") for folder in (one, other))
    assert left.keys() == right.keys()
    return max(float((left[name].float() - right[name].float()).abs().max()) for name in left)


def run(command: list[str]) -> str:
    """Return the output of a command.

    Raises:
        RuntimeError: The command failed; the message ends with its last output.
    """
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:5])} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


def device_of(options: argparse.Namespace) -> Found:
    """Describe the machine and the versions in use."""
    import torch

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    if options.device == "cpu":
        from plum_hub.engines.cpu import this_cpu

        return {"device": this_cpu().described(), "versions": versions}
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here; with --device cpu the steps run on a tiny model")
    return {"device": torch.cuda.get_device_name(0), "versions": versions, "cuda": torch.version.cuda}


def main() -> None:
    """Run every step; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny model; always so on a CPU")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        prepare(options.prepare)
        return
    options.tiny |= options.device == "cpu"
    os.environ["HF_HUB_OFFLINE"] = "1"
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    found = device_of(options)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for name, step in Check(options, Path(scratch)).steps():
            start = time.monotonic()
            try:
                found[name] = {"ok": True, **step()}
            except Exception as error:  # noqa: BLE001  a check tells what went wrong, and tries the other steps
                found[name] = {"ok": False, "error": f"{type(error).__name__}: {error}"[:800]}
            found[name]["took_seconds"] = round(time.monotonic() - start, 1)
            print(f"{name}: {json.dumps(found[name])}", file=sys.stderr, flush=True)
    failed = [name for name, value in found.items() if isinstance(value, dict) and value.get("ok") is False]
    print(json.dumps({**found, "seconds": round(time.monotonic() - began, 1), "failed": failed}))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
