"""The samples that a file of verdicts has no verdict on, because their suites are refused.

They lie beside it, in `NAME.dropped.jsonl` for `NAME.jsonl`, one JSON object per line, and are owed: once the suites
are corrected, the same command judges them.

    sample_id, instruction_id       as in the samples
    stage, reason                   `suites`, and a reason that a build gives (`plum_hub.reasons`)
    detail                          file and line of the suite, and what is wrong with it
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plum_hub.errors import RunError
from plum_hub.files import write_whole, writing
from plum_hub.judging.inputs import RefusedSuite
from plum_hub.lines import object_of, whole_lines

_KEYS = {"sample_id", "instruction_id", "stage", "reason", "detail"}


@dataclass
class DropCount:
    """The samples that are not judged."""

    path: Path
    """Where they are named; there is no such file if there are none."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Samples by reason."""
    suites: int = 0
    """Suites that are refused."""
    first: str = ""
    """What is wrong with the first of them."""

    def as_json(self) -> dict[str, object]:
        """Return the counts as JSON values."""
        found = {"samples": self.reasons.total(), "suites": self.suites, "reasons": dict(self.reasons)}
        return {**found, "first": self.first, "file": str(self.path) if self.reasons else None}


def path_of(out: Path) -> Path:
    """Name the file of dropped samples.

    Args:
        out: The file of verdicts.

    Returns:
        Its neighbour.
    """
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.dropped.jsonl")


def check_drops(out: Path) -> None:
    """Make sure that the file of dropped samples can be replaced.

    Args:
        out: The file of verdicts.

    Raises:
        RunError: It holds something else.
    """
    path = path_of(out)
    line = next(whole_lines(path), (1, b""))[1]
    try:
        is_ours = not path.exists() or object_of(line).keys() == _KEYS
    except ValueError:
        is_ours = False
    if not is_ours:
        raise RunError(
            f"{path}: not a file of samples that plum-hub judge could not judge, as it would become: move it, or name "
            "another file with --out (this one was not changed)"
        )


def write_drops(out: Path, samples: Sequence[Sequence[str]], refused: dict[str, RefusedSuite]) -> DropCount:
    """Write the samples of refused suites, in place of those of an earlier call.

    Args:
        out: The file of verdicts.
        samples: Sample and instruction of each sample of a refused suite; they are taken one at a time.
        refused: The refused suites by instruction.

    Returns:
        How many there are.

    Raises:
        RunError: The file cannot be written.
    """
    first = next(iter(refused.values())).detail if refused else ""
    count = DropCount(path_of(out), suites=len(refused), first=first)

    def lines() -> Iterator[str]:
        for sample, instruction in samples:
            suite = refused[instruction]
            count.reasons[suite.reason] += 1
            row = {"sample_id": sample, "instruction_id": instruction, "stage": "suites"}
            yield json.dumps(row | {"reason": suite.reason, "detail": suite.detail}) + "\n"

    if samples:
        write_whole(count.path, lines())
    else:
        with writing(count.path):
            count.path.unlink(missing_ok=True)
    return count
