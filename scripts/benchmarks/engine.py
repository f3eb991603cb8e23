"""Our vLLM engine beside a bare `vllm.LLM.generate`: tokens a second over the same prompts.

Both get the same conversations, sampling parameters, seeds and engine arguments, each in a process of its own, one
after the other, in turns; the figures are medians over the rounds. `transformers` is there for comparison, and answers
a quarter of the requests. The peer samples by vLLM's own top-p; ours, on a CPU, by `plum_hub/engines/draw.py`. The
greedy pair draws nothing, so it shows the engine's own overhead alone.

The peer is set up as is best on this CPU: in the numbers that a short try of both, float32 and bfloat16, shows to be
the faster, with every core computing (left alone, vLLM keeps one for its scheduler) and threads that sleep while
they wait. Ours takes what `dtype: auto` decides. With ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2 a larger CPU
plays one with AVX2 only; vLLM, which does not look at either, is then made to load its kernels for AVX2.

    scripts/bench engine [--model FOLDER] [--prompts 16] [--samples 4] [--max-tokens 128] [--rounds 1]

Seen on 2 cores with AMX, quiet, Qwen2.5-Coder-0.5B-Instruct, 16 prompts x 4 samples of 128 tokens: ours 237 tokens/s,
bare vLLM 118 (its top-p sorts the vocabulary), greedy 331 against 327, transformers 65. Found on the way: compiling the
model takes 50 s more at the start and gains nothing; blocks of 32 tokens instead of 128 save a fifth of the CPU time,
because samples share their prompt; 128 sequences at once are 7 % better than 64.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plum_hub.engines import TransformersConfig, VllmConfig
from plum_hub.engines.base import Request, Sampling
from plum_hub.engines.cpu import this_cpu
from plum_hub.engines.dtype import cpu_dtype
from plum_hub.engines.vllm import ENVIRONMENT, arguments
from plum_hub.engines.weights import SIZES, default_destination, fetch
from plum_hub.threads import cpu_count, prepare_threads

OURS, BARE, TRANSFORMERS, GREEDY = "plum-hub vllm", "bare vllm.LLM", "plum-hub transformers", ", greedy"
SIDES = (OURS, BARE, OURS + GREEDY, BARE + GREEDY, TRANSFORMERS)
TASKS = (
    "Write a function that returns the {n} most frequent words of a text.",
    "Write a function that splits a list into {n} parts whose lengths differ by one at most.",
    "Write a function that rotates a matrix {n} times by a quarter turn.",
    "Write a class for a queue that holds at most {n} items and drops the oldest.",
    "Write a function that converts a number to its notation in base {n}.",
    "Write a function that finds all pairs in a list whose sum is {n}, without repeats.",
    "Write a function that merges overlapping intervals that are at most {n} apart.",
    "Write a function that prints a calendar week {n} weeks from a given date.",
)


def requests(options: argparse.Namespace, *, greedy: bool) -> list[Request]:
    """Make requests as a run does, several samples of each prompt with a seed each; or greedy ones, which draw
    nothing.
    """
    prompts, samples = options.prompts, options.samples
    temperature, top_p = (0.0, 1.0) if greedy else (0.8, 0.95)
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=options.max_tokens)
    made = []
    for number in range(prompts):
        task = TASKS[number % len(TASKS)].format(n=number + 2)
        prompt = [{"role": "user", "content": f"{task} Answer with Python code in one fenced block."}]
        for sample in range(samples):
            seed = number * samples + sample
            made.append(Request(id=str(seed), prompt=prompt, seed=seed, sampling=sampling))
    return made


def ours(config: VllmConfig | TransformersConfig, asked: Sequence[Request]) -> tuple[float, float, int]:
    """Run our engine. Return seconds to open, seconds to answer, and generated tokens."""
    start = time.perf_counter()
    with config.open() as engine:
        opened = time.perf_counter()
        tokens = sum(answer.completion_tokens for answer in engine.generate(asked))
        return opened - start, time.perf_counter() - opened, tokens


def play() -> None:
    """Make vLLM choose its AVX2 kernels where torch is restricted to AVX2.

    vLLM asks torch's private functions, which look at the CPU alone.
    """
    if os.environ.get("ATEN_CPU_CAPABILITY") in ("default", "avx2"):
        import torch

        for name in ("avx512_supported", "avx512_bf16_supported", "amx_tile_supported", "vnni_supported"):
            setattr(torch.cpu, f"_is_{name}", lambda: False)


def bare(config: VllmConfig, asked: Sequence[Request]) -> tuple[float, float, int]:
    """Run vLLM through its public interface, with its own sampling parameters."""
    start = time.perf_counter()
    import vllm

    llm = vllm.LLM(**arguments(config))
    opened = time.perf_counter()
    template = llm.get_tokenizer().apply_chat_template
    prompts = [template(request.prompt, tokenize=False, add_generation_prompt=True) for request in asked]
    parameters = [
        vllm.SamplingParams(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            max_tokens=request.sampling.max_tokens,
            seed=request.seed,
        )
        for request in asked
    ]
    outputs = llm.generate(prompts, parameters, use_tqdm=False)
    return opened - start, time.perf_counter() - opened, sum(len(output.outputs[0].token_ids) for output in outputs)


def measure(side: str, options: argparse.Namespace) -> None:
    """Measure one side once, in a child process, and print one JSON line."""
    prepare_threads()
    play()
    asked = requests(options, greedy=side.endswith(GREEDY))
    config: VllmConfig | TransformersConfig
    if side.startswith(BARE):
        config = VllmConfig(model=options.model, dtype=options.dtype)
        opened, seconds, tokens = bare(config.pin(), asked)
    elif side.startswith(OURS):
        config = VllmConfig(model=options.model)
        opened, seconds, tokens = ours(config, asked)
    else:
        config = TransformersConfig(model=options.model)
        opened, seconds, tokens = ours(config, asked[: max(1, len(asked) // 4)])
    result = {"open_s": opened, "tokens": tokens, "tokens_per_s": tokens / seconds}
    print(json.dumps(result | {"dtype": config.pin().dtype}))


def child(side: str, options: Sequence[str]) -> dict[str, Any]:
    """Run one side in a fresh process."""
    command = [sys.executable, "-P", __file__, *options, "--side", side]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT | dict(os.environ))
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def capability() -> str:
    """Return torch's name for the instruction sets that it uses."""
    return os.environ.get("ATEN_CPU_CAPABILITY") or "all of them"


