"""Tables of views, on stdout."""

from typing import TYPE_CHECKING

from plum_hub.cli.screen import facts, table

if TYPE_CHECKING:
    from plum_hub.api.views import ViewsResult
    from plum_hub.pipeline.gold import GoldAgreement


def views(result: "ViewsResult") -> None:
    """Print what each rule chooses, rejects and leaves out.

    Args:
        result: The views.
    """
    rows, truth = [], []
    for name, view in result.views.items():
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in view.left_out.items())
        counts = (view.chosen, view.rejected, view.instructions, view.pairs)
        rows.append((name, *(f"{count:,}" for count in counts), left_out or "none"))
        if view.truth is not None:
            truth.append((name, *(cell for label in (True, False) for cell in _truth_cells(view.truth[label]))))
    table(("rule", "chosen", "rejected", "instructions", "pairs", "left out"), rows)
    if truth:
        table(("rule", "chosen right", "95 %", "recall", "rejected right", "95 %", "recall"), truth)
    if (gold := result.gold) is not None:
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in gold.left_out.items())
        known = gold.instructions - gold.unknown - sum(gold.left_out.values())
        tested = f"{len(gold.verdicts):,} samples of {known:,} of {gold.instructions:,} instructions"
        facts([
            ("better tests", f"{tested}; {gold.judged_now:,} programs judged now"),
            ("unknown", f"{gold.unknown:,} instructions, {gold.unknown_samples:,} samples"),
            ("tests left out", left_out or "none"),
            ("verdicts", str(gold.file)),
        ])  # fmt: skip
    if result.files:
        facts([("written", ", ".join(map(str, result.files)))])


def _truth_cells(truth: "GoldAgreement") -> tuple[str, str, str]:
    """Return how many samples of a label are right, the interval of their share, and the recall."""
    if truth.precision is None or truth.interval is None:
        return "none labelled", "", ""
    low, high = truth.interval
    share = f"{truth.right:,} of {truth.labelled:,}, {truth.precision:.1%}"
    return share, f"{low:.1%}-{high:.1%}", "-" if truth.recall is None else f"{truth.recall:.1%}"
