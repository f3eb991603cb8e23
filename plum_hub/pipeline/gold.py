"""Gold verdicts: what better tests say of a run's samples, and how true the labels of a rule are by them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import get_args

from plum_hub.errors import InstructionsError, UsageError
from plum_hub.instructions.local import find_local
from plum_hub.records import Status
from plum_hub.statistics import ratio_interval

_STATUSES = frozenset(get_args(Status))


@dataclass(frozen=True, kw_only=True)
class GoldAgreement:
    """How true the samples of one label are, by gold verdicts."""

    labelled: int
    """Samples with the label and a gold verdict."""
    right: int
    """Those of them whose gold verdict agrees: chosen ones that pass, rejected ones that do not."""
    relevant: int
    """Judged samples, labelled or not, whose gold verdict agrees with the label."""
    interval: tuple[float, float] | None
    """The 95 % interval of the precision, by instructions; None without labelled samples."""

    @property
    def precision(self) -> float | None:
        """Share of the labelled samples that are right."""
        return self.right / self.labelled if self.labelled else None

    @property
    def recall(self) -> float | None:
        """Share of the samples with such a gold verdict that have the label."""
        return self.right / self.relevant if self.relevant else None


def truth_of_label(instructions: Iterable[tuple[int, int]], relevant: int) -> GoldAgreement:
    """Summarize the samples of one label.

    Args:
        instructions: For each instruction, the right samples and all labelled ones with a gold verdict.
        relevant: Judged samples whose gold verdict agrees with the label.

    Returns:
        The summary.
    """
    counts = [(right, labelled) for right, labelled in instructions if labelled]
    return GoldAgreement(
        labelled=sum(labelled for _, labelled in counts),
        right=sum(right for right, _ in counts),
        relevant=relevant,
        interval=ratio_interval(counts) if counts else None,
    )


def read_gold(path: Path) -> Mapping[str, bool]:
    """Read gold verdicts.

    Args:
        path: A file of rows with `sample_id` and `status`, as `plum-hub judge` writes it.

    Returns:
        Whether each sample passes, by its id.

    Raises:
        UsageError: The file cannot be read, a row lacks a column, or its status is unknown; the message names the row.
    """
    gold: dict[str, bool] = {}
    try:
        for where, row in find_local(path).rows():
            name, status = row.get("sample_id"), row.get("status")
            if not isinstance(name, str) or status not in _STATUSES:
                raise UsageError(
                    f"--gold {where}: needs a sample_id, and a status such as passed or failed; make the file "
                    f"with  plum-hub judge RUN/shards/00000/samples.jsonl --suites GOLD --out {quote(str(path))}"
                )
            gold[name] = status == "passed"
    except InstructionsError as error:
        raise UsageError(f"--gold {error}") from error
    return gold
