"""Work out what a dataset of any size takes: tokens, hours, memory, storage and money, as a Markdown table.

Tokens are those of `build-dataset --dry-run` for a source that is not read. Everything else is a product of a count and
a rate. A rate was measured by this project, and the page where it stands is named, or it is called an assumption.

    .venv/bin/python scripts/at_scale.py [--instructions 10000000] [--samples 20] [--policy-billions 7]
"""

import argparse
from collections.abc import Iterator
from importlib.resources import files
from math import ceil

import yaml

from plum_hub.pipeline.estimate import plan_unread
from plum_hub.pipeline.shards import SHARD_INSTRUCTIONS
from plum_hub.recipe import compose
from plum_hub.release.parquet import ROWS_PER_FILE

GENERATOR = "gpt-4.1-mini"
JUDGE_MS = 2.0  # CPU of a program with its cases: decisions/judge-speed.md
STATIC_MS = 0.95  # CPU of mypy for a program, in batches of 500: decisions/warm-mypy.md
BOOKKEEPING_MS = 2.02  # CPU of our own work for a sample, from its request to the release: scripts/bench scale
ENDLESS = 3 / 1860  # samples that run into the limit, twice each: docs/results/label-truth
DUPLICATES_MS = 0.49  # CPU of near-duplicates for a text of 300 characters: 20,000 texts, this page
DUPLICATES_BYTES = 180  # memory: instructions/duplicates.py; 170 counted, and 8 for an offset
PUBLISH_SECONDS = 84.4  # to publish a million samples, one process: decisions/columnar.md
RUN_BYTES = 3900  # JSON lines of a sample with all rows that belong to it: pipeline/shards.py
PACKED = 5  # zstd makes a fifth to a twelfth of JSON lines: 892 answers of a 0.5B to MBPP, this page
ID_BYTES = 130  # memory of an id in a set of Python
TOKENS_PER_SECOND = 35_000  # by the billions of parameters, on an A100 or H100: reports of others, `run --dry-run`
USD_PER_GPU_HOUR = 2.5
USD_PER_CORE_HOUR = 0.04


def table(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield rows: what, how much, and from which rate."""
    given = {"policy": {"type": "vllm", "model": "policy"}, "generator": {"type": "openai", "model": GENERATOR}}
    recipe = compose(None, "at scale", given, [f"samples.per_instruction={options.samples}"]).filled()
    asked, sampled = (plan := plan_unread(recipe, options.instructions)).steps
    samples, shards = sampled.requests, ceil(options.instructions / SHARD_INSTRUCTIONS)
    prices = yaml.safe_load(files("plum_hub.engines").joinpath("prices.yaml").read_text(encoding="utf-8"))
    yield "instructions", f"{options.instructions:,}", f"{shards:,} shards of {SHARD_INSTRUCTIONS:,}"
    yield "suites kept", f"{plan.suites_expected:,}", "64 %, the paper's self-consistency (Table 1)"
    yield "samples", f"{samples:,}", f"{options.samples} a suite"
    for name, step in (("generator", asked), ("policy", sampled)):
        tokens = f"{step.prompt_tokens / 1e9:.1f} + {step.completion_tokens / 1e9:.1f} billion"
        yield f"{name}: tokens read + written", tokens, f"`build-dataset --dry-run`, {step.requests:,} requests"
    assert asked.usd is not None
    half = f"list price of {GENERATOR} on {prices['date']}; half of it by batch"
    yield "generator: cost", f"{asked.usd:,.0f} USD", half
    speed = TOKENS_PER_SECOND / options.policy_billions
    hours = sampled.completion_tokens / speed / 3600
    yield (
        "policy: GPU hours",
        f"{hours:,.0f}",
        f"assumption: {speed:,.0f} tokens/s a GPU for {options.policy_billions:g}B",
    )
    yield "policy: cost", f"{hours * USD_PER_GPU_HOUR:,.0f} USD", f"assumption: {USD_PER_GPU_HOUR} USD a GPU hour"
    limit = recipe.verdicts.cpu_seconds
    work = {
        "programs in the judge": (JUDGE_MS, f"{JUDGE_MS} ms a program"),
        "mypy": (STATIC_MS, f"{STATIC_MS} ms a program"),
        "programs without end": (2000 * limit * ENDLESS, f"{ENDLESS:.2%} of them, twice {limit:g} s"),
        "our own work": (BOOKKEEPING_MS, f"{BOOKKEEPING_MS} ms a sample"),
    }
    for name, (each, why) in work.items():
        yield f"core hours: {name}", f"{samples * each / 3.6e6:,.0f}", why
    cores = sum(samples * each / 3.6e6 for each, _ in work.values())
    yield (
        "core hours: cost",
        f"{cores * USD_PER_CORE_HOUR:,.0f} USD",
        f"assumption: {USD_PER_CORE_HOUR} USD a core hour",
    )
    alone = options.instructions * DUPLICATES_MS / 3.6e6
    yield "near-duplicates, one process", f"{alone:.1f} hours", f"{DUPLICATES_MS} ms a text"
    yield (
        "near-duplicates: memory",
        f"{options.instructions * DUPLICATES_BYTES / 1e9:.1f} GB",
        f"{DUPLICATES_BYTES} bytes a text",
    )
    yield (
        "release, one process",
        f"{samples * PUBLISH_SECONDS / 3.6e9:.1f} hours",
        f"{PUBLISH_SECONDS:g} s a million samples",
    )
    ids = 2 * options.instructions + 3 * plan.suites_expected
    yield "ids in memory, build and release", f"{ids * ID_BYTES / 1e9:.1f} GB", f"{ID_BYTES} bytes an id in a set"
    yield "run folder", f"{samples * RUN_BYTES / 1e9:,.0f} GB", f"{RUN_BYTES:,} bytes of JSON lines a sample"
    yield "release", f"{samples * RUN_BYTES / PACKED / 1e9:,.0f} GB", f"a {PACKED}th of it, the least that zstd saved"
    parquet = 3 * ceil(samples / ROWS_PER_FILE)  # samples, kto, and dpo with sft, which have half as many each
    yield "files of a release", f"{parquet:,}", f"{ROWS_PER_FILE:,} rows a file; samples, kto, dpo and sft"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--instructions", type=int, default=10_000_000)
    parser.add_argument("--samples", type=int, default=20, help="of a suite")
    parser.add_argument("--policy-billions", type=float, default=7.0, help="parameters of the policy")
    print("| what | how much | from |\n|---|---:|---|")
    for row in table(parser.parse_args()):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
