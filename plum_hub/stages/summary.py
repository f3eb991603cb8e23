"""What a run has and what became of the rest: the numbers behind `status`, the end of `build-dataset` and the card."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from plum_hub.records import Instruction, Preference, Response, Sample, TestSuite, Verdict
from plum_hub.run import FILES, Run
from plum_hub.stages.suites import SPARE

KINDS = (Instruction, Response, TestSuite, Sample, Verdict, Preference)


@dataclass(frozen=True)
class Summary:
    """Counts over a whole run. Shares are None where nothing was counted yet (law 10)."""

    rows: dict[str, int]
    """Rows of each kind."""
    dropped: dict[str, dict[str, int]]
    """Rows left out: stage, reason, count."""
    statuses: dict[str, int]
    """Verdicts of each status."""
    chosen: int
    rejected: int
    labelled_instructions: int
    """Instructions with at least one preference."""
    self_consistency: float | None
    """Share of the decided responses whose reference solution passes their own tests (paper, Table 1)."""
    engines: dict[str, list[str]]
    """The engines and versions that wrote responses and samples."""

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values, for `--json`."""
        return dict(vars(self))


def summarise(run: Run) -> Summary:
    """Read the whole run once.

    Raises:
        RunError: a file of the run is damaged.
    """
    rows = {FILES[kind]: 0 for kind in KINDS}
    engines: dict[str, set[str]] = {"responses": set(), "samples": set()}
    rows["instructions"] = sum(1 for _ in run.rows(Instruction))
    rows["suites"] = sum(1 for _ in run.rows(TestSuite))
    for response in run.rows(Response):
        rows["responses"] += 1
        engines["responses"].add(response.engine)
    for sample in run.rows(Sample):
        rows["samples"] += 1
        engines["samples"].add(sample.engine)
    statuses = Counter(verdict.status for verdict in run.rows(Verdict))
    labels = [(preference.label, preference.instruction_id) for preference in run.rows(Preference)]
    rows |= {"verdicts": statuses.total(), "preferences": len(labels)}
    dropped: dict[str, dict[str, int]] = {}
    for (stage, reason), count in sorted(run.drop_reasons().items()):
        dropped.setdefault(stage, {})[reason] = count
    chosen = sum(label for label, _ in labels)
    return Summary(
        rows=rows,
        dropped=dropped,
        statuses=dict(statuses.most_common()),
        chosen=chosen,
        rejected=len(labels) - chosen,
        labelled_instructions=len({name for _, name in labels}),
        self_consistency=_self_consistency(rows["suites"], dropped.get("suites", {})),
        engines={stage: sorted(names) for stage, names in engines.items()},
    )


def _self_consistency(kept: int, dropped: dict[str, int]) -> float | None:
    decided = kept + sum(dropped.values())
    return (kept + dropped.get(SPARE, 0)) / decided if decided else None
