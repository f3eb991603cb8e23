"""Whether a round has what it needs to go on: labels to learn from, and answers to be measured by. Both are looked at
before the round publishes or trains anything."""

from collections import Counter

from plum_hub.errors import NothingToReleaseError, RunError, TrainingError
from plum_hub.pipeline.samples import STAGE as SAMPLES
from plum_hub.records import Drop, Preference, Verdict
from plum_hub.release.preferences import STAGE as PREFERENCES
from plum_hub.release.schemas import Method
from plum_hub.run import Run


def check_labels(number: int, run: Run, method: Method) -> None:
    """Find that a round's samples have the labels that its method learns from.

    Raises:
        NothingToReleaseError: no sample is chosen.
        TrainingError: none is rejected, and the method needs such.
    """
    labels = Counter(label for (label,) in run.columns(Preference, "label"))
    if not labels[True]:
        raise NothingToReleaseError(
            f"round {number}: no sample in {run.folder} is chosen ({_judged(run)}), so there is nothing to learn: "
            "begin anew with a stronger --model, more samples (--set samples.per_instruction=N) or easier "
            "--instructions, and --run DIR"
        )
    if method != "sft" and not labels[False]:
        mend = "say --method sft in the same folder" if number == 1 else f"end with --rounds {number - 1}"
        raise TrainingError(
            f"round {number}: all {labels[True]:,} labelled samples in {run.folder} are chosen, and {method} needs "
            f"both labels: {mend}, or begin anew with harder --instructions and --run DIR"
        )


def check_answers(number: int, run: Run) -> None:
    """Find that a round's first model answered held-out instructions.

    Raises:
        RunError: it answered none.
    """
    if next(run.columns(Verdict, "id"), None) is None:
        raise RunError(
            f"round {number}: {run.folder} has no verdicts ({_unanswered(run)}), so no gain could be measured: "
            "begin anew with a --model whose context holds the prompts, or other --instructions, and --run DIR"
        )


def _judged(run: Run) -> str:
    """What became of the samples, with counts."""
    statuses = Counter(status for (status,) in run.columns(Verdict, "status"))
    statuses["truncated"] = run.drop_reasons()[PREFERENCES, "truncated"]
    return ", ".join(f"{count:,} {status}" for status, count in statuses.items() if count) or _unanswered(run)


def _unanswered(run: Run) -> str:
    """Why there are no samples."""
    return next((drop.detail for drop in run.rows(Drop) if drop.stage == SAMPLES), "no samples")
