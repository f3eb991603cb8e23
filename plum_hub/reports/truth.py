"""Labels beside the verdicts of gold tests, as `scripts/label-truth` writes them."""

from collections import Counter, defaultdict
from typing import Any

from plum_hub.errors import RunError
from plum_hub.lines import object_of, whole_lines
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.reports.content import LabelTruth
from plum_hub.reports.sources import FoundFolder


def read_truth(found: FoundFolder) -> list[LabelTruth]:
    """Count right labels under the paper's rule, for each way in which the suites were made.

    Args:
        found: A folder of kind `label-truth`, whose samples have `gold` and `verdicts`.

    Returns:
        One record per way, in the order of the file; none if the rows have no gold verdicts.

    Raises:
        RunError: A line is damaged.
    """
    path, rule = found.path / "samples.jsonl", PreferencesConfig()
    chosen: dict[str, set[str]] = defaultdict(set)
    rows: list[tuple[str, bool, dict[str, Any]]] = []
    for number, line in whole_lines(path):
        try:
            row = object_of(line)
            if "gold" not in row:
                return []
            if row["finish_reason"] == "length" and not rule.keep_truncated:
                continue
            rows.append((row["problem"], row["gold"], {way: status for way, (status, *_) in row["verdicts"].items()}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path}:{number}: not a sample with gold tests ({error}); restore the file") from error
    for problem, _, verdicts in rows:
        for way, status in verdicts.items():
            if rule.label(status):
                chosen[way].add(problem)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for problem, gold, verdicts in rows:
        for way, status in verdicts.items():
            label = rule.label(status)
            if label is not None and problem in chosen[way]:
                kind = "chosen" if label else "rejected"
                counts[way].update({kind: 1, f"right_{kind}": int(gold == label)})
    keys = ("chosen", "right_chosen", "rejected", "right_rejected")
    return [
        LabelTruth(name=found.name, suites=way, problems=len(chosen[way]), **{key: each[key] for key in keys})
        for way, each in counts.items()
    ]