def fastest_dtype(options: Sequence[str]) -> tuple[str, dict[str, float]]:
    """Try bare vLLM for some hundred tokens in both dtypes. Return the faster one, and tokens/s of each."""
    short = ["--prompts", "8", "--samples", "2", "--max-tokens", "12"]
    tried = {
        dtype: child(BARE + GREEDY, [*options, *short, "--dtype", dtype])["tokens_per_s"]
        for dtype in ("float32", "bfloat16")
    }
    return max(tried, key=lambda dtype: tried[dtype]), tried


def main() -> None:
    """Run all sides in turns and print the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench engine", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default=str(default_destination() / SIZES["0.5b"].folder), help="default: %(default)s"
    )
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dtype", default="auto", help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        measure(options.side, options)
        return
    if not Path(options.model).is_dir():
        fetch(SIZES["0.5b"], default_destination(), lambda line: print(line, file=sys.stderr))
    best, tried = fastest_dtype(sys.argv[1:])
    cpu = this_cpu().described()
    print(f"CPU: {cpu}, {cpu_count()} threads, torch may use {capability()}; load {os.getloadavg()[0]:.1f}")
    print(
        f"dtype: ours {cpu_dtype()}; bare vLLM {best} ({', '.join(f'{k} {v:.0f}' for k, v in tried.items())} tokens/s)"
    )
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(options.rounds):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            runs[side].append(child(side, [*sys.argv[1:], "--dtype", best]))
    median = {
        side: {key: statistics.median(run[key] for run in found) for key in ("open_s", "tokens", "tokens_per_s")}
        for side, found in runs.items()
    }
    rate = {side: row["tokens_per_s"] for side, row in median.items()}
    ratios = {side: rate[side] / rate[BARE + GREEDY if side.endswith(GREEDY) else BARE] for side in SIDES}
    print(f"{'':24}{'tokens/s':>10}{'ratio':>8}{'tokens':>9}{'start, s':>10}")
    for side, row in median.items():
        print(f"{side:24}{rate[side]:10.1f}{ratios[side]:8.2f}{row['tokens']:9.0f}{row['open_s']:10.1f}")
    keys = {
        "vs_bare_vllm": ratios[OURS],
        "vs_bare_vllm_greedy": ratios[OURS + GREEDY],
        "tokens_per_s": rate[OURS],
    }
    machine = {"cpu": cpu, "threads": cpu_count(), "capability": capability()}
    chosen = {side: found[0]["dtype"] for side, found in runs.items()}
    print(json.dumps({"bench": "engine", **keys, **machine, "dtype": chosen, "tried": tried, "sides": median}))


if __name__ == "__main__":
    main()
