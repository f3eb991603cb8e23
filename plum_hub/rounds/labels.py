"""Check whether a round can continue: labels to learn from, and answers to measure.

Both checks come before the round publishes or trains anything.
"""

from collections import Counter

from plum_hub.errors import NothingToReleaseError, RunError, TrainingError
from plum_hub.pipeline.samples import STAGE as SAMPLES
from plum_hub.records import Drop, Preference, Verdict
from plum_hub.release.preferences import STAGE as PREFERENCES
from plum_hub.release.schemas import Method
from plum_hub.run import Run


def check_labels(number: int, run: Run, method: Method, *, sealed: bool = False) -> None:
    """Check that a round's samples have the labels that its method needs.

    Args:
        number: Number of the round, from 1.
        run: The round's run, labelled.
        method: Training method.
        sealed: Whether the method cannot change any more, nor can there be a single round.

    Raises:
        NothingToReleaseError: No sample is chosen.
        TrainingError: No sample is rejected, and the method needs both labels.
    """
    labels = Counter(label for (label,) in run.columns(Preference, "label"))
    if not labels[True]:
        raise NothingToReleaseError(
            f"round {number}: no sample in {run.folder} is chosen ({_statuses(run)}), so there is nothing to learn: "
            "start over with a stronger --model, more samples (--set samples.per_instruction=N) or easier "
            "--instructions, and --run DIR"
        )
    if method != "sft" and not labels[False]:
        if sealed and number <= 2:
            remedy = "start over with --method sft, or harder --instructions, and --run DIR"
        else:
            first = "pass --method sft in the same folder" if number == 1 else f"end with --rounds {number - 1}"
            remedy = f"{first}, or start over with harder --instructions and --run DIR"
        raise TrainingError(
            f"round {number}: all {labels[True]:,} labelled samples in {run.folder} are chosen, and {method} needs "
            f"both labels: {remedy}"
        )


def check_answers(number: int, run: Run) -> None:
    """Check that the model that a round began with answered held-out instructions.

    Args:
        number: Number of the round, from 1.
        run: The held-out run of that model.

    Raises:
        RunError: It answered none.
    """
    if next(run.columns(Verdict, "id"), None) is None:
        raise RunError(
            f"round {number}: {run.folder} has no verdicts ({_no_samples(run)}), so no gain could be measured: "
            "start over with a --model whose context holds the prompts, or other --instructions, and --run DIR"
        )


def _statuses(run: Run) -> str:
    """Count the verdicts by status."""
    statuses = Counter(status for (status,) in run.columns(Verdict, "status"))
    statuses["truncated"] = run.drop_reasons()[PREFERENCES, "truncated"]
    return ", ".join(f"{count:,} {status}" for status, count in statuses.items() if count) or _no_samples(run)


def _no_samples(run: Run) -> str:
    """Say why there are no samples."""
    return next((drop.detail for drop in run.rows(Drop) if drop.stage == SAMPLES), "no samples")
